// How every parser says no.
#pragma once

#include <expected>
#include <string>
#include <vector>

namespace hats {

/// A fault in a configuration text, as people read it: "FILE:LINE: KEY: what is wrong and what would be
/// right".
struct ConfigError {
  int line = 1;                     // 1-based; 1 if the fault has no line of its own (DESIGN.md 7)
  std::string key;                  // may be empty
  std::string message;              // never holds a secret
  std::string file{};               // where the fault stands; empty: in the file that is being read
  std::vector<ConfigError> more{};  // the other faults of the same text, each without more

  /// "FILE:LINE: KEY: message", without "KEY: " if key is empty. `read`: the file that was read.
  [[nodiscard]] std::string text(const std::string& read) const {
    std::string out = (file.empty() ? read : file) + ":" + std::to_string(line > 0 ? line : 1) + ": ";
    if (!key.empty()) out += key + ": ";
    return out + message;
  }

  /// All faults, each on a line of its own; no line end at the end.
  [[nodiscard]] std::string texts(const std::string& read) const {
    std::string out = text(read);
    for (const ConfigError& other : more) out += "\n" + other.text(read);
    return out;
  }
};

template <typename T>
using ConfigResult = std::expected<T, ConfigError>;

}  // namespace hats
