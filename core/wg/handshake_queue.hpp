// Handshake messages that wait for their turn: copied out of the receive buffer into a bounded ring, so that
// a flood of them costs the data path no more than the copy (WG 5.3). The newest is dropped when full. Memory
// grows with use, to at most kMaxQueuedHandshakes entries.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/base/address.hpp"
#include "core/base/fifo.hpp"
#include "core/wg/constants.hpp"
#include "core/wg/messages.hpp"
#include "core/wg/rate_limiter.hpp"

namespace hats::wg {

struct QueuedHandshake {
  MessageType type = MessageType::initiation;
  std::array<uint8_t, sizeof(InitiationMessage)> bytes{};  // as many as the type has
  Endpoint from;
  LocalSource to;
  /// What the limiter of unproven sources said of it, if it came under load and without mac2.
  std::optional<RateLimiter::Verdict> verdict{};
};

/// Also decides whether we are under load.
class HandshakeQueue {
 public:
  /// False if full.
  [[nodiscard]] bool push(const QueuedHandshake& message) {
    if (queue_.size() >= kMaxQueuedHandshakes) return false;
    queue_.push(message);
    return true;
  }
  [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
  [[nodiscard]] size_t size() const noexcept { return queue_.size(); }
  [[nodiscard]] const QueuedHandshake& front() noexcept { return queue_.front(); }
  void pop() noexcept { queue_.pop(); }
  void clear() noexcept { queue_.clear(); }

  /// True while kUnderLoadQueue messages wait, and for kUnderLoadHold after.
  [[nodiscard]] bool under_load(BootTime now) noexcept {
    if (queue_.size() >= kUnderLoadQueue) {
      loaded_until_ = now + kUnderLoadHold;
      return true;
    }
    return now < loaded_until_;
  }
  /// A flood goes on, although its messages no longer come as far as the queue.
  void stays_loaded(BootTime now) noexcept { loaded_until_ = now + kUnderLoadHold; }

 private:
  Fifo<QueuedHandshake> queue_;
  BootTime loaded_until_{INT64_MIN};
};

}  // namespace hats::wg
