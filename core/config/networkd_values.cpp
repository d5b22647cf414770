#include "core/config/networkd_values.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/config/ip_tunnel_values.hpp"
#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr uint32_t kLeastMtu = 68;
constexpr uint32_t kLargestMtu = 65'535;

std::string range(uint64_t min, uint64_t max) {
  return std::to_string(min) + " to " + std::to_string(max);
}

}  // namespace

std::optional<bool> networkd_boolean(std::string_view value) noexcept {
  const auto is = [value](std::string_view word) { return equals_ignoring_case(value, word); };
  if (is("1") || is("yes") || is("y") || is("true") || is("t") || is("on")) return true;
  if (is("0") || is("no") || is("n") || is("false") || is("f") || is("off")) return false;
  return std::nullopt;
}

ValueResult<bool> parse_networkd_boolean(std::string_view value) {
  if (const auto boolean = networkd_boolean(value)) return *boolean;
  return std::unexpected(quoted(value) + " is neither 'yes' nor 'no'");
}

ValueResult<uint32_t> parse_number(std::string_view value, std::string_view what, uint32_t min,
                                   uint32_t max) {
  const auto number = parse_c_number(value, 0, max);
  if (number && *number >= min) return *number;
  return std::unexpected(quoted(value) + " is not " + std::string(what) + "; write " + range(min, max));
}

ValueResult<uint32_t> parse_mtu_bytes(std::string_view value) {
  constexpr std::array<std::pair<char, uint32_t>, 4> kSuffixes = {
      {{'B', 1}, {'K', 1U << 10}, {'M', 1U << 20}, {'G', 1U << 30}}};
  std::string_view digits = value;
  uint64_t unit = 1;
  for (const auto& [suffix, size] : kSuffixes) {
    if (!digits.ends_with(suffix)) continue;
    digits = trim(digits.substr(0, digits.size() - 1));
    unit = size;
    break;
  }
  const size_t dot = digits.find('.');
  const auto whole = parse_decimal(digits.substr(0, dot), kLargestMtu);
  if (whole) {
    uint64_t bytes = *whole * unit;
    bool right = true;
    if (dot != std::string_view::npos) {
      const std::string_view fraction = digits.substr(dot + 1);
      const auto parts = parse_decimal(fraction, 999'999);
      right = parts.has_value() && fraction.size() <= 6;
      uint64_t scale = 1;
      for (size_t i = 0; right && i < fraction.size(); ++i) scale *= 10;
      if (right) bytes += *parts * unit / scale;
    }
    if (right && bytes >= kLeastMtu && bytes <= kLargestMtu) return static_cast<uint32_t>(bytes);
  }
  return std::unexpected(quoted(value) + " is not an MTU; it must be " + range(kLeastMtu, kLargestMtu) +
                         " bytes (K, M and G stand for powers of 1024)");
}

ValueResult<uint32_t> parse_networkd_tunnel_key(std::string_view value) {
  const auto quad = IpAddress::parse(value);
  if (quad && quad->family == Family::v4) return load_be32(quad->bytes.data());
  if (const auto number = parse_c_number(value, 0, 0xffff'ffff)) return *number;
  return std::unexpected(quoted(value) +
                         " is not a key; write 1 to 4294967295, hexadecimal with 0x, or a dotted quad");
}

ValueResult<std::string> parse_networkd_table(std::string_view value) {
  if (value == "main") return std::string();
  if (value == "default") return std::string("253");
  if (value == "local") return std::string("255");
  const auto number = parse_c_number(value, 0, 0xffff'ffff);
  if (number && *number != 0) return *number == 254 ? std::string() : std::to_string(*number);
  return std::unexpected(quoted(value) +
                         " is not a table; write default, main, local or 1 to 4294967295 (names that "
                         "networkd.conf gives to tables are not read here: write their numbers)");
}

ValueResult<uint8_t> parse_scope(std::string_view value) {
  constexpr std::array<std::pair<std::string_view, uint8_t>, 5> kScopes = {
      {{"global", 0}, {"site", 200}, {"link", 253}, {"host", 254}, {"nowhere", 255}}};
  const auto* found = std::ranges::find(kScopes, value, &std::pair<std::string_view, uint8_t>::first);
  if (found != kScopes.end()) return found->second;
  if (const auto number = parse_c_number(value, 0, 255)) return static_cast<uint8_t>(*number);
  return std::unexpected(quoted(value) + " is not a scope; write global, link, host or 0 to 255");
}

ValueResult<IpAddress> parse_plain_address(std::string_view value) {
  if (const auto address = IpAddress::parse(value)) return *address;
  if (Prefix::parse(value)) {
    return std::unexpected(quoted(value) + " has a prefix length; write the address alone");
  }
  return std::unexpected(quoted(value) + " is not an address; write it like 192.0.2.1 or 2001:db8::1");
}

}  // namespace hats::config
