#include "core/config/wg_quick_values.hpp"

#include <algorithm>
#include <bit>
#include <charconv>

#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr size_t kKeyTextSize = 44;       // base64 of 32 bytes
constexpr uint32_t kLeastMtu = 68;        // RFC 791; what a TUN device takes at least
constexpr uint32_t kLargestMtu = 65'535;  // and at most
constexpr size_t kLongestHostName = 253;
constexpr size_t kLongestQuote = 64;        // characters of a value that a message repeats
constexpr size_t kLongestKeyName = 24;      // characters of a key's name that a message repeats
constexpr size_t kLongestPlaceholder = 32;  // characters of a placeholder that a message repeats
constexpr size_t kSecretRun = 40;           // as many characters of base64 in a row may be a key

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

bool is_base64_character(char c) {
  return c == '+' || c == '/' || (is_word_character(c) && c != '-' && c != '_' && c != '.');
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_word_character);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// An address, with or without a zone, or what may be a name.
bool is_host(std::string_view host) {
  const std::string_view bare = host.substr(0, host.find('%'));
  if (bare.find(':') != std::string_view::npos) return IpAddress::parse(bare).has_value();
  return is_word(host) && host.size() <= kLongestHostName;
}

/// "0x" and digits, 32 bits.
std::optional<uint32_t> parse_hex(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
  text.remove_prefix(2);
  uint32_t value = 0;
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value, 16);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// Why `text` is not a prefix, in the words of somebody who typed it.
std::string prefix_fault(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) {
    return quoted(text) + " is not an address; write it like 10.0.0.1/24 or fd00::1/64";
  }
  const std::string_view length = text.substr(slash + 1);
  const std::string most = std::to_string(address->bit_count());
  if (length.find('.') != std::string_view::npos) {
    return quoted(text) + " has a dotted mask; write a prefix length, 0 to " + most;
  }
  return quoted(text) + " has the prefix length " + quoted(length) + "; for this family it is 0 to " + most;
}

}  // namespace

