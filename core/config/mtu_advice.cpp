#include "core/config/mtu_advice.hpp"

#include <algorithm>

namespace hats::config {
namespace {

using Kind = Encapsulation::Kind;

// Bytes of each header.
constexpr uint32_t kIpv4Header = 20;
constexpr uint32_t kIpv6Header = 40;
constexpr uint32_t kUdpHeader = 8;
constexpr uint32_t kWireGuardData = 16 + 16;  // header and tag, WG 5.4.6
constexpr uint32_t kGreHeader = 4;            // RFC 2784 2.1
constexpr uint32_t kGreField = 4;  // key, sequence number (RFC 2890 2), checksum with its reserved word
constexpr uint32_t kEncapsulationLimit = 8;  // RFC 2473 4.1.1, with its padding
constexpr uint32_t kLeastMtu = 68;           // RFC 791

uint32_t outer_header(const Encapsulation& tunnel) noexcept {
  return tunnel.outer == Family::v6 ? kIpv6Header : kIpv4Header;
}

uint32_t gre_fields(const Encapsulation& tunnel) noexcept {
  return kGreField * (uint32_t{tunnel.key} + uint32_t{tunnel.checksum} + uint32_t{tunnel.sequence});
}

bool has_limit(const Encapsulation& tunnel) noexcept {
  return tunnel.outer == Family::v6 && tunnel.encapsulation_limit;
}

}  // namespace

uint32_t overhead(const Encapsulation& tunnel) noexcept {
  uint32_t bytes = outer_header(tunnel);
  if (tunnel.kind == Kind::wireguard) return bytes + kUdpHeader + kWireGuardData;
  if (has_limit(tunnel)) bytes += kEncapsulationLimit;
  if (tunnel.kind == Kind::gre) bytes += kGreHeader + gre_fields(tunnel);
  return bytes;
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
  std::string text = std::to_string(outer_header(tunnel)) + (tunnel.outer == Family::v6 ? " IPv6" : " IPv4");
  if (tunnel.kind == Kind::wireguard) {
    return text + " + " + std::to_string(kUdpHeader) + " UDP + " + std::to_string(kWireGuardData) +
           " WireGuard";
  }
  if (has_limit(tunnel)) text += " + " + std::to_string(kEncapsulationLimit) + " encapsulation limit";
  if (tunnel.kind != Kind::gre) return text;
  text += " + " + std::to_string(kGreHeader) + " GRE";
  const auto field = [&](bool present, const char* name) {
    if (present) text += " + " + std::to_string(kGreField) + name;
  };
  field(tunnel.key, " key");
  field(tunnel.checksum, " checksum");
  field(tunnel.sequence, " sequence number");
  return text;
}

GuideFigure guide_figure(Kind kind) noexcept {
  switch (kind) {
    case Kind::wireguard:
      return {32, 1'468};
    case Kind::gre:
      return {28, 1'472};
    case Kind::sit:
      return {20, 1'480};
  }
  return {};
}

uint32_t wg_quick_default_mtu(std::span<const uint32_t> endpoint_paths,
                              std::optional<uint32_t> default_route) noexcept {
  uint32_t path = default_route.value_or(kUnknownPathMtu);
  if (!endpoint_paths.empty()) path = *std::ranges::min_element(endpoint_paths);
  return std::max(path, kWgQuickMtuMargin + kLeastMtu) - kWgQuickMtuMargin;
}

}  // namespace hats::config
