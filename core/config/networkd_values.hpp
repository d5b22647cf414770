// The values of networkd's keys, one function each (formats.md 2). A std::unexpected holds the message alone:
// what is wrong and what would be right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/address.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {

/// 1/yes/y/true/t/on and 0/no/n/false/f/off, in any case; nullopt: neither.
[[nodiscard]] std::optional<bool> networkd_boolean(std::string_view value) noexcept;
[[nodiscard]] ValueResult<bool> parse_networkd_boolean(std::string_view value);
/// A number in one of C's bases (parse_c_number), or the message: "'x' is not WHAT; write MIN to MAX".
[[nodiscard]] ValueResult<uint32_t> parse_number(std::string_view value, std::string_view what, uint32_t min,
                                                 uint32_t max);
/// Bytes with B, K, M, G (base 1024) and a fraction, as MTUBytes= takes them; 68 to 65535.
[[nodiscard]] ValueResult<uint32_t> parse_mtu_bytes(std::string_view value);
/// A dotted quad, read as a big-endian number, or a number. 0 stands for no key.
[[nodiscard]] ValueResult<uint32_t> parse_networkd_tunnel_key(std::string_view value);
/// "main" as "", default, local, and numbers as decimal text. The names of networkd.conf's RouteTable= are
/// not known here, and are refused.
[[nodiscard]] ValueResult<std::string> parse_networkd_table(std::string_view value);
/// global, site, link, host, nowhere, or a number: RT_SCOPE_*.
[[nodiscard]] ValueResult<uint8_t> parse_scope(std::string_view value);
/// An address without a prefix length.
[[nodiscard]] ValueResult<IpAddress> parse_plain_address(std::string_view value);

}  // namespace hats::config
