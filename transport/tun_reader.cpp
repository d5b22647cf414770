#include "transport/tun_reader.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace hats::transport {
namespace {

/// The largest read: an IP packet of 65,535 bytes behind a virtio header (10 or 12 bytes).
constexpr uint32_t kMaxRead = 65'535 + 16;
/// Once a slab has been begun, packets up to this size go behind one another; larger ones get a new slab.
constexpr uint32_t kSmallPacket = 2'048;
/// Room behind a packet that shares its slab: padding and tag of the outer packet fit.
constexpr uint32_t kSharedTailroom = 64;
constexpr uint32_t kAlign = 64;

bool fits_whole(uint32_t offset) {
  return offset + kMaxRead + kSharedTailroom <= kSlabSize;
}

}  // namespace

bool is_tun_dead(int error) {
  // EBADFD: deleted. EFAULT, EIO: being deleted while we read. The others come from a descriptor that is no
  // TUN (any more). EINVAL is one packet whose offload has no name in a virtio header.
  switch (error) {
    case EBADFD:
    case EBADF:
    case EFAULT:
    case EIO:
    case ENODEV:
    case EPIPE:
    case ECONNRESET:
      return true;
    default:
      return false;
  }
}

bool TunReader::prepare(Arena& arena) noexcept {
  if (current_.is_sole()) {
    offset_ = kSlabHeadroom;  // every packet in it is done with
  } else if (!current_ || offset_ + kSmallPacket + kSharedTailroom > kSlabSize) {
    current_ = spill_ ? std::move(spill_) : arena.take();
    offset_ = kSlabHeadroom;
  }
  if (current_ && !fits_whole(offset_) && !spill_) spill_ = arena.take();
  return current_ && (spill_ || fits_whole(offset_));
}

// A packet that did not fit its window has its first bytes there and the rest in the spill slab, at the place
// where the whole will be contiguous once those few are copied in front.
void TunReader::take_packet(uint32_t size, uint32_t window, std::vector<TunRead>& reads) noexcept {
  if (size <= window) {
    uint8_t* data = current_.bytes().data() + offset_;
    uint32_t end = offset_ + size + kSharedTailroom;
    end = std::min((end + kAlign - 1) / kAlign * kAlign, kSlabSize);
    reads.push_back({current_, data, size, end - offset_ - size});
    offset_ = end + kSlabHeadroom;
    // Large packets come in trains: the next one shall find a whole slab instead of spilling.
    if (size > kSmallPacket) current_ = {};
    return;
  }
  uint8_t* data = spill_.bytes().data() + kSlabHeadroom;
  std::memcpy(data, current_.bytes().data() + offset_, window);
  reads.push_back({std::move(spill_), data, size, kSlabSize - kSlabHeadroom - size});
  current_ = {};
}

TunReader::Result TunReader::read(int fd, Arena& arena, std::vector<TunRead>& reads) noexcept {
  uint32_t bytes = 0;
  for (uint32_t count = 0; count < kTunTurnReads && bytes < kTunTurnBytes; ++count) {
    if (!prepare(arena)) return Result::no_slabs;
    const bool whole = fits_whole(offset_);
    const uint32_t window = whole ? kSlabSize - offset_ - kSharedTailroom : kSmallPacket;
    std::array<iovec, 2> parts{iovec{current_.bytes().data() + offset_, window}, iovec{}};
    if (!whole) {
      const uint32_t start = kSlabHeadroom + window;
      parts[1] = {spill_.bytes().data() + start, kSlabSize - start};
    }
    ssize_t size = 0;
    do {
      size = readv(fd, parts.data(), whole ? 1 : 2);
    } while (size < 0 && errno == EINTR);
    if (size > 0) {
      take_packet(static_cast<uint32_t>(size), window, reads);
      bytes += static_cast<uint32_t>(size);
    } else if (size == 0) {
      error_ = EPIPE;
      return Result::closed;
    } else if (errno == EAGAIN) {
      return Result::drained;
    } else if (is_tun_dead(errno)) {
      error_ = errno;
      return Result::closed;
    }
  }
  return Result::more;
}

}  // namespace hats::transport
