// What the FIFO of a UDP socket holds, and how its runs go out: with UDP_SEGMENT, or singly where the path
// refuses it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "transport/gso_paths.hpp"
#include "transport/send_queue.hpp"
#include "transport/udp_message.hpp"

namespace hats::transport {

struct QueuedUdp {
  UdpSend send;
  uint32_t sent = 0;    // bytes of it that are out already (a run sent singly)
  int refused_gso = 0;  // errno of its UDP_SEGMENT send; it now goes out singly
  uint8_t resends = 0;  // failures it has come back from
};

/// A UDP socket as the sender sees it.
struct UdpPort {
  Tag tag = 0;
  int fd = -1;
  Family family = Family::none;
  bool gso = false;           // the socket has UDP_SEGMENT
  bool ds_by_message = true;  // else `socket_ds` is what the socket is set to
  uint8_t socket_ds = 0;
  SendQueue<QueuedUdp> queue;
};

/// Reads what the socket can do.
void probe_udp_port(UdpPort& port);

/// Sends from FIFOs. One a loop; the messages of one sendmmsg lie in its fixed slots.
class UdpSender {
 public:
  explicit UdpSender(LoopCounters& counters) : counters_(counters) {}
  /// Sends until the queue is empty or the socket would block. Failures are appended to `failed`.
  SendResult flush(UdpPort& port, BootTime now, std::vector<FailedSend<UdpSend>>& failed);

 private:
  struct Part {  // what a slot sends: bytes [start, start + size) of queue entry `entry`
    uint32_t entry = 0, start = 0, size = 0;
    bool gso = false;
  };
  uint32_t fill(UdpPort& port, BootTime now);
  uint32_t fill_entry(UdpPort& port, uint32_t index, uint32_t filled, BootTime now);
  void finish(UdpPort& port, uint32_t count, BootTime now);
  bool refuse(UdpPort& port, int error, std::vector<FailedSend<UdpSend>>& failed);

  LoopCounters& counters_;
  GsoPaths gso_paths_;
  std::array<SendSlot, kSendBatch> slots_;
  std::array<mmsghdr, kSendBatch> messages_{};
  std::array<Part, kSendBatch> parts_;
};

}  // namespace hats::transport
