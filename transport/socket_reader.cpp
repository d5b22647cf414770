#include "transport/socket_reader.hpp"

#include <algorithm>

namespace hats::transport {
namespace {

/// Bytes one recvmmsg may bring at the average size of the last one: as for TUN, more would not stay in the
/// cache. At least kMinSlots messages are asked for.
constexpr uint32_t kReceiveTurnBytes = 256 * 1024;
constexpr uint32_t kMinSlots = 6;
static_assert(kMinSlabs / 4 >= kMinSlots);
/// Bytes a receive may fill: all of the slab but the headroom and the room of an authentication tag.
constexpr uint32_t kReceiveSize = kSlabSize - kSlabHeadroom - 64;

}  // namespace

// Gives each message a slab; returns how many have one.
uint32_t SocketReader::prepare(Arena& arena) {
  uint32_t count = 0;
  for (; count < wanted_; ++count) {
    Slot& slot = slots_[count];
    if (!slot.slab) slot.slab = arena.take();
    if (!slot.slab) break;
    slot.part = {slot.slab.bytes().data() + kSlabHeadroom, kReceiveSize};
    msghdr& message = messages_[count].msg_hdr;
    message = {};
    message.msg_name = &slot.name;
    message.msg_namelen = sizeof slot.name;
    message.msg_iov = &slot.part;
    message.msg_iovlen = 1;
    message.msg_control = slot.control.data();
    message.msg_controllen = slot.control.size();
  }
  return count;
}

void SocketReader::adapt(uint32_t count, uint32_t bytes) {
  wanted_ = std::clamp(kReceiveTurnBytes / (bytes / count + 1), kMinSlots, most_);
}

void SocketReader::release() {
  for (Slot& slot : slots_) slot.slab = {};
}

}  // namespace hats::transport
