// Packets that wait for a session (DESIGN.md 4; formats.md 6.5): copied into storage of their own size. Three
// limits, kMaxStaged*: packets a peer, bytes a peer, bytes a device; when one is passed the oldest packets
// go, of the peer for the first two, of all peers for the third.
#pragma once

#include <cstdint>
#include <vector>

#include "core/wg/constants.hpp"

namespace hats::wg {

class Staging {
 public:
  static constexpr uint32_t kNone = 0xffff'ffff;

  /// One peer's packets, oldest first. Its address must not change while it holds any.
  struct Queue {
    uint32_t head = kNone, tail = kNone;
    uint32_t count = 0;
    uint32_t bytes = 0;
    [[nodiscard]] bool empty() const noexcept { return count == 0; }
  };

  /// Appends; returns how many packets were dropped to make room.
  uint32_t push(Queue& queue, std::vector<uint8_t> packet);
  [[nodiscard]] const std::vector<uint8_t>& front(const Queue& queue) const noexcept {
    return nodes_[queue.head].bytes;
  }
  /// Takes the oldest packet; the queue must not be empty.
  std::vector<uint8_t> pop(Queue& queue) noexcept;
  /// Drops all; returns how many.
  uint32_t clear(Queue& queue) noexcept;
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }

 private:
  struct Node {
    std::vector<uint8_t> bytes;
    Queue* queue = nullptr;
    uint32_t next_of_peer = kNone;
    uint32_t older = kNone, newer = kNone;  // over all peers; `newer` links free nodes as well
  };

  uint32_t take_node();

  std::vector<Node> nodes_;
  uint32_t free_ = kNone;
  uint32_t oldest_ = kNone, newest_ = kNone;
  uint64_t bytes_ = 0;
};

}  // namespace hats::wg
