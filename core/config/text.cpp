#include "core/config/text.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>

namespace hats::config {
namespace {

constexpr std::string_view kBlanks = " \t\n\v\f\r";
constexpr size_t kTypoDistance = 2;  // letters that may differ in a suggestion

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Levenshtein's distance, ignoring case.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

bool is_blank(char c) noexcept {
  return kBlanks.find(c) != std::string_view::npos;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string without_blanks(std::string_view text) {
  std::string out;
  out.reserve(text.size());  // one allocation: no copies of a secret are left behind by growth
  for (const char c : text) {
    if (!is_blank(c)) out += c;
  }
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  const auto separates = [](char c) { return c == ',' || is_blank(c); };
  while (!text.empty()) {
    const auto* end = std::find_if(text.begin(), text.end(), separates);
    if (end != text.begin()) out.emplace_back(text.begin(), end);
    text.remove_prefix(std::min<size_t>(text.size(), static_cast<size_t>(end - text.begin()) + 1));
  }
  return out;
}

std::optional<uint64_t> parse_decimal(std::string_view text, uint64_t max) noexcept {
  uint64_t value = 0;
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error != std::errc{} || stop != end || value > max) return std::nullopt;
  return value;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = kTypoDistance + 1;
  for (const std::string_view candidate : candidates) {
    const size_t d =
        word.size() > candidate.size() + kTypoDistance ? best_distance : distance(word, candidate);
    if (d < best_distance) best = candidate, best_distance = d;
  }
  return best;
}

}  // namespace hats::config
