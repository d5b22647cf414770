// How every parser says no.
#pragma once

#include <expected>
#include <string>

namespace hats {

/// A fault in a configuration text, as people read it: "FILE:LINE: KEY: what is wrong and what would be
/// right".
struct ConfigError {
  int line = 1;         // 1-based; 1 if the fault has no line of its own
  std::string key;      // may be empty
  std::string message;  // never holds a secret
  std::string file{};   // where the fault stands; empty: in the file that is being read

  /// "FILE:LINE: KEY: message", without "KEY: " if key is empty. `read`: the file that was read.
  [[nodiscard]] std::string text(const std::string& read) const {
    std::string out = (file.empty() ? read : file) + ":" + std::to_string(line) + ": ";
    if (!key.empty()) out += key + ": ";
    return out + message;
  }
};

template <typename T>
using ConfigResult = std::expected<T, ConfigError>;

}  // namespace hats
