// Names of values of the DS field, as /etc/iproute2/rt_dsfield has them: `tos AF11`. The file's text comes
// from the caller.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hats::config {

/// The table, which may be empty: then values are numbers alone.
class DsfieldNames {
 public:
  DsfieldNames() = default;
  /// Lines "0x28 AF11" or "40 AF11"; '#' begins a comment, lines of another form are left out.
  [[nodiscard]] static DsfieldNames parse(std::string_view file);

  /// A name of the table (case matters), else hexadecimal, with or without 0x: 0..255, as ip(8) reads it.
  [[nodiscard]] std::optional<uint8_t> value(std::string_view word) const;
  /// The name, else "0x%02x", as ip(8) prints it.
  [[nodiscard]] std::string text(uint8_t value) const;

 private:
  std::map<uint8_t, std::string> names_;
};

}  // namespace hats::config
