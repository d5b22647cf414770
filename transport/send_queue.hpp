// The FIFO of one socket and the way it is emptied: sendmmsg with MSG_DONTWAIT, in order, stopping at the
// first EAGAIN until the socket is writable again. Both backends send like this: see README.md for why
// io_uring does not do it with SQEs.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "transport/loop.hpp"

namespace hats::transport {

/// Sends that wait in one socket's FIFO, at the most; the newest is dropped when it is full.
inline constexpr uint32_t kSendQueueLength = 1'024;
/// Messages given to one sendmmsg.
inline constexpr uint32_t kSendBatch = 64;
/// How often one send may be sent again from inside on_send_failed before the loop drops it; raw packets sent
/// from inside on_raw_send_failed count as well.
inline constexpr uint8_t kMaxResends = 3;

/// A ring of kSendQueueLength entries that grows to its bound and stays. An entry has a `send` with a lease.
template <typename Entry>
class SendQueue {
 public:
  /// False if the queue is full; `entry` is then untouched.
  [[nodiscard]] bool push(Entry&& entry) {
    if (count_ == ring_.size()) {
      if (count_ == kSendQueueLength) return false;
      grow();
    }
    ring_[(head_ + count_) % ring_.size()] = std::move(entry);
    ++count_;
    return true;
  }
  [[nodiscard]] Entry& operator[](uint32_t i) { return ring_[(head_ + i) % ring_.size()]; }
  void pop() {
    ring_[head_].send.slab = {};
    head_ = static_cast<uint32_t>((head_ + 1) % ring_.size());
    --count_;
  }
  [[nodiscard]] uint32_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  void clear() {
    while (!empty()) pop();
  }

 private:
  // Entries the ring starts with; it doubles up to kSendQueueLength and never shrinks.
  static constexpr uint32_t kFirstRing = 64;
  static_assert(kSendQueueLength % kFirstRing == 0);

  void grow() {
    std::ranges::rotate(ring_, ring_.begin() + head_);
    head_ = 0;
    ring_.resize(ring_.empty() ? kFirstRing : ring_.size() * 2);
  }

  std::vector<Entry> ring_;
  uint32_t head_ = 0, count_ = 0;
};

/// A send that failed for good, to be told to the handler.
template <typename Send>
struct FailedSend {
  Tag tag = 0;
  Send send;
  int error = 0;
  uint8_t resends = 0;
};

enum class SendResult : uint8_t { drained, blocked };

/// Sends until `queue` is empty or the socket would block. `fill()` puts messages of the queue's front into
/// `messages` and returns how many; `finish(n)` is told that the first n are out; `refuse(errno)` that the
/// first one was refused: it removes or changes the queue's first entry, or returns false to wait until the
/// socket can be written to.
template <typename Queue, typename Fill, typename Finish, typename Refuse>
SendResult drain(int fd, const Queue& queue, mmsghdr* messages, Fill fill, Finish finish, Refuse refuse) {
  while (!queue.empty()) {
    const uint32_t filled = fill();
    const int sent = sendmmsg(fd, messages, filled, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      finish(static_cast<uint32_t>(sent));
    } else if (errno == EAGAIN || (errno != EINTR && !refuse(errno))) {
      return SendResult::blocked;
    }
  }
  return SendResult::drained;
}

}  // namespace hats::transport
