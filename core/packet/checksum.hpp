// The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo-headers of TCP, UDP and
// ICMPv6 (RFC 9293 3.1, RFC 768, RFC 8200 8.1). Sums are kept unfolded in memory order, so that the pass over
// a payload is nothing but additions; only fold() turns them into a number.
#pragma once

#include <cstdint>

#include "crypto/bytes.hpp"

namespace hats::packet {

/// A ones' complement sum that is not folded yet. Sums of parts that start at even offsets may be added.
struct Sum {
  uint64_t value = 0;  // 16-bit words in memory order, added with end-around carry

  constexpr Sum& operator+=(Sum other) noexcept {
    value += other.value;
    value += value < other.value ? 1 : 0;
    return *this;
  }
  friend constexpr Sum operator+(Sum a, Sum b) noexcept { return a += b; }
};

/// The sum of `bytes`; an odd last byte counts as if a zero followed (RFC 1071 1).
[[nodiscard]] Sum sum_of(ByteView bytes) noexcept;

/// One 16-bit or 32-bit number as it would lie in the packet.
[[nodiscard]] constexpr Sum sum_of_number(uint32_t number) noexcept {
  return {hats::detail::to_order(number, std::endian::big)};
}

/// Folded to 16 bits, not complemented: a number for store_be16. This is what a partial checksum field holds.
[[nodiscard]] constexpr uint16_t fold(Sum sum) noexcept {
  uint64_t v = (sum.value & 0xffff'ffff) + (sum.value >> 32);
  v = (v & 0xffff) + (v >> 16);
  v = (v & 0xffff) + (v >> 16);
  v = (v & 0xffff) + (v >> 16);
  return hats::detail::to_order(static_cast<uint16_t>(v), std::endian::big);
}

/// The checksum: folded and complemented, for store_be16. A region that holds its right checksum gives 0.
[[nodiscard]] constexpr uint16_t finish(Sum sum) noexcept {
  return static_cast<uint16_t>(~fold(sum));
}

/// The pseudo-header. `addresses`: source and destination, one behind the other as both IP headers have them
/// (8 or 32 bytes). `length`: of the transport header and its data.
[[nodiscard]] inline Sum pseudo_header_sum(ByteView addresses, uint8_t protocol, uint32_t length) noexcept {
  return sum_of(addresses) + sum_of_number(protocol) + sum_of_number(length);
}

/// The checksum field after a 16-bit word under it changed from `before` to `after` (RFC 1624 3, equation 3).
[[nodiscard]] constexpr uint16_t update_checksum(uint16_t checksum, uint16_t before,
                                                 uint16_t after) noexcept {
  uint32_t v = static_cast<uint16_t>(~checksum);
  v += static_cast<uint16_t>(~before);
  v += after;
  v = (v & 0xffff) + (v >> 16);
  v = (v & 0xffff) + (v >> 16);
  return static_cast<uint16_t>(~v);
}

}  // namespace hats::packet
