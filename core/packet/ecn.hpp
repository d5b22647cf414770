// Explicit Congestion Notification across a tunnel (RFC 6040; the table is formats.md 5.4). Pure; inline,
// because every decapsulated packet passes here.
#pragma once

#include <array>
#include <cstdint>

#include "core/packet/checksum.hpp"
#include "crypto/bytes.hpp"

namespace hats::packet {

/// The two low bits of the TOS byte or traffic class (RFC 3168 5).
enum class Ecn : uint8_t { not_ect = 0, ect1 = 1, ect0 = 2, ce = 3 };

inline constexpr uint8_t kEcnMask = 0x03;

[[nodiscard]] constexpr Ecn ecn_of(uint8_t ds) noexcept {
  return static_cast<Ecn>(ds & kEcnMask);
}

/// What decapsulation makes of inner and outer field (RFC 6040 4.2).
struct EcnVerdict {
  Ecn ecn = Ecn::not_ect;   // the inner field to forward
  bool drop = false;        // congestion was marked on a packet whose sender cannot react
  bool suspicious = false;  // a combination that no conforming path makes; worth counting
};

[[nodiscard]] constexpr EcnVerdict decapsulate_ecn(Ecn inner, Ecn outer) noexcept {
  switch (inner) {
    case Ecn::not_ect:
      return {Ecn::not_ect, outer == Ecn::ce, outer != Ecn::not_ect};
    case Ecn::ect0:
      return {outer == Ecn::ce || outer == Ecn::ect1 ? outer : inner, false, false};
    case Ecn::ect1:
      return {outer == Ecn::ce ? outer : inner, false, false};
    case Ecn::ce:
      break;
  }
  return {Ecn::ce, false, outer == Ecn::ect1};
}

/// The outer DS byte: `dscp_bits` in the upper six bits, the inner ECN field copied, CE too (RFC 6040 4.1,
/// normal mode; Linux writes CE as ECT(0) there).
[[nodiscard]] constexpr uint8_t encapsulate_ecn(uint8_t dscp_bits, uint8_t inner_ds) noexcept {
  return static_cast<uint8_t>((dscp_bits & ~kEcnMask) | (inner_ds & kEcnMask));
}

namespace detail {
/// Those bits of the DS byte that `mask` has become those of `ds`.
inline void set_ds(uint8_t* ip, uint8_t mask, uint8_t ds) noexcept {
  const bool v4 = (ip[0] >> 4) == 4;
  const int shift = v4 ? 0 : 4;
  const uint16_t before = load_be16(ip);
  const auto after = static_cast<uint16_t>((before & ~(mask << shift)) | ((ds & mask) << shift));
  if (after == before) return;
  store_be16(ip, after);
  if (v4) store_be16(ip + 10, update_checksum(load_be16(ip + 10), before, after));
}
}  // namespace detail

/// Writes the ECN field of the IPv4 or IPv6 header at `ip` (at least 20 or 40 bytes, version checked by the
/// caller), and mends the IPv4 header checksum (RFC 1624).
inline void set_ecn(uint8_t* ip, Ecn ecn) noexcept {
  detail::set_ds(ip, kEcnMask, static_cast<uint8_t>(ecn));
}

/// Writes the DSCP, the upper six bits of `ds` (RFC 2474 3), to the header at `ip`; as set_ecn.
inline void set_dscp(uint8_t* ip, uint8_t ds) noexcept {
  detail::set_ds(ip, static_cast<uint8_t>(~kEcnMask), ds);
}

/// Decapsulation on the packet itself: `ip` as for set_ecn, `outer_ds` the outer TOS or traffic class.
/// Returns the verdict; when it says drop the packet is unchanged, and WireGuard, like Linux, delivers it all
/// the same.
inline EcnVerdict apply_outer_ecn(uint8_t* ip, uint8_t outer_ds) noexcept {
  const auto inner_ds = static_cast<uint8_t>(load_be16(ip) >> ((ip[0] >> 4) == 4 ? 0 : 4));
  const EcnVerdict verdict = decapsulate_ecn(ecn_of(inner_ds), ecn_of(outer_ds));
  set_ecn(ip, verdict.ecn);
  return verdict;
}

}  // namespace hats::packet
