#include "core/base/address.hpp"

#include <charconv>

namespace hats {

IpAddress IpAddress::v4(const uint8_t* four_bytes) {
  IpAddress out;
  out.family = Family::v4;
  std::memcpy(out.bytes.data(), four_bytes, 4);
  return out;
}

IpAddress IpAddress::v6(const uint8_t* sixteen_bytes) {
  IpAddress out;
  out.family = Family::v6;
  std::memcpy(out.bytes.data(), sixteen_bytes, 16);
  return out;
}

namespace {

std::optional<uint32_t> parse_number(std::string_view text, uint32_t max, int base = 10) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given, as a pointer
  auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || stop != end || value > max) return std::nullopt;
  return value;
}

bool parse_v4(std::string_view text, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    const size_t dot = i < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return false;
    const auto value = parse_number(part, 255);
    if (!value) return false;
    out[i] = static_cast<uint8_t>(*value);
    text.remove_prefix(i < 3 ? dot + 1 : dot);
  }
  return true;
}

// RFC 4291 2.2: groups of 1..4 hex digits, at most one "::", an optional dotted quad at the end.
bool parse_v6(std::string_view text, uint8_t* out) {
  std::array<uint8_t, 16> bytes{};
  size_t filled = 0;
  std::optional<size_t> gap;
  if (text.starts_with("::")) {
    gap = 0;
    text.remove_prefix(2);
  } else if (text.starts_with(':') || text.empty()) {
    return false;
  }
  while (!text.empty()) {
    if (filled >= 16) return false;
    const size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    if (colon == std::string_view::npos && part.find('.') != std::string_view::npos) {
      if (filled > 12 || !parse_v4(part, &bytes[filled])) return false;
      filled += 4;
      text = {};
      break;
    }
    if (part.empty() || part.size() > 4) return false;
    const auto value = parse_number(part, 0xffff, 16);
    if (!value) return false;
    store_be16(&bytes[filled], static_cast<uint16_t>(*value));
    filled += 2;
    if (colon == std::string_view::npos) break;
    text.remove_prefix(colon + 1);
    if (text.starts_with(':')) {
      if (gap) return false;
      gap = filled;
      text.remove_prefix(1);
    } else if (text.empty()) {
      return false;
    }
  }
  if (gap) {
    if (filled >= 16) return false;
    const size_t tail = filled - *gap;
    std::memmove(&bytes[16 - tail], &bytes[*gap], tail);
    std::memset(&bytes[*gap], 0, 16 - filled);
  } else if (filled != 16) {
    return false;
  }
  std::memcpy(out, bytes.data(), 16);
  return true;
}

// RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as
// "::".
std::string v6_text(const std::array<uint8_t, 16>& bytes) {
  std::array<uint16_t, 8> groups{};
  for (size_t i = 0; i < 8; ++i) groups[i] = load_be16(&bytes[2 * i]);
  size_t best = 8, best_length = 1;
  for (size_t i = 0; i < 8;) {
    size_t j = i;
    while (j < 8 && groups[j] == 0) ++j;
    if (j - i > best_length) best = i, best_length = j - i;
    i = j == i ? i + 1 : j;
  }
  const bool mapped = best == 0 && best_length == 5 && groups[5] == 0xffff;
  const bool compatible = best == 0 && best_length == 6 && groups[6] != 0;
  std::string out;
  for (size_t i = 0; i < 8;) {
    if (i == best) {
      out += "::";
      i += best_length;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    if (i == 6 && (mapped || compatible)) return out + IpAddress::v4(&bytes[12]).text();
    std::array<char, 4> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), groups[i], 16).ptr;
    out.append(digits.data(), end);
    ++i;
  }
  return out;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress out;
  if (text.find(':') != std::string_view::npos) {
    out.family = Family::v6;
    if (!parse_v6(text, out.bytes.data())) return std::nullopt;
  } else {
    out.family = Family::v4;
    if (!parse_v4(text, out.bytes.data())) return std::nullopt;
  }
  return out;
}

std::string IpAddress::text() const {
  if (family == Family::v6) return v6_text(bytes);
  if (family == Family::none) return {};
  std::string out = std::to_string(bytes[0]);
  for (size_t i = 1; i < 4; ++i) out += '.' + std::to_string(bytes[i]);
  return out;
}

Prefix Prefix::masked() const {
  Prefix out = *this;
  for (size_t i = 0; i < out.address.bytes.size(); ++i) {
    const size_t first_bit = 8 * i;
    if (first_bit >= length) {
      out.address.bytes[i] = 0;
    } else if (first_bit + 8 > length) {
      out.address.bytes[i] &= static_cast<uint8_t>(0xff << (first_bit + 8 - length));
    }
  }
  return out;
}

bool Prefix::contains(const IpAddress& other) const {
  return other.family == address.family && Prefix{other, length}.masked().address == masked().address;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  Prefix out{*address, address->bit_count()};
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    if (digits.empty() || digits.size() > 3) return std::nullopt;
    const auto length = parse_number(digits, address->bit_count());
    if (!length) return std::nullopt;
    out.length = static_cast<uint8_t>(*length);
  }
  return out;
}

std::string Prefix::text() const {
  return address.text() + '/' + std::to_string(length);
}

std::string Endpoint::text() const {
  if (address.family == Family::v4) return address.text() + ':' + std::to_string(port);
  if (address.family == Family::none) return {};
  std::string out = '[' + address.text();
  if (scope_id != 0) out += '%' + std::to_string(scope_id);
  return out + "]:" + std::to_string(port);
}

}  // namespace hats