std::string quoted(std::string_view text) {
  size_t run = 0, longest = 0;
  for (const char c : text) {
    run = is_base64_character(c) ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  if (longest >= kSecretRun) return "the text of " + std::to_string(text.size()) + " characters";
  std::string out = "'";
  for (const char c : text.substr(0, kLongestQuote)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (text.size() > kLongestQuote ? "...'" : "'");
}

std::string printable_key(std::string_view key) {
  size_t end = 0;
  while (end < key.size() && (is_word_character(key[end]) || key[end] == ' ')) ++end;
  return end > kLongestKeyName ? std::string() : std::string(trim(key.substr(0, end)));
}

std::optional<std::string> placeholder_message(std::string_view value, bool secret) {
  const size_t open = value.find('{');
  const size_t close = value.rfind('}');
  if (open == std::string_view::npos && close == std::string_view::npos) return std::nullopt;
  const bool pair = open != std::string_view::npos && close != std::string_view::npos && open < close;
  const std::string_view inside = pair ? trim(value.substr(open + 1, close - open - 1)) : std::string_view();
  const bool words_of_the_guide = inside.starts_with("your") || inside.starts_with("our") || inside == "name";
  if (!words_of_the_guide) return "the braces of a placeholder are left in; write the value without braces";
  // Repeated only if it is words: something else may have been pasted between the braces.
  const bool words_alone = inside.size() <= kLongestPlaceholder && std::ranges::all_of(inside, [](char c) {
                             return c == ' ' || is_word_character(c);
                           });
  return "the placeholder " +
         (words_alone && !secret ? '{' + std::string(inside) + '}' : std::string("{...}")) +
         " of the guide is not filled in; put your own value there, without braces";
}

ValueResult<void> parse_key(std::string_view value, std::span<uint8_t, crypto::kKeySize> out) {
  if (crypto::key_from_base64(value, out)) return {};
  if (value.size() == kKeyTextSize && value.back() == '=') {
    // The place alone: not even one character of a key is repeated.
    const auto wrong = std::ranges::find_if_not(value, is_base64_character);
    const auto place = std::min<size_t>(static_cast<size_t>(wrong - value.begin()) + 1, kKeyTextSize - 1);
    return std::unexpected("not a key: character " + std::to_string(place) +
                           (wrong + 1 < value.end() ? " is none of base64 (letters, digits, '+' and '/')"
                                                    : " cannot be the last of a key; was it copied whole?"));
  }
  std::string message =
      "not a key: it must be " + std::to_string(kKeyTextSize) + " characters of base64 that end in '='";
  if (value.size() != kKeyTextSize) message += ", and has " + std::to_string(value.size());
  return std::unexpected(message + " (hatsd-user genkey, genpsk and pubkey make them)");
}

ValueResult<PortText> parse_port(std::string_view value) {
  if (const auto number = parse_decimal(value, 65'535)) return PortText{static_cast<uint16_t>(*number), {}};
  if (all_digits(value) || !is_word(value) || value.front() == '-') {
    return std::unexpected(quoted(value) + " is not a port; a port is 0 to 65535, or the name of a service");
  }
  return PortText{std::nullopt, std::string(value)};
}

ValueResult<uint32_t> parse_fwmark(std::string_view value) {
  if (equals_ignoring_case(value, "off")) return 0;
  if (const auto hex = parse_hex(value)) return *hex;
  const auto mark = parse_decimal(value, 0xffff'ffff);
  if (mark) return static_cast<uint32_t>(*mark);
  return std::unexpected(quoted(value) +
                         " is not a mark; write 'off', a number, or hexadecimal with 0x, of 32 bits");
}

ValueResult<uint32_t> parse_mtu(std::string_view value) {
  const auto mtu = parse_decimal(value, kLargestMtu);
  if (!mtu || *mtu < kLeastMtu) {
    return std::unexpected(quoted(value) + " is not an MTU; it must be " + std::to_string(kLeastMtu) +
                           " to " + std::to_string(kLargestMtu) + " bytes");
  }
  return static_cast<uint32_t>(*mtu);
}

ValueResult<Prefix> parse_interface_address(std::string_view word) {
  if (const auto prefix = Prefix::parse(word)) return *prefix;
  const size_t slash = word.find('/');
  const auto address = IpAddress::parse(word.substr(0, slash));
  if (slash != std::string_view::npos && address && address->family == Family::v4) {
    const auto mask = IpAddress::parse(word.substr(slash + 1));
    if (mask && mask->family == Family::v4) {
      const uint32_t bits = load_be32(mask->bytes.data());
      const int length = std::countl_one(bits);
      if (std::popcount(bits) == length) return Prefix{*address, static_cast<uint8_t>(length)};
    }
  }
  return std::unexpected(prefix_fault(word));
}

ValueResult<AllowedIpEntries> parse_allowed_ips(std::string_view value) {
  AllowedIpEntries out;
  for (std::string_view word : split(value, ',')) {
    if (word.empty()) return std::unexpected("an entry is empty; write prefixes with one comma between two");
    const bool remove = word.starts_with('-');
    if (remove || word.starts_with('+')) {
      word.remove_prefix(1);
      out.incremental = true;
    }
    const auto prefix = Prefix::parse(word);
    if (!prefix) return std::unexpected(prefix_fault(word));
    out.entries.push_back({*prefix, remove});
  }
  return out;
}

ValueResult<EndpointText> parse_endpoint(std::string_view value) {
  const std::string form = "; write HOST:PORT, 192.0.2.1:51820 or [2001:db8::1]:51820";
  EndpointText out;
  std::string_view port;
  if (value.starts_with('[')) {
    const size_t close = value.find(']');
    if (close == std::string_view::npos) return std::unexpected(quoted(value) + " lacks a ']'" + form);
    out.host = value.substr(1, close - 1);
    port = value.substr(close + 1);
    if (!port.starts_with(':')) return std::unexpected(quoted(value) + " has no port" + form);
    port.remove_prefix(1);
    if (!is_host(out.host)) return std::unexpected(quoted(value) + " has no address in its brackets" + form);
  } else {
    // wg(8) splits at the last colon, so that a bare 2001:db8::1:51820 is an address and a port as well.
    const size_t colon = value.rfind(':');
    if (colon == std::string_view::npos) return std::unexpected(quoted(value) + " has no port" + form);
    out.host = value.substr(0, colon);
    port = value.substr(colon + 1);
    if (!is_host(out.host)) {
      return std::unexpected(quoted(value) + " has neither an address nor a host name before its port" +
                             form);
    }
  }
  const auto parsed = parse_port(port);
  if (!parsed) return std::unexpected(parsed.error());
  if (parsed->number == 0) return std::unexpected(quoted(value) + " has port 0; nothing can be sent there");
  out.port = port;
  return out;
}

ValueResult<uint16_t> parse_keepalive(std::string_view value) {
  if (equals_ignoring_case(value, "off")) return 0;
  const auto seconds = parse_decimal(value, 65'535);
  if (!seconds)
    return std::unexpected(quoted(value) + " is not an interval; write 'off' or 0 to 65535 seconds");
  return static_cast<uint16_t>(*seconds);
}

ValueResult<RouteTable> parse_table(std::string_view value) {
  if (equals_ignoring_case(value, "auto")) return RouteTable{};
  if (equals_ignoring_case(value, "off")) return RouteTable{RouteTable::Kind::off, {}, 0};
  const bool number = all_digits(value);
  if (const auto hex = parse_hex(value); hex && *hex != 0) {  // ip(8) takes it
    return RouteTable{RouteTable::Kind::table, std::to_string(*hex), 0};
  }
  if (!is_word(value) || (number && parse_decimal(value, 0xffff'ffff).value_or(0) == 0)) {
    return std::unexpected(quoted(value) +
                           " is not a table; write 'auto', 'off', 1 to 4294967295, or a name of rt_tables");
  }
  return RouteTable{RouteTable::Kind::table, std::string(value), 0};
}

}  // namespace hats::config
