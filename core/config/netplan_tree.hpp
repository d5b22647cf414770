// A YAML file as a tree of texts with their lines. netplan reads scalars as texts, whatever YAML thinks that
// they are, lets a key come twice, and reads the first document alone; so does this.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/source_text.hpp"

namespace hats::config::netplan {

/// Values of one file at the most; a file of 10,000 peers has 100,000.
inline constexpr size_t kMaxNodes = 1'000'000;

class Tree;

/// A value inside a Tree, which must outlive it.
class Value {
 public:
  enum class Kind : uint8_t { scalar, sequence, mapping };

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_scalar() const { return kind() == Kind::scalar; }
  [[nodiscard]] bool is_sequence() const { return kind() == Kind::sequence; }
  [[nodiscard]] bool is_mapping() const { return kind() == Kind::mapping; }
  /// Of a scalar: its text; an empty or null one is "".
  [[nodiscard]] std::string_view text() const;
  [[nodiscard]] int line() const;
  [[nodiscard]] const std::string& file() const;
  /// Of a sequence: its items. Of a mapping: keys and values by turns.
  [[nodiscard]] size_t size() const;
  [[nodiscard]] Value at(size_t index) const;

 private:
  friend class Tree;
  Value(const Tree* tree, uint32_t index) : tree_(tree), index_(index) {}
  const Tree* tree_;
  uint32_t index_;
};

class Tree {
 public:
  /// Reads a file. Refused, by line: what is not YAML, not UTF-8, has control characters, is nested more than
  /// some hundred levels deep, or has more than kMaxNodes values. No exception leaves it.
  [[nodiscard]] static ConfigResult<Tree> read(const SourceText& source);

  Tree(Tree&&) noexcept = default;
  Tree& operator=(Tree&&) noexcept = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree();  // wipes the texts, which may be keys

  /// Unset for a file without a value. Valid while the tree stays where it is.
  [[nodiscard]] std::optional<Value> root() const;
  /// The line of a second document, which is not read; 0 if there is none.
  [[nodiscard]] int second_document_line() const { return second_document_line_; }

  struct Node {
    Value::Kind kind = Value::Kind::scalar;
    int line = 1;
    std::string text{};
    std::vector<uint32_t> children{};
  };

 private:
  friend class Value;
  Tree() = default;

  std::string file_;
  std::deque<Node> nodes_;  // the first is the root; none moves, so that no copy of a key stays behind
  int second_document_line_ = 0;
};

}  // namespace hats::config::netplan
