// The faults of a text, collected, so that whoever mends the file hears of all of them at once.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/config_error.hpp"

namespace hats::config {

inline constexpr size_t kMaxFaults = 20;  // of one text; that there are more is said, not which

class Faults {
 public:
  void add(ConfigError fault) {
    std::vector<ConfigError> others = std::move(fault.more);
    fault.more.clear();
    ++count_;
    if (faults_.size() < kMaxFaults) faults_.push_back(std::move(fault));
    for (ConfigError& other : others) add(std::move(other));
  }
  /// Keeps the fault of a result that is one. True: it is none.
  template <typename T>
  bool passed(const ConfigResult<T>& result) {
    if (!result) add(result.error());
    return result.has_value();
  }
  [[nodiscard]] bool any() const { return count_ != 0; }
  [[nodiscard]] size_t count() const { return count_; }
  /// All of them as one error; any() holds.
  [[nodiscard]] ConfigError take() {
    ConfigError out = std::move(faults_.front());
    out.more.assign(std::make_move_iterator(faults_.begin() + 1), std::make_move_iterator(faults_.end()));
    if (count_ > faults_.size()) {
      out.more.push_back({.key = {}, .message = "and more faults", .file = out.more.back().file});
    }
    faults_.clear();
    count_ = 0;
    return out;
  }
  /// What a reader returns: its value, unless there are faults.
  [[nodiscard]] ConfigResult<void> result() {
    if (!any()) return {};
    return std::unexpected(take());
  }

 private:
  std::vector<ConfigError> faults_;
  size_t count_ = 0;
};

}  // namespace hats::config
