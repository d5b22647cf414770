// The values in the words of `ip tunnel`, one function each, read as iproute2 reads them (formats.md 4.1).
// A std::unexpected holds the message alone: what is wrong and what would be right.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/address.hpp"
#include "core/config/dsfield.hpp"

namespace hats::config {

template <typename T>
using TunnelValue = std::expected<T, std::string>;

/// Digits as C writes them, at most `max`. Base 0: 0x is hexadecimal, a leading 0 octal, else decimal; base
/// 16: hexadecimal, with or without 0x. No blanks and no sign, which strtoul(3) would take.
[[nodiscard]] std::optional<uint32_t> parse_c_number(std::string_view text, int base, uint32_t max) noexcept;

/// One to four numbers between dots in any of C's bases; missing ones are zero ("10.8" is 10.8.0.0).
[[nodiscard]] std::optional<IpAddress> parse_quad(std::string_view text) noexcept;

/// An address of the given family (none: of any), or unset for any, all, default and the unspecified address.
[[nodiscard]] TunnelValue<IpAddress> parse_tunnel_end(std::string_view word, Family family);
/// The family that a word for an end is written in; none for `any` and its like.
[[nodiscard]] Family family_of_end(std::string_view word) noexcept;

/// A number or a dotted quad, read big-endian.
[[nodiscard]] TunnelValue<uint32_t> parse_tunnel_key(std::string_view word);
/// 0..255; `inherit` is 0, and not said over IPv6.
[[nodiscard]] TunnelValue<uint8_t> parse_tunnel_ttl(std::string_view word, Family family);

/// The outer TOS or traffic class: copied from the inner packet, or of its own, or (inherit/0x10) copied
/// where the inner packet has one.
struct TunnelTos {
  uint8_t value = 0;  // bit 0 is clear: it is how the kernel writes inherit
  bool inherit = false;
  auto operator<=>(const TunnelTos&) const = default;
};
[[nodiscard]] TunnelValue<TunnelTos> parse_tunnel_tos(std::string_view word, Family family,
                                                      const DsfieldNames& names);

/// An interface name that the kernel takes as it is: 1 to 15 characters, no blank, '/', ':' or '%'.
[[nodiscard]] TunnelValue<std::string> parse_tunnel_name(std::string_view word);

}  // namespace hats::config
