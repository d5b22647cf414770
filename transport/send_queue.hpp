// The FIFO of one UDP socket and the one place that sends: sendmmsg with MSG_DONTWAIT, in order, stopping at
// the first EAGAIN until the socket is writable again. Both backends send here: see README.md for why
// io_uring does not do it with SQEs.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "transport/gso_paths.hpp"
#include "transport/loop.hpp"
#include "transport/udp_message.hpp"

namespace hats::transport {

/// Sends that wait in one socket's FIFO, at the most; the newest is dropped when it is full.
inline constexpr uint32_t kSendQueueLength = 1'024;
/// Messages given to one sendmmsg.
inline constexpr uint32_t kSendBatch = 64;
/// How often one send may be sent again from inside on_send_failed before the loop drops it.
inline constexpr uint8_t kMaxResends = 3;

struct QueuedSend {
  UdpSend send;
  uint32_t sent = 0;    // bytes of it that are out already (a run sent singly)
  int refused_gso = 0;  // errno of its UDP_SEGMENT send; it now goes out singly
  uint8_t resends = 0;  // failures it has come back from
};

/// A ring of kSendQueueLength entries that grows to its bound and stays.
class SendQueue {
 public:
  /// False if the queue is full; `entry` is then untouched.
  [[nodiscard]] bool push(QueuedSend&& entry);
  [[nodiscard]] QueuedSend& operator[](uint32_t i) { return ring_[(head_ + i) % ring_.size()]; }
  void pop();
  [[nodiscard]] uint32_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  void clear();

 private:
  std::vector<QueuedSend> ring_;
  uint32_t head_ = 0, count_ = 0;
};

/// A UDP socket as the sender sees it.
struct UdpPort {
  Tag tag = 0;
  int fd = -1;
  Family family = Family::none;
  bool gso = false;           // the socket has UDP_SEGMENT
  bool ds_by_message = true;  // else `socket_ds` is what the socket is set to
  uint8_t socket_ds = 0;
  SendQueue queue;
};

/// A send that failed for good, to be told to the handler.
struct FailedSend {
  Tag tag = 0;
  UdpSend send;
  int error = 0;
  uint8_t resends = 0;
};

/// Reads what the socket can do.
void probe_udp_port(UdpPort& port);

/// Sends from FIFOs. One a loop; the messages of one sendmmsg lie in its fixed slots.
class UdpSender {
 public:
  enum class Result : uint8_t { drained, blocked };

  explicit UdpSender(LoopCounters& counters) : counters_(counters) {}
  /// Sends until the queue is empty or the socket would block. Failures are appended to `failed`.
  Result flush(UdpPort& port, BootTime now, std::vector<FailedSend>& failed);

 private:
  struct Part {  // what a slot sends: bytes [start, start + size) of queue entry `entry`
    uint32_t entry = 0, start = 0, size = 0;
    bool gso = false;
  };
  uint32_t fill(UdpPort& port, BootTime now);
  uint32_t fill_entry(UdpPort& port, uint32_t index, uint32_t filled, BootTime now);
  void finish(UdpPort& port, uint32_t count, BootTime now);
  void refuse(UdpPort& port, int error, std::vector<FailedSend>& failed);

  LoopCounters& counters_;
  GsoPaths gso_paths_;
  std::array<SendSlot, kSendBatch> slots_;
  std::array<mmsghdr, kSendBatch> messages_{};
  std::array<Part, kSendBatch> parts_;
};

}  // namespace hats::transport
