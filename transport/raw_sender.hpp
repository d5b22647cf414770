// What the FIFO of a raw socket holds, and how it goes out. A packet that the kernel refuses is lost and
// told; tried again is only what waits for room, or is refused because of its flow label.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "transport/raw_message.hpp"
#include "transport/send_queue.hpp"

namespace hats::transport {

struct QueuedRaw {
  RawSend send;
  uint8_t resends = 0;       // failures that led to it
  bool label_asked = false;  // its flow label was asked for
  bool no_room = false;      // refused once for want of room although the socket had some
};

/// A raw socket as the sender sees it.
struct RawPort {
  Tag tag = 0;
  int fd = -1;
  Family family = Family::none;
  bool ttl_by_message = true;  // else the socket is set anew for each packet that differs
  SocketHeader header;         // what the socket is set to
  SocketHeader wanted;         // what the last batches began with that differed
  uint32_t wanted_by = 0;      // how many of them, one behind another
  SendQueue<QueuedRaw> queue;
};

/// Reads what the socket can do.
void probe_raw_port(RawPort& port);

/// Sends from FIFOs. One a loop; the messages of one sendmmsg lie in its fixed slots.
class RawSender {
 public:
  explicit RawSender(LoopCounters& counters) : counters_(counters) {}
  /// Sends until the queue is empty or the socket would block. Failures are appended to `failed`.
  SendResult flush(RawPort& port, std::vector<FailedSend<RawSend>>& failed);

 private:
  uint32_t fill(RawPort& port);
  static void adapt(RawPort& port, const SocketHeader& header);
  void finish(RawPort& port, uint32_t count);
  bool refuse(RawPort& port, int error, std::vector<FailedSend<RawSend>>& failed);

  LoopCounters& counters_;
  std::array<RawSlot, kSendBatch> slots_;
  std::array<mmsghdr, kSendBatch> messages_{};
};

}  // namespace hats::transport
