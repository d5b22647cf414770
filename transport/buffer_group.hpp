// A provided-buffer ring of io_uring whose buffers are slabs of the arena: the kernel picks one for each
// receive, and the slab's lease goes on to the handler.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <vector>

#include "transport/arena.hpp"

namespace hats::transport {

class BufferGroup {
 public:
  /// Registers group `id` with `entries` (a power of two) places. Each buffer is `size` bytes at `start` in
  /// its slab. Error: errno.
  static std::expected<std::unique_ptr<BufferGroup>, int> make(io_uring* ring, uint16_t id, uint32_t entries,
                                                               uint32_t start, uint32_t size);
  BufferGroup(const BufferGroup&) = delete;
  BufferGroup& operator=(const BufferGroup&) = delete;
  /// The ring it was registered with must be gone, or no request of the group may be under way.
  ~BufferGroup();

  [[nodiscard]] uint16_t id() const { return id_; }
  [[nodiscard]] uint32_t posted() const { return posted_; }
  /// Posts slabs of the arena until as many are posted as make sense at the size of the last receives, or the
  /// arena is empty.
  void refill(Arena& arena);
  /// The slab that the kernel chose, and filled with `size` bytes; it is no longer posted. `buffer` is the id
  /// in the completion's flags.
  [[nodiscard]] Lease take(uint32_t buffer, uint32_t size);
  /// Unregisters the group and gives back all slabs.
  void close(io_uring* ring);

 private:
  BufferGroup(io_uring_buf_ring* memory, uint16_t id, uint32_t entries, uint32_t start, uint32_t size)
      : memory_(memory), id_(id), entries_(entries), start_(start), size_(size) {}

  io_uring_buf_ring* memory_;
  uint16_t id_;
  uint32_t entries_, start_, size_;
  uint32_t posted_ = 0;
  uint32_t mean_size_ = 0;    // bytes of the last receives, a moving average
  std::vector<Lease> slabs_;  // by slab index, which is also the buffer's id
};

}  // namespace hats::transport
