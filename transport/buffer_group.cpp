#include "transport/buffer_group.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace hats::transport {
namespace {

/// Bytes that the posted slabs shall take when they are filled as the last ones were. The kernel fills them
/// in turn: with 64 slabs of 64 KiB each receive would go to memory that no cache has any more.
constexpr uint32_t kPostedBytes = 512 * 1024;
/// Slabs posted at the least, however large the receives.
constexpr uint32_t kMinPosted = 8;

}  // namespace

std::expected<std::unique_ptr<BufferGroup>, int> BufferGroup::make(io_uring* ring, uint16_t id,
                                                                   uint32_t entries, uint32_t start,
                                                                   uint32_t size) {
  void* memory = mmap(nullptr, entries * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return std::unexpected(errno);
  std::unique_ptr<BufferGroup> out(
      new BufferGroup(static_cast<io_uring_buf_ring*>(memory), id, entries, start, size));
  io_uring_buf_ring_init(out->memory_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(memory);
  registration.ring_entries = entries;
  registration.bgid = id;
  const int error = -io_uring_register_buf_ring(ring, &registration, 0);
  if (error != 0) return std::unexpected(error);
  return out;
}

BufferGroup::~BufferGroup() {
  munmap(memory_, entries_ * sizeof(io_uring_buf));
}

void BufferGroup::refill(Arena& arena) {
  slabs_.resize(arena.size());
  const uint32_t wanted = std::min(entries_, std::max(kMinPosted, kPostedBytes / (mean_size_ + 1)));
  int added = 0;
  for (; posted_ < wanted; ++posted_, ++added) {
    Lease slab = arena.take();
    if (!slab) break;
    const uint32_t index = slab.index();
    io_uring_buf_ring_add(memory_, slab.bytes().data() + start_, size_, static_cast<uint16_t>(index),
                          io_uring_buf_ring_mask(entries_), added);
    slabs_[index] = std::move(slab);
  }
  if (added != 0) io_uring_buf_ring_advance(memory_, added);
}

Lease BufferGroup::take(uint32_t buffer, uint32_t size) {
  --posted_;
  mean_size_ = (7 * mean_size_ + size) / 8;
  return std::exchange(slabs_[buffer], {});
}

void BufferGroup::close(io_uring* ring) {
  io_uring_unregister_buf_ring(ring, id_);
  slabs_.clear();
  posted_ = 0;
}

}  // namespace hats::transport
