// How many ICMP errors a device makes: a token bucket of kIcmpBurst tokens, kIcmpPerSecond of them a second.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.hpp"
#include "core/wg/constants.hpp"

namespace hats::wg {

class IcmpLimit {
 public:
  [[nodiscard]] bool allow(BootTime now) noexcept {
    constexpr int64_t kCost = seconds(1).ns / kIcmpPerSecond;
    constexpr int64_t kFull = kCost * kIcmpBurst;
    credit_ns_ = std::min(kFull, credit_ns_ + std::max<int64_t>(0, (now - filled_).ns));
    filled_ = now;
    if (credit_ns_ < kCost) return false;
    credit_ns_ -= kCost;
    return true;
  }

 private:
  int64_t credit_ns_ = 0;
  BootTime filled_{0};
};

}  // namespace hats::wg
