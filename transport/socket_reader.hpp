// recvmmsg into slabs, a batch at a time, for sockets that are read when they are known to be readable.
#pragma once

#include <sys/socket.h>

#include <array>
#include <vector>

#include "transport/arena.hpp"
#include "transport/loop.hpp"
#include "transport/message.hpp"

namespace hats::transport {

/// Receives given to one call of on_udp or on_raw, at the most.
inline constexpr uint32_t kTurnReceives = 64;

/// One for all sockets of a loop: the slabs in which nothing has arrived are kept for the next read.
class SocketReader {
 public:
  enum class Result : uint8_t {
    drained,  // the socket had less than was asked for
    more,     // the batch is full
    no_slabs  // the arena is empty
  };

  /// `most`: messages a read asks for, 1..kTurnReceives.
  explicit SocketReader(uint32_t most) : most_(most), wanted_(most) {}

  /// One recvmmsg. Appends what came to `out`; what `parse(msghdr, Received&)` refuses is left out. An error
  /// of the socket counts as drained: reading has cleared it.
  template <typename Received, typename Parse>
  Result read(int fd, Arena& arena, std::vector<Received>& out, Parse parse) {
    const uint32_t slots = prepare(arena);
    if (slots == 0) return Result::no_slabs;
    const int count = recvmmsg(fd, messages_.data(), slots, MSG_DONTWAIT, nullptr);
    if (count <= 0) return Result::drained;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < static_cast<uint32_t>(count); ++i) {
      Received& one = out.emplace_back();
      one.size = messages_[i].msg_len;
      bytes += one.size;
      if (!parse(messages_[i].msg_hdr, one)) {
        out.pop_back();  // its slab stays in the slot
        continue;
      }
      one.slab = std::move(slots_[i].slab);
      one.data = one.slab.bytes().data() + kSlabHeadroom;
    }
    adapt(static_cast<uint32_t>(count), bytes);
    return static_cast<uint32_t>(count) < slots ? Result::drained : Result::more;
  }
  /// Gives back the slabs kept for the next read.
  void release();

 private:
  struct Slot {
    Lease slab;
    sockaddr_in6 name{};
    iovec part{};
    alignas(cmsghdr) std::array<uint8_t, kReceiveControlSize> control{};
  };

  uint32_t prepare(Arena& arena);
  void adapt(uint32_t count, uint32_t bytes);

  std::array<Slot, kTurnReceives> slots_;
  std::array<mmsghdr, kTurnReceives> messages_{};
  uint32_t most_, wanted_;
};

}  // namespace hats::transport
