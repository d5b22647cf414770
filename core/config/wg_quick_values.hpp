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

/// A placeholder of a guide that was left in ("{your private key}"): the message, or "" if there is none.
[[nodiscard]] std::string placeholder_message(std::string_view value);

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
/// Prefixes between commas or blanks.
[[nodiscard]] ValueResult<std::vector<Prefix>> parse_addresses(std::string_view value);
/// Prefixes between commas, each with an optional '+' or '-'; no empty entries.
[[nodiscard]] ValueResult<std::vector<wg::AllowedIpChange>> parse_allowed_ips(std::string_view value);
[[nodiscard]] ValueResult<EndpointText> parse_endpoint(std::string_view value);
/// 0..65535 or "off" in any case.
[[nodiscard]] ValueResult<uint16_t> parse_keepalive(std::string_view value);
/// auto, off (any case), a number or a name of rt_tables.
[[nodiscard]] ValueResult<RouteTable> parse_table(std::string_view value);

}  // namespace hats::config
