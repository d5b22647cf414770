#include "core/config/mtu_advice.hpp"

#include <algorithm>

namespace hats::config {
namespace {

using encap::Kind;

// Bytes of each header. What a tunnel adds in all is encap::overhead(); these say what it is made of.
constexpr uint32_t kIpv4Header = 20;
constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kWireGuardData = 16 + 16;  // header and tag, WG 5.4.6
constexpr uint32_t kGreHeader = 4;            // RFC 2784 2.1
constexpr uint32_t kGreField = 4;  // key, sequence number (RFC 2890 2), checksum with its reserved word
constexpr uint32_t kEncapsulationLimit = 8;  // RFC 2473 4.1.1, with its padding
constexpr uint32_t kLeastMtu = 68;           // RFC 791
constexpr uint32_t kLargestPacket = 65'535;  // RFC 791 3.1: bytes of an outer packet

}  // namespace

Encapsulation encapsulation_of(const encap::TunnelConfig& tunnel) noexcept {
  return {.outer = tunnel.outer(), .tunnel = tunnel};
}

uint32_t overhead(const Encapsulation& tunnel) noexcept {
  if (tunnel.tunnel) return encap::overhead(*tunnel.tunnel);
  return (tunnel.outer == Family::v6 ? kIpv6Header : kIpv4Header) + kUdpHeader + kWireGuardData;
}

uint32_t best_mtu(const Encapsulation& tunnel, uint32_t path_mtu) noexcept {
  const uint32_t taken = overhead(tunnel);
  return path_mtu > taken ? path_mtu - taken : 0;
}

std::optional<std::string> mtu_warning(const Encapsulation& tunnel, uint32_t mtu, uint32_t path_mtu) {
  const uint32_t best = best_mtu(tunnel, path_mtu);
  if (mtu <= best) return std::nullopt;
  // WireGuard pads to 16 bytes, but never beyond the MTU, so this is its largest packet too.
  const uint64_t largest = uint64_t{mtu} + overhead(tunnel);
  std::string text = "mtu " + std::to_string(mtu) + " needs " + std::to_string(largest) +
                     "-byte packets on a " + std::to_string(path_mtu) + "-byte path";
  if (best < kLeastMtu) return text + "; no MTU avoids fragmentation there";
  text += "; " + std::to_string(best) + " avoids fragmentation";
  if (best < kLeastIpv6Mtu) text += ", but is too small for IPv6 in the tunnel";
  return text;
}

std::string overhead_parts(const Encapsulation& tunnel) {
  std::string text;
  const auto part = [&](uint32_t bytes, const char* name) {
    text += (text.empty() ? "" : " + ") + std::to_string(bytes) + name;
  };
  if (tunnel.outer == Family::v6) {
    part(kIpv6Header, " IPv6");
  } else {
    part(kIpv4Header, " IPv4");
  }
  if (!tunnel.tunnel) {
    part(kUdpHeader, " UDP");
    part(kWireGuardData, " WireGuard");
    return text;
  }
  const encap::TunnelConfig& config = *tunnel.tunnel;
  if (config.outer() == Family::v6 && config.encapsulation_limit)
    part(kEncapsulationLimit, " encapsulation limit");
  if (config.kind != Kind::gre) return text;
  part(kGreHeader, " GRE");
  if (config.out_key) part(kGreField, " key");
  if (config.out_checksum) part(kGreField, " checksum");
  if (config.out_sequence) part(kGreField, " sequence number");
  return text;
}

std::optional<GuideFigure> guide_figure(const Encapsulation& tunnel) noexcept {
  if (!tunnel.tunnel) return GuideFigure{32, 1'468};
  switch (tunnel.tunnel->kind) {
    case Kind::gre:  // its ip6gre, too
      return GuideFigure{28, 1'472};
    case Kind::sit:
      return GuideFigure{20, 1'480};
    case Kind::ipip:
      break;
  }
  return std::nullopt;
}

uint32_t default_mtu(const encap::TunnelConfig& tunnel, std::optional<uint32_t> link_mtu) noexcept {
  const uint32_t link = std::min(link_mtu.value_or(kUnknownPathMtu), kLargestPacket);
  const bool needs_ipv6 = tunnel.kind == Kind::sit || tunnel.outer() == Family::v6;
  const uint32_t least = needs_ipv6 ? kLeastIpv6Mtu : kLeastMtu;
  const uint32_t taken = encap::overhead(tunnel);
  return link > taken + least ? link - taken : least;
}

uint32_t wg_quick_default_mtu(std::span<const uint32_t> endpoint_paths,
                              std::optional<uint32_t> default_route) noexcept {
  uint32_t path = default_route.value_or(kUnknownPathMtu);
  if (!endpoint_paths.empty()) path = *std::ranges::min_element(endpoint_paths);
  return std::max(path, kWgQuickMtuMargin + kLeastMtu) - kWgQuickMtuMargin;
}

}  // namespace hats::config
