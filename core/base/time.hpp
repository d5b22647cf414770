// Time as the core sees it: given, never taken. Two clocks, two types: BootTime (CLOCK_BOOTTIME: keys age in
// suspend too) for everything that expires, WallTime (CLOCK_REALTIME) for TAI64N alone.
#pragma once

#include <compare>
#include <cstdint>

namespace hats {

/// A span of time in nanoseconds, signed.
struct Duration {
  int64_t ns = 0;
  auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration o) const { return {ns + o.ns}; }
  constexpr Duration operator-(Duration o) const { return {ns - o.ns}; }
  constexpr Duration operator*(int64_t n) const { return {ns * n}; }
};
constexpr Duration nanoseconds(int64_t n) {
  return {n};
}
constexpr Duration microseconds(int64_t n) {
  return {n * 1'000};
}
constexpr Duration milliseconds(int64_t n) {
  return {n * 1'000'000};
}
constexpr Duration seconds(int64_t n) {
  return {n * 1'000'000'000};
}

/// A point of the boot-time clock, nanoseconds since boot.
struct BootTime {
  int64_t ns = 0;
  auto operator<=>(const BootTime&) const = default;
  constexpr BootTime operator+(Duration d) const { return {ns + d.ns}; }
  constexpr BootTime operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(BootTime o) const { return {ns - o.ns}; }
};

/// A point of the wall clock: seconds since 1970 UTC and nanoseconds 0..999,999,999.
struct WallTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  auto operator<=>(const WallTime&) const = default;
};

/// Both clocks, read once a wake-up by whoever owns a clock.
struct Now {
  BootTime boot;
  WallTime wall;
};

}  // namespace hats
