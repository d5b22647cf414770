// Reads of one TUN queue with read(2), until there is no more or the turn's budget is spent. Small packets
// share a slab, at advancing offsets: 64 of them would otherwise touch 64 slabs' pages.
#pragma once

#include <vector>

#include "transport/arena.hpp"
#include "transport/loop.hpp"

namespace hats::transport {

/// Reads a turn takes from one queue, and bytes: 256 KiB fill the UDP_SEGMENT sends of a turn, and more would
/// only push the first out of the cache (DESIGN.md 9, corking).
inline constexpr uint32_t kTunTurnReads = 64;
inline constexpr uint32_t kTunTurnBytes = 256 * 1024;

class TunReader {
 public:
  enum class Result : uint8_t {
    drained,   // the queue is empty
    more,      // the budget is spent
    no_slabs,  // the arena is
    closed     // the device is gone: see error()
  };

  /// Appends to `reads`. `fd` is non-blocking; every read is one packet (with its virtio header).
  Result read(int fd, Arena& arena, std::vector<TunRead>& reads) noexcept;
  /// errno of the last `closed`.
  [[nodiscard]] int error() const { return error_; }
  /// Gives back the slabs kept for the next turn.
  void release() { current_ = {}, spill_ = {}; }

 private:
  bool prepare(Arena& arena) noexcept;
  void take_packet(uint32_t size, uint32_t window, std::vector<TunRead>& reads) noexcept;

  Lease current_;        // slab being filled
  uint32_t offset_ = 0;  // where its next packet goes
  Lease spill_;          // takes what is too large for the rest of current_
  int error_ = 0;
};

/// True for the errnos of read(2) on a TUN queue after which it will never deliver again.
[[nodiscard]] bool is_tun_dead(int error);

}  // namespace hats::transport
