#include "tools/hatsd-user/daemon/icmp_sender.hpp"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

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

/// A raw socket for packets with their IP header. IPPROTO_RAW receives nothing.
transport::UniqueFd open_whole(int family) {
  transport::UniqueFd fd(socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (family == AF_INET || !fd) return fd;
  // Linux 4.5. Without it, IPPROTO_RAW alone means the same, but for the flow label.
  constexpr int kIpv6HeaderIncluded = 36;
  (void)transport::set_int(fd.get(), IPPROTO_IPV6, kIpv6HeaderIncluded, 1);
  return fd;
}

/// Where an error goes: the offender's source.
struct Destination {
  sockaddr_storage name{};
  socklen_t size = 0;
};

std::optional<Destination> destination_of(ByteView offender, uint32_t link) {
  if (offender.size() < kV4Header) return std::nullopt;
  Destination out;
  if (offender[0] >> 4 == 4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, &offender[kV4Source], sizeof address.sin_addr);
    std::memcpy(&out.name, &address, out.size = sizeof address);
    return out;
  }
  if (offender.size() < kV6Header) return std::nullopt;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  std::memcpy(&address.sin6_addr, &offender[kV6Source], sizeof address.sin6_addr);
  const bool link_local = offender[kV6Source] == 0xfe && (offender[kV6Source + 1] & 0xc0) == 0x80;
  if (link_local) address.sin6_scope_id = link;
  std::memcpy(&out.name, &address, out.size = sizeof address);
  return out;
}

bool send_parts(int fd, Destination to, std::span<iovec> parts) {
  msghdr message{};
  message.msg_name = &to.name;
  message.msg_namelen = to.size;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

}  // namespace

std::expected<IcmpSender, int> IcmpSender::open() {
  IcmpSender out;
  out.v4_ = send_only(AF_INET, IPPROTO_ICMP);
  if (!out.v4_) return std::unexpected(errno);
  out.v6_ = send_only(AF_INET6, IPPROTO_ICMPV6);  // absent on a host without IPv6
  out.whole_v4_ = open_whole(AF_INET);
  out.whole_v6_ = open_whole(AF_INET6);
  return out;
}

bool IcmpSender::send(const packet::IcmpError& error, uint32_t link) const noexcept {
  return error.source.is_set() ? send_as_is(error, link) : send_from_host(error, link);
}

bool IcmpSender::send_from_host(const packet::IcmpError& error, uint32_t link) const noexcept {
  const ByteView offender = error.packet;
  const auto to = destination_of(offender, link);
  if (!to) return false;
  const bool is_v4 = offender[0] >> 4 == 4;
  std::array<uint8_t, kIcmpHeader> header{error.type, error.code};
  store_be32(&header[4], error.rest);
  // Of ICMPv6 the kernel fills in the checksum (RFC 3542 3.1).
  if (is_v4) store_be16(&header[2], packet::finish(packet::sum_of(header) + packet::sum_of(offender)));
  std::array<iovec, 2> parts{
      {{header.data(), header.size()}, {const_cast<uint8_t*>(offender.data()), offender.size()}}};
  return send_parts(is_v4 ? v4_.get() : v6_.get(), *to, parts);
}

bool IcmpSender::send_as_is(const packet::IcmpError& error, uint32_t link) const noexcept {
  const auto to = destination_of(error.packet, link);
  if (!to) return false;
  std::array<uint8_t, packet::kMaxIcmpV6Error> bytes;
  const packet::IcmpMessage message{.type = error.type, .code = error.code, .rest = error.rest};
  const size_t size = packet::write_icmp_error(message, error.source, error.packet, bytes);
  if (size == 0) return false;
  iovec whole{bytes.data(), size};
  return send_parts(error.source.family == Family::v4 ? whole_v4_.get() : whole_v6_.get(), *to, {&whole, 1});
}

}  // namespace hats::app
