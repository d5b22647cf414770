#include "core/wg/staging.hpp"

#include <utility>

namespace hats::wg {

uint32_t Staging::take_node() {
  if (free_ == kNone) {
    nodes_.emplace_back();
    return static_cast<uint32_t>(nodes_.size() - 1);
  }
  const uint32_t taken = free_;
  free_ = nodes_[taken].newer;
  return taken;
}

uint32_t Staging::push(Queue& queue, std::vector<uint8_t> packet) {
  const auto size = static_cast<uint32_t>(packet.size());
  uint32_t dropped = 0;
  while (!queue.empty() && (queue.count >= kMaxStagedPackets || queue.bytes + size > kMaxStagedPeerBytes)) {
    pop(queue);
    ++dropped;
  }
  while (oldest_ != kNone && bytes_ + size > kMaxStagedDeviceBytes) {
    // The oldest of all is the oldest of its peer.
    pop(*nodes_[oldest_].queue);
    ++dropped;
  }
  const uint32_t index = take_node();
  nodes_[index] = {std::move(packet), &queue, kNone, newest_, kNone};
  (newest_ == kNone ? oldest_ : nodes_[newest_].newer) = index;
  newest_ = index;
  (queue.tail == kNone ? queue.head : nodes_[queue.tail].next_of_peer) = index;
  queue.tail = index;
  ++queue.count;
  queue.bytes += size;
  bytes_ += size;
  return dropped;
}

std::vector<uint8_t> Staging::pop(Queue& queue) noexcept {
  const uint32_t index = queue.head;
  Node& node = nodes_[index];
  std::vector<uint8_t> out = std::move(node.bytes);
  queue.head = node.next_of_peer;
  if (queue.head == kNone) queue.tail = kNone;
  --queue.count;
  queue.bytes -= static_cast<uint32_t>(out.size());
  bytes_ -= out.size();
  (node.older == kNone ? oldest_ : nodes_[node.older].newer) = node.newer;
  (node.newer == kNone ? newest_ : nodes_[node.newer].older) = node.older;
  node = {};
  node.newer = free_;
  free_ = index;
  return out;
}

uint32_t Staging::clear(Queue& queue) noexcept {
  const uint32_t count = queue.count;
  while (!queue.empty()) pop(queue);
  return count;
}

}  // namespace hats::wg
