// UDP sockets of one WireGuard device: one port, IPv4 and IPv6, unconnected (formats.md 6.6).
#pragma once

#include <cstdint>
#include <expected>

#include "transport/socket.hpp"

namespace hats::transport {

struct UdpSockets {
  UniqueFd v4, v6;  // v6 is empty on a host without IPv6 (EAFNOSUPPORT)
  uint16_t port = 0;
};

/// What the sockets were able to turn on; for `show`.
struct UdpFeatures {
  bool gso = false, gro = false;
};

/// Binds both sockets to `port` (0: any port that is free in both, up to 100 tries). Sets DF off, PKTINFO,
/// TOS receipt, GRO where there is one, SO_MARK if fwmark is not 0, buffer sizes (FORCE, else the plain
/// option). Error: errno.
std::expected<UdpSockets, int> open_udp(uint16_t port, uint32_t fwmark);
[[nodiscard]] UdpFeatures udp_features(const UdpSockets& sockets);
/// SO_MARK on both. 0 never fails; else the errno.
[[nodiscard]] int set_fwmark(const UdpSockets& sockets, uint32_t mark);

}  // namespace hats::transport
