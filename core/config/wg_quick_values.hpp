// The values of wg-quick's keys, one function each (formats.md 1.2, 1.3). A std::unexpected holds the message
// alone: what is wrong and what would be right, never a secret.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/wg_quick.hpp"

namespace hats::config {

template <typename T>
using ValueResult = std::expected<T, std::string>;

/// Braces of a guide that were left in ("{your private key}", or around the value): the message, or nullopt.
/// A `secret` value is not repeated.
[[nodiscard]] std::optional<std::string> placeholder_message(std::string_view value, bool secret);

/// A value as messages repeat it: in quotes, cut at 64 characters, what cannot be printed as '?', and nothing
/// that may be a key, wherever the operator put it.
[[nodiscard]] std::string quoted(std::string_view text);
/// What stands before '=', as messages repeat it: cut before anything that is not part of a name.
[[nodiscard]] std::string printable_key(std::string_view key);

/// 44 characters of base64; the message never repeats the value.
[[nodiscard]] ValueResult<void> parse_key(std::string_view value, std::span<uint8_t, crypto::kKeySize> out);
/// 0..65535 or a service name.
struct PortText {
  std::optional<uint16_t> number;
  std::string service;
};
[[nodiscard]] ValueResult<PortText> parse_port(std::string_view value);
/// "off" in any case, decimal, or hexadecimal with 0x.
[[nodiscard]] ValueResult<uint32_t> parse_fwmark(std::string_view value);
[[nodiscard]] ValueResult<uint32_t> parse_mtu(std::string_view value);
/// An address with its prefix length, or, as ip(8) has it, an IPv4 address with a dotted mask.
[[nodiscard]] ValueResult<Prefix> parse_interface_address(std::string_view word);
/// Prefixes between commas, each with an optional '+' or '-'; no empty entries.
struct AllowedIpEntries {
  std::vector<wg::AllowedIpChange> entries;
  bool incremental = false;  // some entry has '+' or '-'
};
[[nodiscard]] ValueResult<AllowedIpEntries> parse_allowed_ips(std::string_view value);
[[nodiscard]] ValueResult<EndpointText> parse_endpoint(std::string_view value);
/// 0..65535 or "off" in any case.
[[nodiscard]] ValueResult<uint16_t> parse_keepalive(std::string_view value);
/// auto, off (any case), a number or a name of rt_tables.
[[nodiscard]] ValueResult<RouteTable> parse_table(std::string_view value);

}  // namespace hats::config
