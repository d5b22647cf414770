// What one unencrypted tunnel is, as a value: GRE, SIT (6in4) or IPIP over IPv4, GRE over IPv6
// (formats.md 4.1, 5.1 to 5.3). Whatever format it was written in, this is what it comes to.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/address.hpp"

namespace hats::encap {

/// The protocol on the wire. The guide's ip6gre is gre with IPv4 ends; the kernel's is gre with IPv6 ends.
enum class Kind : uint8_t { gre, sit, ipip };

/// Cisco's GRE keepalive, as we send it (our extension). interval_s of 0: not sent.
struct Keepalive {
  uint32_t interval_s = 0;  // seconds, 1..32767
  uint32_t retries = 0;     // unanswered ones after which the carrier goes, 1..255
  auto operator<=>(const Keepalive&) const = default;
};

struct TunnelConfig {
  Kind kind = Kind::gre;
  IpAddress local;        // unset: any; the kernel chooses the source, and every destination address is taken
  IpAddress remote;       // always set, one host; its family is the outer one
  uint32_t underlay = 0;  // interface index that outer packets leave and, if they can, come by; 0: any
                          // (TunnelTable::find)

  uint8_t ttl = 0;                 // outer TTL or hop limit, 1..255; 0: inherit, the inner one is copied
  uint8_t tos = 0;                 // outer TOS or traffic class: DSCP and, over IPv4, what `tos 0xNN` says
  bool tos_inherit = false;        // copy the inner DS field; where the inner packet has none, `tos` counts
  bool path_mtu_discovery = true;  // outer DF always set (over IPv4)
  bool ignore_df = false;          // the inner DF is not copied

  // GRE (RFC 2784, RFC 2890). A key of 0 is a key.
  std::optional<uint32_t> in_key, out_key;
  bool in_checksum = false, out_checksum = false;
  bool in_sequence = false, out_sequence = false;

  // Over IPv6 (RFC 2473).
  std::optional<uint8_t> encapsulation_limit = 4;  // unset: no destination option
  uint32_t flow_label = 0;                         // 20 bits
  bool flow_label_inherit = false;
  bool dscp_inherit = false;        // the outer DSCP is copied to the inner packet on exit
  bool allow_local_remote = false;  // the remote may be an address of this host

  Keepalive keepalive;  // GRE over IPv4 only

  auto operator<=>(const TunnelConfig&) const = default;
  [[nodiscard]] constexpr Family outer() const { return remote.family; }
};

/// IP protocol number or next header of the outer packet: 47, 41, 4.
[[nodiscard]] constexpr uint8_t protocol_of(Kind kind) noexcept {
  return kind == Kind::gre ? 47 : kind == Kind::sit ? 41 : 4;
}

/// Whether outer packets of the two cannot be told apart on arrival: same protocol, ends and receive key.
[[nodiscard]] constexpr bool alike_on_the_wire(const TunnelConfig& a, const TunnelConfig& b) noexcept {
  return a.kind == b.kind && a.local == b.local && a.remote == b.remote && a.in_key == b.in_key &&
         a.underlay == b.underlay;
}

/// Bytes that the tunnel adds to a packet, the outer IP header included (formats.md 7).
[[nodiscard]] constexpr uint32_t overhead(const TunnelConfig& config) noexcept {
  uint32_t bytes = config.outer() == Family::v6 ? 40 : 20;
  if (config.kind == Kind::gre) {
    bytes += 4 + (config.out_key ? 4 : 0) + (config.out_checksum ? 4 : 0) + (config.out_sequence ? 4 : 0);
  }
  if (config.outer() == Family::v6 && config.encapsulation_limit) bytes += 8;
  return bytes;
}

}  // namespace hats::encap
