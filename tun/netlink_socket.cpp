#include "tun/netlink_socket.hpp"

#include <net/if.h>

#include <utility>

namespace hats::tun {

std::expected<NetlinkSocket, int> NetlinkSocket::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return std::unexpected(errno);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    const int error = errno;
    mnl_socket_close(socket);
    return std::unexpected(error);
  }
  return NetlinkSocket(socket);
}

NetlinkSocket::NetlinkSocket(mnl_socket* socket) : socket_(socket), buffer_(kReceiveBytes) {}

NetlinkSocket::NetlinkSocket(NetlinkSocket&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)),
      sequence_(other.sequence_),
      buffer_(std::move(other.buffer_)) {}

NetlinkSocket& NetlinkSocket::operator=(NetlinkSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(sequence_, other.sequence_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

NetlinkSocket::~NetlinkSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

int NetlinkSocket::send(Request& request) {
  request.message()->nlmsg_seq = ++sequence_;
  while (mnl_socket_sendto(socket_, request.message(), request.message()->nlmsg_len) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int NetlinkSocket::receive(uint32_t sequence, End end, const OnMessage& on_message, bool& torn) {
  const unsigned port = mnl_socket_get_portid(socket_);
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_, buffer_.data(), buffer_.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    int left = static_cast<int>(got);
    for (const auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      // What an exchange that ended early left behind is not ours.
      if (m->nlmsg_seq != sequence || m->nlmsg_pid != port) continue;
      if ((m->nlmsg_flags & NLM_F_DUMP_INTR) != 0) torn = true;
      if (m->nlmsg_type == NLMSG_ERROR) {
        if (mnl_nlmsg_get_payload_len(m) < sizeof(nlmsgerr)) return EBADMSG;
        return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(m))->error;
      }
      if (m->nlmsg_type == NLMSG_DONE) {
        if (end != End::done) continue;
        // The payload of DONE, where there is one, is the dump's own result.
        if (mnl_nlmsg_get_payload_len(m) < sizeof(int)) return 0;
        const int result = *static_cast<const int*>(mnl_nlmsg_get_payload(m));
        return result < 0 ? -result : 0;
      }
      if (m->nlmsg_type >= NLMSG_MIN_TYPE && on_message) on_message(m);
    }
  }
}

int NetlinkSocket::request(Request& request, const OnMessage& on_message) {
  request.message()->nlmsg_flags |= NLM_F_ACK;
  if (const int error = send(request)) return error;
  bool torn = false;
  return receive(sequence_, End::acknowledged, on_message, torn);
}

int NetlinkSocket::dump(Request& request, const OnMessage& on_message, const std::function<void()>& restart) {
  request.message()->nlmsg_flags |= NLM_F_DUMP;
  for (int attempt = 1;; ++attempt) {
    if (const int error = send(request)) return error;
    bool torn = false;
    const int error = receive(sequence_, End::done, on_message, torn);
    if (error != 0 && error != EINTR) return error;
    if ((!torn && error == 0) || attempt == kDumpAttempts) return error;
    restart();
  }
}

IpAddress address_of(uint8_t af, const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
  const size_t size = mnl_attr_get_payload_len(attribute);
  if (af == AF_INET && size == 4) return IpAddress::v4(bytes);
  if (af == AF_INET6 && size == 16) return IpAddress::v6(bytes);
  return {};
}

uint32_t u32_of(const nlattr* attribute, uint32_t otherwise) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(uint32_t)) return otherwise;
  return mnl_attr_get_u32(attribute);
}

}  // namespace hats::tun
