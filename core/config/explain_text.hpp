// What the two halves of `check` share: lines and lists. Of explain.cpp and explain_tunnel.cpp alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/explain.hpp"

namespace hats::config {

/// Lines without their ends: headings, "  label           text", and "  - item".
class ExplainLines {
 public:
  void head(std::string text) { lines_.push_back(std::move(text)); }
  void add(std::string_view label, const std::string& text);
  void item(const std::string& text) { lines_.push_back("  - " + text); }
  /// A heading and its items; nothing if there are none.
  void list(const char* heading, const std::vector<std::string>& items);
  /// The routes that the file writes out, as ip(8) would be told them.
  void routes(const InterfaceConfig& config);
  [[nodiscard]] std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::vector<std::string> lines_;
};

/// The first of a list, and how many more there are.
[[nodiscard]] std::string listed(const std::vector<std::string>& items);
[[nodiscard]] std::string addresses_line(const InterfaceConfig& config);
[[nodiscard]] std::vector<std::string> warning_texts(const InterfaceConfig& config,
                                                     const ExplainFacts& facts);

/// Of an interface with a `.tunnel`; facts.paths: the way to the other end, or nothing.
[[nodiscard]] std::vector<std::string> explain_tunnel(const InterfaceConfig& config,
                                                      const ExplainFacts& facts);

}  // namespace hats::config
