// Replay filter of one receiving keypair (WG 5.4.6, RFC 6479): a ring of 64-bit blocks, one bit a counter.
// The block that the newest counter has entered is cleared as a whole, so one block of the ring is not usable
// as window. To be asked after authentication only.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace hats::wg {

class ReplayFilter {
 public:
  static constexpr uint64_t kBits = 8192;
  static constexpr uint64_t kWindow = kBits - 64;  // 8128: how far behind the newest a counter may be
  /// REJECT_AFTER_MESSAGES: this counter and greater ones are never accepted (WG 6.1).
  static constexpr uint64_t kRejectAfterMessages = UINT64_MAX - (uint64_t{1} << 13);

  /// True once for each counter that is new enough, and remembers it.
  [[nodiscard]] bool accept(uint64_t counter) noexcept {
    if (counter >= kRejectAfterMessages) return false;
    const uint64_t block = counter / 64;
    if (counter > newest_) {
      // RFC 6479 3.3: clear every block between the old newest and the new one.
      const uint64_t steps = std::min(block - newest_ / 64, kBlocks);
      for (uint64_t i = 1; i <= steps; ++i) blocks_[(newest_ / 64 + i) % kBlocks] = 0;
      newest_ = counter;
    } else if (newest_ - counter > kWindow) {
      return false;
    }
    uint64_t& bits = blocks_[block % kBlocks];
    const uint64_t bit = uint64_t{1} << (counter % 64);
    const bool fresh = (bits & bit) == 0;
    bits |= bit;
    return fresh;
  }

 private:
  static constexpr uint64_t kBlocks = kBits / 64;

  uint64_t newest_ = 0;  // 0 with no bit set: nothing received yet
  std::array<uint64_t, kBlocks> blocks_{};
};

}  // namespace hats::wg
