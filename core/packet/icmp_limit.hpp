// How many ICMP errors a device or tunnel makes: a token bucket of kIcmpBurst tokens, kIcmpPerSecond of them
// a second (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)).
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.hpp"

namespace hats::packet {

/// ICMP errors waiting to be polled; the newest is dropped when full.
inline constexpr size_t kMaxQueuedIcmp = 64;
inline constexpr uint32_t kIcmpPerSecond = 1'000;
inline constexpr uint32_t kIcmpBurst = 50;

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

}  // namespace hats::packet
