#include "core/config/dsfield.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/config/ip_tunnel_values.hpp"
#include "core/config/text.hpp"

namespace hats::config {

DsfieldNames DsfieldNames::parse(std::string_view file) {
  DsfieldNames out;
  for (std::string_view line : split(file, '\n')) {
    line = line.substr(0, line.find('#'));
    const std::vector<std::string_view> parts = words(line);
    if (parts.size() != 2) continue;
    // only "0x" makes it hexadecimal, and a zero in front makes nothing octal
    const auto number = parts[0].starts_with("0x")
                            ? std::optional<uint64_t>(parse_c_number(parts[0], 16, 255))
                            : parse_decimal(parts[0], 255);
    if (number) out.names_[static_cast<uint8_t>(*number)] = parts[1];
  }
  return out;
}

std::optional<uint8_t> DsfieldNames::value(std::string_view word) const {
  const auto named = std::ranges::find_if(names_, [&](const auto& entry) { return entry.second == word; });
  if (named != names_.end()) return named->first;
  const auto number = parse_c_number(word, 16, 255);
  if (!number) return std::nullopt;
  return static_cast<uint8_t>(*number);
}

std::string DsfieldNames::text(uint8_t value) const {
  if (const auto named = names_.find(value); named != names_.end()) return named->second;
  std::array<char, 8> out{};
  std::snprintf(out.data(), out.size(), "0x%02x", unsigned{value});
  return out.data();
}

}  // namespace hats::config
