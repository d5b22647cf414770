// The clock that measurements are timed with, and short sleeps.
#pragma once

#include <ctime>

namespace hats::app::bench {

/// Seconds of CLOCK_MONOTONIC (or of another clock).
[[nodiscard]] inline double seconds_now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline void sleep_seconds(double seconds) {
  if (seconds <= 0) return;
  const auto whole = static_cast<time_t>(seconds);
  const timespec wait{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
  nanosleep(&wait, nullptr);
}

}  // namespace hats::app::bench
