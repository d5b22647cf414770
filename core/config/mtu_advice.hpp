// What a tunnel costs per packet, and which MTU fits a path (formats.md 7). Pure arithmetic and text; who
// asks the kernel for a path's MTU is elsewhere. The operator's MTU is applied as it is; this only advises.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/address.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::config {

inline constexpr uint32_t kLeastIpv6Mtu = 1'280;  // bytes, RFC 8200 5
/// Bytes that wg-quick takes off the underlay's MTU, whatever the endpoint's family (formats.md 1.5).
inline constexpr uint32_t kWgQuickMtuMargin = 80;
/// Bytes of the underlay's MTU when neither an endpoint nor a default route tells (formats.md 1.5).
inline constexpr uint32_t kUnknownPathMtu = 1'500;

/// What goes around a packet: WireGuard over `outer`, or the tunnel.
struct Encapsulation {
  Family outer = Family::v4;
  std::optional<encap::TunnelConfig> tunnel{};
};
[[nodiscard]] Encapsulation encapsulation_of(const encap::TunnelConfig& tunnel) noexcept;

/// Bytes that the tunnel adds to a packet, outer IP header included.
[[nodiscard]] uint32_t overhead(const Encapsulation& tunnel) noexcept;
/// The largest MTU whose packets cross a path of `path_mtu` bytes whole; 0 if none does.
[[nodiscard]] uint32_t best_mtu(const Encapsulation& tunnel, uint32_t path_mtu) noexcept;
/// "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation", or nullopt if it fits.
[[nodiscard]] std::optional<std::string> mtu_warning(const Encapsulation& tunnel, uint32_t mtu,
                                                     uint32_t path_mtu);
/// "20 IPv4 + 8 UDP + 32 WireGuard": what overhead() is made of.
[[nodiscard]] std::string overhead_parts(const Encapsulation& tunnel);

/// What the peering guide states for a kind: bytes of overhead and the MTU it recommends. nullopt for IPIP,
/// of which it does not speak.
struct GuideFigure {
  uint32_t overhead = 0;
  uint32_t mtu = 0;
};
[[nodiscard]] std::optional<GuideFigure> guide_figure(const Encapsulation& tunnel) noexcept;

/// The MTU of a tunnel for which none is given, as the kernel's devices have it: that of the link which the
/// outer packets leave by (nullopt: not known, 1500) less the overhead; not below 1280 for SIT and over IPv6,
/// where IPv6 needs it, nor below 68 else.
[[nodiscard]] uint32_t default_mtu(const encap::TunnelConfig& tunnel,
                                   std::optional<uint32_t> link_mtu) noexcept;

/// wg-quick's MTU where the file names none: the smallest of the paths to endpoints, else that of the default
/// route, else kUnknownPathMtu; less 80. Never below 68, the least that the kernel takes.
[[nodiscard]] uint32_t wg_quick_default_mtu(std::span<const uint32_t> endpoint_paths,
                                            std::optional<uint32_t> default_route) noexcept;

}  // namespace hats::config
