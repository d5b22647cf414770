// How many ICMP errors a device or tunnel makes: a token bucket (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)).
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.hpp"

namespace hats::packet {

/// ICMP errors waiting to be polled; the newest is dropped when full.
inline constexpr size_t kMaxQueuedIcmp = 64;
inline constexpr uint32_t kIcmpPerSecond = 1'000;
inline constexpr uint32_t kIcmpBurst = 50;
/// Of errors about outer packets that are passed on to inner senders. Whoever knows a tunnel's ends can forge
/// them, and names the receiver in what he quotes: few, and none of those that we owe ourselves.
inline constexpr uint32_t kRelayedPerSecond = 10;
inline constexpr uint32_t kRelayedBurst = 20;

class IcmpLimit {
 public:
  explicit IcmpLimit(uint32_t per_second = kIcmpPerSecond, uint32_t burst = kIcmpBurst) noexcept
      : cost_ns_(seconds(1).ns / per_second), full_ns_(cost_ns_ * burst) {}

  [[nodiscard]] bool allow(BootTime now) noexcept {
    credit_ns_ = std::min(full_ns_, credit_ns_ + std::max<int64_t>(0, (now - filled_).ns));
    filled_ = now;
    if (credit_ns_ < cost_ns_) return false;
    credit_ns_ -= cost_ns_;
    return true;
  }

 private:
  int64_t cost_ns_, full_ns_;
  int64_t credit_ns_ = 0;
  BootTime filled_{0};
};

}  // namespace hats::packet
