// Small text tools that the parsers share. Pure; none keeps a pointer into what it was given.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/secret.hpp"

namespace hats::config {

/// Blank as the C locale's isspace() says.
[[nodiscard]] bool is_blank(char c) noexcept;
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;
/// All blanks taken out, wherever they stand, as wg(8) does before it looks at a line.
[[nodiscard]] std::string without_blanks(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// The parts between separators, empty ones included; nothing is trimmed.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
/// The words between blanks and commas, no empty ones.
[[nodiscard]] std::vector<std::string_view> words(std::string_view text);
/// Decimal digits alone, at most `max`.
[[nodiscard]] std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max) noexcept;
/// The candidate that `word` was probably meant to be (up to two letters wrong), or "".
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// Overwrites the characters of a text that held a secret.
inline void wipe_text(std::string& text) noexcept {
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
}

/// The text of a value that may be a secret, without its blanks; wiped when it goes.
class SecretText {
 public:
  explicit SecretText(std::string_view text) : text_(without_blanks(text)) {}
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { wipe_text(text_); }
  [[nodiscard]] std::string_view view() const { return text_; }

 private:
  std::string text_;
};

}  // namespace hats::config
