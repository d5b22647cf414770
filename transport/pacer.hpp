// Batching under a real-time scheduling class. Such a loop preempts whoever makes the packets at the first
// one, so that each wake-up brings a single packet and small-packet rates halve. Where wake-ups follow one
// another that closely, the loop pauses before it waits again; a request and its answer never come that
// close.
#pragma once

#include <cstdint>

#include "core/base/time.hpp"

namespace hats::transport {

class Pacer {
 public:
  /// How long a pause is: at 250,000 packets a second it gathers a dozen.
  static constexpr Duration kPause = microseconds(50);
  /// Wake-ups closer than this, with at most kFewPackets each, are a flood of singles.
  static constexpr Duration kQuick = microseconds(20);
  static constexpr uint32_t kFewPackets = 4;
  /// So many of them make the loop pause.
  static constexpr uint32_t kQuickWakeUps = 16;

  /// Told of each wake-up: when it was, and how many packets it brought. Returns how long to pause before the
  /// next wait; 0: not at all. Pauses go on while they gather more than kFewPackets.
  [[nodiscard]] Duration after_wake_up(BootTime now, uint64_t packets) noexcept {
    const Duration interval = now - last_;
    last_ = now;
    if (pausing_) {
      pausing_ = packets > kFewPackets;
      quick_ = 0;
    } else if (packets <= kFewPackets && interval < kQuick) {
      pausing_ = ++quick_ >= kQuickWakeUps;
    } else {
      quick_ = 0;
    }
    return pausing_ ? kPause : Duration{};
  }

 private:
  BootTime last_{};
  uint32_t quick_ = 0;
  bool pausing_ = false;
};

}  // namespace hats::transport
