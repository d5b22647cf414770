#include "core/config/ip_tunnel_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

constexpr size_t kLongestName = 15;  // IFNAMSIZ less the end
constexpr uint32_t kMaxU32 = 0xFFFF'FFFF;

bool is_any(std::string_view word) noexcept {
  return word == "any" || word == "all" || word == "default";
}

bool is_multicast(const IpAddress& address) noexcept {
  return address.family == Family::v4 ? (address.bytes[0] & 0xF0) == 0xE0 : address.bytes[0] == 0xFF;
}

bool is_broadcast(const IpAddress& address) noexcept {
  return address.family == Family::v4 &&
         std::all_of(address.bytes.begin(), address.bytes.begin() + 4, [](uint8_t b) { return b == 0xFF; });
}

std::unexpected<std::string> fault(std::string text) {
  return std::unexpected(std::move(text));
}

/// Why a word is no address, and what would be one.
std::string address_fault(std::string_view word, Family family) {
  if (const auto placeholder = placeholder_message(word, false)) return *placeholder;
  const std::string is = quoted(word) + " is no ";
  const std::string wanted = family == Family::v4   ? "IPv4 address"
                             : family == Family::v6 ? "IPv6 address"
                                                    : "IP address";
  if (word.find('/') != std::string_view::npos) return is + wanted + "; leave the prefix length away";
  if (word.find('%') != std::string_view::npos)
    return is + wanted + "; leave the zone away and say `dev NAME`";
  if (family == Family::v4 && IpAddress::parse(word))
    return is + wanted + "; GRE over IPv6 is `mode ip6gre`, and sit and ipip run over IPv4 alone";
  if (family == Family::v6 && parse_quad(word)) return is + wanted + "; both ends are of one family";
  return is + wanted + ", and names are not looked up; write it in numbers, or `any`";
}

}  // namespace

std::optional<uint32_t> parse_c_number(std::string_view text, int base, uint32_t max) noexcept {
  const bool prefixed = text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (prefixed && (base == 0 || base == 16)) {
    text.remove_prefix(2);
    base = 16;
  } else if (base == 0) {
    base = text.size() > 1 && text[0] == '0' ? 8 : 10;
  }
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given, as a pointer
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || stop != end || value > max) return std::nullopt;
  return static_cast<uint32_t>(value);
}

std::optional<IpAddress> parse_quad(std::string_view text) noexcept {
  std::array<uint8_t, 4> bytes{};
  for (size_t i = 0;; ++i) {
    const size_t dot = text.find('.');
    const auto part = parse_c_number(text.substr(0, dot), 0, 255);
    if (!part || i == bytes.size()) return std::nullopt;
    bytes[i] = static_cast<uint8_t>(*part);
    if (dot == std::string_view::npos) return IpAddress::v4(bytes.data());
    text.remove_prefix(dot + 1);
  }
}

Family family_of_end(std::string_view word) noexcept {
  if (is_any(word)) return Family::none;
  return word.find(':') != std::string_view::npos ? Family::v6 : Family::v4;
}

TunnelValue<IpAddress> parse_tunnel_end(std::string_view word, Family family) {
  if (is_any(word)) return IpAddress{};
  const bool v6 = family_of_end(word) == Family::v6;
  std::optional<IpAddress> address;
  if (v6 && family != Family::v4) address = IpAddress::parse(word);
  if (!v6 && family != Family::v6) address = parse_quad(word);
  if (!address) return fault(address_fault(word, family));
  if (is_multicast(*address)) {
    return fault(quoted(word) +
                 " is a multicast group, and a tunnel of ours has one peer; give the address of one host");
  }
  if (is_broadcast(*address)) return fault(quoted(word) + " is broadcast; give the address of one host");
  const ByteView bytes = address->view();
  const bool unspecified = std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
  return unspecified ? IpAddress{} : *address;
}

TunnelValue<uint32_t> parse_tunnel_key(std::string_view word) {
  if (word.find('.') != std::string_view::npos) {
    const auto quad = parse_quad(word);
    if (!quad) return fault(quoted(word) + " is no key; a number up to 4294967295, or a dotted quad");
    const auto& b = quad->bytes;
    return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | uint32_t{b[3]};
  }
  const auto number = parse_c_number(word, 0, kMaxU32);
  if (!number) return fault(quoted(word) + " is no key; a number up to 4294967295, or a dotted quad");
  return *number;
}

TunnelValue<uint8_t> parse_tunnel_ttl(std::string_view word, Family family) {
  if (word == "inherit") {
    if (family != Family::v6) return uint8_t{0};
    return fault("'inherit' is not said over IPv6; 0 copies the inner hop limit, 1 to 255 set it");
  }
  const auto number = parse_c_number(word, 0, 255);
  if (number) return static_cast<uint8_t>(*number);
  return fault(quoted(word) + " is out of range; 0 to 255" +
               (family == Family::v6 ? ", 0 copies the inner hop limit" : ", or inherit"));
}

TunnelValue<TunnelTos> parse_tunnel_tos(std::string_view word, Family family, const DsfieldNames& names) {
  if (word == "inherit") return TunnelTos{.inherit = true};
  if (family == Family::v6) {
    const auto number = parse_c_number(word, 16, 255);
    if (!number) return fault(quoted(word) + " is no traffic class; hexadecimal 0x0 to 0xff, or inherit");
    return TunnelTos{.value = static_cast<uint8_t>(*number)};
  }
  TunnelTos out;
  std::string_view value = word;
  if (const size_t slash = word.find('/'); slash != std::string_view::npos) {
    out.inherit = word.substr(0, slash) == "inherit";
    if (out.inherit) value = word.substr(slash + 1);
  }
  const auto number = names.value(value);
  if (!number) {
    return fault(quoted(word) +
                 " is no TOS; hexadecimal 00 to ff, a name of /etc/iproute2/rt_dsfield, inherit, or "
                 "inherit/VALUE");
  }
  out.value = *number & 0xFE;
  out.inherit = out.inherit || (*number & 1) != 0;
  return out;
}

TunnelValue<std::string> parse_tunnel_name(std::string_view word) {
  if (const auto placeholder = placeholder_message(word, false)) return fault(*placeholder);
  if (word.empty()) return fault("an interface name is empty; 1 to 15 characters");
  if (word.size() > kLongestName) {
    return fault(quoted(word) + " has " + std::to_string(word.size()) +
                 " characters; an interface name has at most " + std::to_string(kLongestName));
  }
  const auto wrong = [](char c) { return c <= ' ' || c == 0x7F || c == '/' || c == ':' || c == '%'; };
  if (std::ranges::any_of(word, wrong) || word == "." || word == "..") {
    return fault(quoted(word) + " is no interface name; blanks, '/', ':' and '%' are not allowed");
  }
  return std::string(word);
}

}  // namespace hats::config
