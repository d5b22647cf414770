// What an ICMP error quotes of a packet that this host sent, whatever its protocol: the tunnels' own find
// their tunnel by it, a caller finds the UDP socket of a WireGuard interface.
#pragma once

#include <cstdint>
#include <optional>

#include "core/encap/node.hpp"

namespace hats::encap {

/// The outer packet that an error is about.
struct Quote {
  Family family = Family::v4;
  IpAddress source, destination;
  uint32_t length = 0;   // bytes that the packet had, by its header
  uint8_t protocol = 0;  // of `payload`: extension headers of IPv6 are passed over
  ByteView payload;      // as much as was quoted; may be empty; empty for a fragment that is not the first
};

/// nullopt if the quote has no whole IP header of the error's family.
[[nodiscard]] std::optional<Quote> read_quote(const OuterError& error) noexcept;

/// Fragmentation needed (RFC 1191 4) or packet too big (RFC 4443 3.2).
[[nodiscard]] bool is_too_big(const OuterError& error) noexcept;

/// The path MTU that a too-big error tells, in bytes. A router that names none is helped by the next lower
/// plateau (RFC 1191 7). Over IPv4 at least 552, as Linux (ip_rt_min_pmtu): nobody's path is narrower, but
/// whoever forges an error would like it to be. nullopt: over IPv6, less than 1280 (RFC 8201 4).
[[nodiscard]] std::optional<uint32_t> told_mtu(const OuterError& error, const Quote& quote) noexcept;

}  // namespace hats::encap
