// The GRE header (RFC 2784 2, RFC 2890 2; formats.md 5.1).
//
//   0      2          4             6            (checksum, if C)  then 4 bytes each: key (K), sequence (S)
//   flags  ethertype  checksum      reserved1
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/address.hpp"
#include "crypto/bytes.hpp"

namespace hats::encap {

inline constexpr uint16_t kEtherIpv4 = 0x0800, kEtherIpv6 = 0x86dd;
/// What the answer to a keepalive has for an ethertype.
inline constexpr uint16_t kKeepaliveProtocol = 0;
inline constexpr size_t kGreMinHeader = 4, kGreMaxHeader = 16;
inline constexpr size_t kGreChecksumAt = 4;

struct GreHeader {
  uint16_t protocol = 0;  // ethertype of the payload
  bool has_checksum = false;
  std::optional<uint32_t> key, sequence;
  uint32_t size = 0;  // bytes; set by parse_gre_header()
};

/// Bytes of a header with these fields: 4 to 16.
[[nodiscard]] constexpr size_t gre_header_size(bool checksum, bool key, bool sequence) noexcept {
  return kGreMinHeader + 4 * (size_t{checksum} + size_t{key} + size_t{sequence});
}

/// Writes the header to `to` (kGreMaxHeader bytes of room); the checksum field, if there is one, is zero.
/// Returns its size.
size_t write_gre_header(uint8_t* to, const GreHeader& header) noexcept;

/// Reads the header at the beginning of `bytes`. nullopt: too short for what its flags announce, version not
/// 0, or a flag set of which RFC 2784 2.3 says that the packet must be discarded (bits 1 to 5, but K and S
/// are known: mask 0x4c00). Bits 6 to 12 are ignored. The checksum is not verified.
///
/// WCCP (0x883e, no flags) is taken for IPv4, or IPv6 over an `outer` of v6, and four bytes more are header
/// unless an IPv4 packet follows at once, as Linux gre_parse_header does.
[[nodiscard]] std::optional<GreHeader> parse_gre_header(ByteView bytes, Family outer) noexcept;

/// What the first four bytes say of our own header in the quote of an ICMP error, the rest of which may be
/// missing.
struct GreFlags {
  uint16_t protocol = 0;
  bool has_key = false;
  size_t key_at = 0;  // where the key lies, if there is one
  size_t size = 0;    // of the whole header
};
/// nullopt: fewer than four bytes, or not version 0.
[[nodiscard]] std::optional<GreFlags> read_gre_flags(ByteView bytes) noexcept;

/// Whether the checksum over `bytes` (GRE header with C set, and payload) is right.
[[nodiscard]] bool gre_checksum_good(ByteView bytes) noexcept;

/// Whether the checksum of `bytes` (as above) was left to a network card that the packet has not passed.
/// Linux (gre_build_header) writes zero and leaves the rest to the device; a virtual one between two hosts on
/// one machine hands the packet over as it is. The price: a damaged packet whose checksum is zero passes.
[[nodiscard]] bool gre_checksum_unfinished(ByteView bytes) noexcept;

}  // namespace hats::encap
