// Helpers of the crypto tests: bytes from hexadecimal text, and a seeded generator so that a failure repeats.
#pragma once

#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/bytes.hpp"
#include "crypto/rng.hpp"

namespace hats::test {

using Bytes = std::vector<uint8_t>;

/// Bytes of hexadecimal text; blanks are skipped.
inline Bytes from_hex(std::string_view text) {
  Bytes result;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == '\n') continue;
    const std::string_view digits = "0123456789abcdef";
    const size_t value = digits.find(c);
    if (value == std::string_view::npos) throw std::invalid_argument("not hexadecimal");
    if (high < 0) {
      high = static_cast<int>(value);
    } else {
      result.push_back(static_cast<uint8_t>(high * 16 + static_cast<int>(value)));
      high = -1;
    }
  }
  return result;
}

inline std::string to_hex(ByteView bytes) {
  std::string result;
  for (const uint8_t byte : bytes) {
    result += "0123456789abcdef"[byte >> 4];
    result += "0123456789abcdef"[byte & 15];
  }
  return result;
}

inline Bytes from_text(std::string_view text) {
  return {text.begin(), text.end()};
}

template <size_t N>
std::array<uint8_t, N> array_from_hex(std::string_view text) {
  const Bytes bytes = from_hex(text);
  std::array<uint8_t, N> result{};
  if (bytes.size() != N) throw std::invalid_argument("wrong length");
  std::copy(bytes.begin(), bytes.end(), result.begin());
  return result;
}

/// 0, 1, 2, ... as the computed vectors use.
inline Bytes counting(size_t size) {
  Bytes result(size);
  for (size_t i = 0; i < size; ++i) result[i] = static_cast<uint8_t>(i);
  return result;
}

class SeededRng final : public crypto::Rng {
 public:
  explicit SeededRng(uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) noexcept override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine_());
  }
  /// A number in 0..limit-1.
  size_t below(size_t limit) noexcept { return engine_() % limit; }
  Bytes bytes(size_t size) {
    Bytes result(size);
    fill(result);
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace hats::test
