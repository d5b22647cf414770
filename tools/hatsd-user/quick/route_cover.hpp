// Which prefixes a set of routes covers already, for tens of thousands of them: `auto` leaves out a route
// that another of the same device makes needless (formats.md 1.6).
#pragma once

#include <array>
#include <cstddef>
#include <set>

#include "core/base/address.hpp"

namespace hats::app {

class RouteCover {
 public:
  void add(const Prefix& prefix) {
    const Prefix masked = prefix.masked();
    if (prefixes_.insert(masked).second) ++lengths_[index(masked)];
  }
  /// True if a prefix of the set, of the same family, holds all of `prefix`.
  [[nodiscard]] bool covers(const Prefix& prefix) const {
    for (size_t length = 0; length <= prefix.length; ++length) {
      const Prefix shorter{prefix.address, static_cast<uint8_t>(length)};
      if (lengths_[index(shorter)] != 0 && prefixes_.contains(shorter.masked())) return true;
    }
    return false;
  }

 private:
  static constexpr size_t kLengths = 129;  // 0 to 128
  static size_t index(const Prefix& prefix) {
    return (prefix.address.family == Family::v6 ? kLengths : 0) + prefix.length;
  }
  std::set<Prefix> prefixes_;
  std::array<size_t, 2 * kLengths> lengths_{};  // how many prefixes have that length
};

}  // namespace hats::app
