// The slab arena of one worker: fixed memory, made at start. A Lease is a counted reference to a slab; the
// slab goes back to the arena when the last lease dies (under io_uring the loop holds one until the last I/O
// completes; callers cannot tell). One thread; the count is not atomic.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "crypto/bytes.hpp"

namespace hats::transport {

/// Bytes a slab: the largest TUN read (65,535 and a virtio header) or GRO receive, with head and tail room
/// for headers, padding, tag and io_uring's recvmsg header.
inline constexpr uint32_t kSlabSize = 65'536 + 1'024;
/// Bytes at the front of a slab that a receive leaves free.
inline constexpr uint32_t kSlabHeadroom = 256;

class Arena;

class Lease {
 public:
  Lease() = default;
  Lease(const Lease& other) noexcept;
  Lease(Lease&& other) noexcept : arena_(std::exchange(other.arena_, nullptr)), index_(other.index_) {}
  Lease& operator=(Lease other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(index_, other.index_);
    return *this;
  }
  ~Lease();
  [[nodiscard]] explicit operator bool() const { return arena_ != nullptr; }
  [[nodiscard]] ByteSpan bytes() const;
  [[nodiscard]] uint32_t index() const { return index_; }

 private:
  friend class Arena;
  Lease(Arena* arena, uint32_t index) : arena_(arena), index_(index) {}
  Arena* arena_ = nullptr;
  uint32_t index_ = 0;
};

}  // namespace hats::transport
