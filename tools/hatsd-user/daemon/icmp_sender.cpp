#include "tools/hatsd-user/daemon/icmp_sender.hpp"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/packet/checksum.hpp"

namespace hats::app {

namespace {

constexpr size_t kIcmpHeader = 8;
// Offsets of the source address in an inner packet, and the shortest packet that has one.
constexpr size_t kV4Source = 12, kV4Header = 20, kV6Source = 8, kV6Header = 40;

/// A raw socket that sends only: its receive buffer takes nothing in.
transport::UniqueFd send_only(int family, int protocol) {
  transport::UniqueFd fd(socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd) return fd;
  if (family == AF_INET) {
    icmp_filter filter{};
    filter.data = ~0U;  // every type is kept out
    (void)setsockopt(fd.get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  } else {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    (void)setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  }
  return fd;
}

}  // namespace

std::expected<IcmpSender, int> IcmpSender::open() {
  IcmpSender out;
  out.v4_ = send_only(AF_INET, IPPROTO_ICMP);
  if (!out.v4_) return std::unexpected(errno);
  out.v6_ = send_only(AF_INET6, IPPROTO_ICMPV6);  // absent on a host without IPv6
  return out;
}

bool IcmpSender::send(const wg::IcmpError& error) const noexcept {
  const ByteView offender = error.packet;
  if (offender.size() < kV4Header) return false;
  const bool is_v4 = offender[0] >> 4 == 4;
  if (!is_v4 && offender.size() < kV6Header) return false;

  std::array<uint8_t, kIcmpHeader> header{error.type, error.code};
  sockaddr_storage to{};
  socklen_t to_size = 0;
  if (is_v4) {
    store_be16(&header[2], packet::finish(packet::sum_of(header) + packet::sum_of(offender)));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, &offender[kV4Source], sizeof address.sin_addr);
    std::memcpy(&to, &address, to_size = sizeof address);
  } else {
    sockaddr_in6 address{};  // the kernel fills in the checksum (RFC 3542 3.1)
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, &offender[kV6Source], sizeof address.sin6_addr);
    std::memcpy(&to, &address, to_size = sizeof address);
  }
  std::array<iovec, 2> parts{
      {{header.data(), header.size()}, {const_cast<uint8_t*>(offender.data()), offender.size()}}};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = to_size;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return sendmsg(is_v4 ? v4_.get() : v6_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace hats::app
