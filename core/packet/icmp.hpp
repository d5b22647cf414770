// ICMP errors that we originate about inner packets (formats.md 5.5; RFC 792, 1191, 1122 3.2.2, 1812 4.3.2;
// RFC 4443). Pure: who asks also limits the rate, and finds a source address that the host will accept.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/address.hpp"
#include "core/packet/piece.hpp"
#include "crypto/bytes.hpp"

namespace hats::packet {

/// The largest error packet of either family, headers included (RFC 1812 4.3.2.3; RFC 4443 2.4 (c)).
inline constexpr size_t kMaxIcmpError = 576;
inline constexpr size_t kMaxIcmpV6Error = 1'280;

/// An ICMP error owed to the sender of an inner packet, for whoever has a socket to send it by.
struct IcmpError {
  std::vector<uint8_t> packet;  // the complete IP packet of the offender, cut to what the error may quote
  uint8_t type = 0, code = 0;
  uint32_t rest = 0;   // the second word: the MTU of a too-big message, the pointer of a parameter problem
  IpAddress source{};  // whom it is to come from; unset: an address of the sending host
};

/// Type, code and the second word of an error message.
struct IcmpMessage {
  uint8_t type = 0;
  uint8_t code = 0;
  uint32_t rest = 0;
};

/// No way to the destination: ICMPv4 host unreachable (3/1), ICMPv6 address unreachable (1/3).
[[nodiscard]] IcmpMessage icmp_unreachable(Family family) noexcept;
/// The packet does not fit: ICMPv4 fragmentation needed (3/4), ICMPv6 packet too big (2/0). `mtu` is what
/// would, in bytes; below the least that the family allows (68, 1280) it is raised to that.
[[nodiscard]] IcmpMessage icmp_too_big(Family family, uint32_t mtu) noexcept;

/// Whether `message` may be sent about `offender` (an IP packet, or as much of its beginning as a quote
/// holds): never about an ICMP error or a type nobody knows, a later fragment, a source or destination that
/// is not one host (but too_big about IPv6 multicast is allowed); about size only if IPv4 must not be
/// fragmented.
[[nodiscard]] bool may_answer(ByteView offender, const IcmpMessage& message) noexcept;

/// The error about an IP packet (at least its version byte), with as much of it as the error may quote. Who
/// may be answered is the caller's to ask.
[[nodiscard]] IcmpError quote(ByteView packet, const IcmpMessage& message);
[[nodiscard]] IcmpError quote(const Piece& piece, const IcmpMessage& message);

/// Writes the whole error packet, from `source` to the offender's source, to `out`, quoting as much of the
/// offender as the family's limit and `out` allow. Returns its size; 0 if `offender` has no IP header,
/// `source` is of the other family, or `out` does not hold the headers and 8 bytes beyond the offender's IP
/// header.
[[nodiscard]] size_t write_icmp_error(const IcmpMessage& message, const IpAddress& source, ByteView offender,
                                      ByteSpan out) noexcept;

}  // namespace hats::packet
