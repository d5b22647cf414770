#include "core/config/wg_quick_values.hpp"

#include <algorithm>
#include <charconv>

#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr size_t kKeyTextSize = 44;       // base64 of 32 bytes
constexpr uint32_t kLeastMtu = 68;        // RFC 791; what a TUN device takes at least
constexpr uint32_t kLargestMtu = 65'535;  // and at most
constexpr size_t kLongestHostName = 253;

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.';
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_word_character);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
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

std::string placeholder_message(std::string_view value) {
  const size_t open = value.find('{');
  const size_t close = value.find('}');
  if (open == std::string_view::npos && close == std::string_view::npos) return {};
  const std::string_view name =
      open != std::string_view::npos && close != std::string_view::npos && open < close
          ? value.substr(open, close - open + 1)
          : value;
  return "the placeholder " + std::string(name) +
         " of the guide is not filled in; put your own value there, without braces";
}

ValueResult<void> parse_key(std::string_view value, std::span<uint8_t, crypto::kKeySize> out) {
  if (crypto::key_from_base64(value, out)) return {};
  std::string message =
      "not a key: it must be " + std::to_string(kKeyTextSize) + " characters of base64 that end in '='";
  if (value.size() != kKeyTextSize) message += ", and has " + std::to_string(value.size());
  return std::unexpected(message + " (make one with 'hatsd-user genkey')");
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
  const bool hex = value.starts_with("0x") || value.starts_with("0X");
  const std::string_view digits = hex ? value.substr(2) : value;
  uint32_t mark = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, mark, hex ? 16 : 10);
  if (error != std::errc{} || stop != end) {
    return std::unexpected(quoted(value) +
                           " is not a mark; write 'off', a number, or hexadecimal with 0x, of 32 bits");
  }
  return mark;
}

ValueResult<uint32_t> parse_mtu(std::string_view value) {
  const auto mtu = parse_decimal(value, kLargestMtu);
  if (!mtu || *mtu < kLeastMtu) {
    return std::unexpected(quoted(value) + " is not an MTU; it must be " + std::to_string(kLeastMtu) +
                           " to " + std::to_string(kLargestMtu) + " bytes");
  }
  return static_cast<uint32_t>(*mtu);
}

ValueResult<std::vector<Prefix>> parse_addresses(std::string_view value) {
  std::vector<Prefix> out;
  for (const std::string_view word : words(value)) {
    const auto prefix = Prefix::parse(word);
    if (!prefix) return std::unexpected(prefix_fault(word));
    out.push_back(*prefix);
  }
  return out;
}

ValueResult<std::vector<wg::AllowedIpChange>> parse_allowed_ips(std::string_view value) {
  std::vector<wg::AllowedIpChange> out;
  for (std::string_view word : split(value, ',')) {
    if (word.empty()) return std::unexpected("an entry is empty; write prefixes with one comma between two");
    const bool remove = word.starts_with('-');
    if (remove || word.starts_with('+')) word.remove_prefix(1);
    const auto prefix = Prefix::parse(word);
    if (!prefix) return std::unexpected(prefix_fault(word));
    out.push_back({*prefix, remove});
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
    if (!IpAddress::parse(std::string_view(out.host).substr(0, out.host.find('%')))) {
      return std::unexpected(quoted(value) + " has no IPv6 address in its brackets" + form);
    }
  } else {
    // wg(8) splits at the last colon, so that a bare 2001:db8::1:51820 is an address and a port as well.
    const size_t colon = value.rfind(':');
    if (colon == std::string_view::npos) return std::unexpected(quoted(value) + " has no port" + form);
    out.host = value.substr(0, colon);
    port = value.substr(colon + 1);
    const std::string_view bare = std::string_view(out.host).substr(0, out.host.find('%'));
    if (bare.find(':') != std::string_view::npos ? !IpAddress::parse(bare)
                                                 : !is_word(bare) || bare.size() > kLongestHostName) {
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
  if (!is_word(value) || (number && parse_decimal(value, 0xffff'ffff).value_or(0) == 0)) {
    return std::unexpected(quoted(value) +
                           " is not a table; write 'auto', 'off', 1 to 4294967295, or a name of rt_tables");
  }
  return RouteTable{RouteTable::Kind::table, std::string(value), 0};
}

}  // namespace hats::config
