// The MTU of a wg-quick interface whose file names none (formats.md 1.5).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tun/link.hpp"

namespace hats::app {

/// Taken off the underlay's MTU, also for IPv4 endpoints: IPv6 40, UDP 8, data header 16, tag 16.
inline constexpr uint32_t kWgQuickOverheadBytes = 80;
/// When neither an endpoint nor a default route tells.
inline constexpr uint32_t kUnderlayMtuUnknown = 1500;

/// What WireGuard adds to a packet (formats.md 7): outer IP header, UDP 8, data header 16, tag 16.
[[nodiscard]] constexpr uint32_t wireguard_overhead(Family outer) {
  return outer == Family::v6 ? 40 + 8 + 16 + 16 : 20 + 8 + 16 + 16;
}

/// The path to one endpoint: the route's own MTU, else its link's. nullopt: there is no route.
[[nodiscard]] std::optional<uint32_t> underlay_mtu(tun::Netlink& netlink, const Endpoint& endpoint,
                                                   uint32_t fwmark);

/// The smallest path to an endpoint; without any, the default route's; without that, kUnderlayMtuUnknown.
[[nodiscard]] uint32_t smallest_underlay_mtu(tun::Netlink& netlink, const std::vector<Endpoint>& endpoints,
                                             uint32_t fwmark);

}  // namespace hats::app
