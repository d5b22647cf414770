// What a tunnel costs per packet, and which MTU fits a path (formats.md 7). Pure arithmetic and text; who
// asks the kernel for a path's MTU is elsewhere. The operator's MTU is applied as it is; this only advises.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/address.hpp"

namespace hats::config {

inline constexpr uint32_t kLeastIpv6Mtu = 1'280;  // bytes, RFC 8200 5
/// Bytes that wg-quick takes off the underlay's MTU, whatever the endpoint's family (formats.md 1.5).
inline constexpr uint32_t kWgQuickMtuMargin = 80;
/// Bytes of the underlay's MTU when neither an endpoint nor a default route tells (formats.md 1.5).
inline constexpr uint32_t kUnknownPathMtu = 1'500;

/// A kind of tunnel on the wire. The guide's ip6gre is gre over IPv4; the kernel's is gre over IPv6.
struct Encapsulation {
  enum class Kind : uint8_t { wireguard, gre, sit } kind = Kind::wireguard;
  Family outer = Family::v4;  // sit: v4 only
  // Of gre, RFC 2890 and RFC 2784: four bytes each.
  bool key = false;
  bool checksum = false;
  bool sequence = false;
  bool encapsulation_limit = false;  // RFC 2473 4.1.1, over IPv6 alone: eight bytes
};

/// Bytes that the tunnel adds to a packet, outer IP header included.
[[nodiscard]] uint32_t overhead(const Encapsulation& tunnel) noexcept;
/// The largest MTU whose packets cross a path of `path_mtu` bytes whole; 0 if none does.
[[nodiscard]] uint32_t best_mtu(const Encapsulation& tunnel, uint32_t path_mtu) noexcept;
/// "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation", or nullopt if it fits.
[[nodiscard]] std::optional<std::string> mtu_warning(const Encapsulation& tunnel, uint32_t mtu,
                                                     uint32_t path_mtu);
/// "20 IPv4 + 8 UDP + 32 WireGuard": what overhead() is made of.
[[nodiscard]] std::string overhead_parts(const Encapsulation& tunnel);

/// What the peering guide states for a kind: bytes of overhead and the MTU it recommends.
struct GuideFigure {
  uint32_t overhead = 0;
  uint32_t mtu = 0;
};
[[nodiscard]] GuideFigure guide_figure(Encapsulation::Kind kind) noexcept;

/// wg-quick's MTU where the file names none: the smallest of the paths to endpoints, else that of the default
/// route, else kUnknownPathMtu; less 80. Never below 68, the least that the kernel takes.
[[nodiscard]] uint32_t wg_quick_default_mtu(std::span<const uint32_t> endpoint_paths,
                                            std::optional<uint32_t> default_route) noexcept;

}  // namespace hats::config
