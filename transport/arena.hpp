// The slab arena of one worker: fixed memory, made at start. A Lease is a counted reference to a slab; the
// slab goes back to the arena when the last lease dies (under io_uring the loop holds one until the last I/O
// completes; callers cannot tell). One thread; the count is not atomic. The arena must outlive its leases.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <utility>
#include <vector>

#include "crypto/bytes.hpp"

namespace hats::transport {

/// Bytes a slab: the largest TUN read (65,535 and a virtio header) or GRO receive, with head and tail room
/// for headers, padding, tag and io_uring's recvmsg header.
inline constexpr uint32_t kSlabSize = 65'536 + 1'024;
/// Bytes at the front of a slab that a receive leaves free.
inline constexpr uint32_t kSlabHeadroom = 256;
/// Slabs of an arena at the most: io_uring names a buffer with 16 bits.
inline constexpr uint32_t kMaxSlabs = 65'535;

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
  /// The whole slab, kSlabSize bytes; nothing of an empty lease.
  [[nodiscard]] ByteSpan bytes() const;
  [[nodiscard]] uint32_t index() const { return index_; }
  /// True if this is the only lease of its slab.
  [[nodiscard]] bool is_sole() const;

 private:
  friend class Arena;
  Lease(Arena* arena, uint32_t index) : arena_(arena), index_(index) {}
  Arena* arena_ = nullptr;
  uint32_t index_ = 0;
};

class Arena {
 public:
  /// Maps memory for `slabs` (1..kMaxSlabs) slabs; pages cost nothing until they are touched. Error: errno.
  static std::expected<std::unique_ptr<Arena>, int> make(uint32_t slabs);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// A slab that nobody has, the one given back last first (its pages are the warmest); an empty lease when
  /// all are out: the caller drops or waits, the arena never grows.
  [[nodiscard]] Lease take() noexcept {
    if (free_.empty()) return {};
    const uint32_t index = free_.back();
    free_.pop_back();
    leases_[index] = 1;
    return {this, index};
  }
  [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(leases_.size()); }
  [[nodiscard]] uint32_t free_count() const { return static_cast<uint32_t>(free_.size()); }

 private:
  friend class Lease;
  Arena(uint8_t* memory, uint32_t slabs);

  uint8_t* memory_;
  std::vector<uint32_t> leases_;  // count of leases, by slab
  std::vector<uint32_t> free_;    // stack; its capacity is all slabs, so that giving back never allocates
};

inline Lease::Lease(const Lease& other) noexcept : arena_(other.arena_), index_(other.index_) {
  if (arena_) ++arena_->leases_[index_];
}

inline Lease::~Lease() {
  if (arena_ && --arena_->leases_[index_] == 0) arena_->free_.push_back(index_);
}

inline ByteSpan Lease::bytes() const {
  if (!arena_) return {};
  return {arena_->memory_ + size_t{index_} * kSlabSize, kSlabSize};
}

inline bool Lease::is_sole() const {
  return arena_ && arena_->leases_[index_] == 1;
}

}  // namespace hats::transport
