// TAI64N time stamps of initiations (WG 5.1, 5.4.2): they only ever have to grow.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "core/base/time.hpp"
#include "crypto/bytes.hpp"

namespace hats::wg {

/// 12 bytes, big-endian, so that the order of the bytes is the order of time. All zeros: none yet.
struct Tai64n {
  std::array<uint8_t, 12> bytes{};
  auto operator<=>(const Tai64n&) const = default;

  /// BE64(2^62 + 10 + seconds since 1970), BE32(nanoseconds). The nanoseconds are rounded down to a multiple
  /// of 2^24, so that the stamp is no precise clock for an observer (as the kernel).
  [[nodiscard]] static Tai64n from(WallTime wall) noexcept {
    constexpr uint64_t kEpoch = 0x4000'0000'0000'000aULL;
    constexpr uint32_t kWhitening = (1U << 24) - 1;
    Tai64n out;
    store_be64(out.bytes.data(), kEpoch + static_cast<uint64_t>(wall.seconds));
    store_be32(out.bytes.data() + 8, wall.nanoseconds & ~kWhitening);
    return out;
  }
};

}  // namespace hats::wg
