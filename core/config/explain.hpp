// What `hatsd-user check` says of a wg-quick file: what would be made, what stock wg-quick would do
// otherwise, and which MTU fits (formats.md 7). Pure, and without a secret.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/wg_quick.hpp"

namespace hats::config {

/// Bytes that WireGuard adds to a packet: outer IP header (20 or 40), UDP 8, data header 16, tag 16
/// (formats.md 7).
[[nodiscard]] constexpr uint32_t wireguard_overhead(Family outer) {
  return (outer == Family::v6 ? 40 : 20) + 8 + 16 + 16;
}

/// The largest packet on the wire for an interface of `mtu`: padding never reaches beyond the MTU
/// (formats.md 6.6).
[[nodiscard]] constexpr uint32_t largest_outer_packet(uint32_t mtu, Family outer) {
  return mtu + wireguard_overhead(outer);
}

/// The largest MTU of the tunnel whose packets fit the path unfragmented.
[[nodiscard]] constexpr uint32_t best_mtu(uint32_t path_mtu, Family outer) {
  return path_mtu > wireguard_overhead(outer) ? path_mtu - wireguard_overhead(outer) : 0;
}

/// One sentence with both numbers and the better value, or "" where the packets fit.
[[nodiscard]] std::string mtu_warning(uint32_t mtu, uint32_t path_mtu, Family outer);

/// The path to one endpoint, as the host knows it.
struct PathFact {
  Endpoint endpoint;
  uint32_t path_mtu = 0;  // bytes
};

/// The explanation, lines that end in '\n'. `paths` may be empty where nothing is known.
[[nodiscard]] std::string explain(const WgQuickConfig& config, std::string_view interface_name,
                                  const std::vector<PathFact>& paths);

}  // namespace hats::config
