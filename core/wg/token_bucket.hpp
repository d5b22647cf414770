// A rate that all sources share: a bucket of tokens, kept as the time at which it will be full.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.hpp"

namespace hats::wg {

class TokenBucket {
 public:
  /// `per_second` tokens come back a second; at most `burst` are there.
  constexpr TokenBucket(int64_t per_second, int64_t burst) noexcept
      : token_ns_(1'000'000'000 / per_second), burst_(burst) {}
  /// True, and one token less, if there is one.
  [[nodiscard]] bool take(BootTime now) noexcept {
    const int64_t full_at = std::max(full_at_, now.ns) + token_ns_;
    if (full_at - now.ns > burst_ * token_ns_) return false;
    full_at_ = full_at;
    return true;
  }

 private:
  int64_t token_ns_;
  int64_t burst_;
  int64_t full_at_ = 0;
};

}  // namespace hats::wg
