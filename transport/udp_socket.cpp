#include "transport/udp_socket.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>

namespace hats::transport {
namespace {

/// Tries to find a port that is free in both families, when any will do (as the kernel's WireGuard).
constexpr int kPortTries = 100;

// What the data path relies on must succeed; what only makes it faster may fail.
int set_common(int fd, uint32_t fwmark) {
  if (fwmark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &fwmark, sizeof fwmark) != 0) return errno;
  set_buffers(fd, kSocketBuffer, kSocketBuffer);
  static_cast<void>(set_int(fd, IPPROTO_UDP, UDP_GRO, 1));  // Linux 5.0
  return 0;
}

std::expected<UniqueFd, int> open_v4(uint16_t port, uint32_t fwmark) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
  if (!fd) return std::unexpected(errno);
  if (int error = set_common(fd.get(), fwmark); error != 0) return std::unexpected(error);
  // DF is 0 and the host may fragment, as the kernel's WireGuard (formats.md 6.6).
  if (int error = set_int(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT); error != 0) {
    return std::unexpected(error);
  }
  if (int error = set_int(fd.get(), IPPROTO_IP, IP_PKTINFO, 1); error != 0) return std::unexpected(error);
  if (int error = set_int(fd.get(), IPPROTO_IP, IP_RECVTOS, 1); error != 0) return std::unexpected(error);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) return std::unexpected(errno);
  return fd;
}

std::expected<UniqueFd, int> open_v6(uint16_t port, uint32_t fwmark) {
  UniqueFd fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
  if (!fd) return std::unexpected(errno);
  if (int error = set_common(fd.get(), fwmark); error != 0) return std::unexpected(error);
  if (int error = set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1); error != 0) return std::unexpected(error);
  if (int error = set_int(fd.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT); error != 0) {
    return std::unexpected(error);
  }
  if (int error = set_int(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1); error != 0) {
    return std::unexpected(error);
  }
  if (int error = set_int(fd.get(), IPPROTO_IPV6, IPV6_RECVTCLASS, 1); error != 0) {
    return std::unexpected(error);
  }
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) return std::unexpected(errno);
  return fd;
}

std::expected<uint16_t, int> bound_port(int fd) {
  sockaddr_in name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return std::unexpected(errno);
  return ntohs(name.sin_port);
}

std::expected<UdpSockets, int> open_pair(uint16_t port, uint32_t fwmark) {
  UdpSockets out;
  auto v4 = open_v4(port, fwmark);
  if (!v4) return std::unexpected(v4.error());
  out.v4 = std::move(*v4);
  const auto bound = bound_port(out.v4.get());
  if (!bound) return std::unexpected(bound.error());
  out.port = *bound;
  auto v6 = open_v6(out.port, fwmark);
  if (v6) {
    out.v6 = std::move(*v6);
  } else if (v6.error() != EAFNOSUPPORT) {
    return std::unexpected(v6.error());
  }
  return out;
}

}  // namespace

std::expected<UdpSockets, int> open_udp(uint16_t port, uint32_t fwmark) {
  auto out = open_pair(port, fwmark);
  for (int tries = 1; !out && out.error() == EADDRINUSE && port == 0 && tries < kPortTries; ++tries) {
    out = open_pair(port, fwmark);
  }
  return out;
}

UdpFeatures udp_features(const UdpSockets& sockets) {
  const int fd = sockets.v4 ? sockets.v4.get() : sockets.v6.get();
  UdpFeatures out;
  int value = 0;
  socklen_t size = sizeof value;
  out.gso = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &size) == 0;  // Linux 4.18
  // Setting it again asks whether there is one; reading it came later than the option itself.
  out.gro = set_int(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;  // Linux 5.0
  return out;
}

int set_fwmark(const UdpSockets& sockets, uint32_t mark) {
  int error = 0;
  for (const UniqueFd* fd : {&sockets.v4, &sockets.v6}) {
    if (!*fd) continue;
    if (setsockopt(fd->get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) error = errno;
  }
  return mark == 0 ? 0 : error;
}

}  // namespace hats::transport
