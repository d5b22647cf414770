#include "transport/raw_sender.hpp"

#include <poll.h>

#include <cerrno>
#include <utility>

#include "transport/socket.hpp"

namespace hats::transport {
namespace {

/// So many batches in succession begin with another TTL or DS byte than the socket has, before it is set to
/// theirs. Until then each packet says so itself.
constexpr uint32_t kAdaptAfter = 8;

bool has_room(int fd) {
  pollfd writable{fd, POLLOUT, 0};
  return poll(&writable, 1, 0) == 1;
}

}  // namespace

void probe_raw_port(RawPort& port) {
  port.family = socket_family(port.fd);
  port.ttl_by_message = can_send_ttl_by_message(port.fd, port.family);
}

void RawSender::adapt(RawPort& port, const SocketHeader& header) {
  if (header == port.header) {
    port.wanted_by = 0;
    return;
  }
  port.wanted_by = header == port.wanted ? port.wanted_by + 1 : 1;
  port.wanted = header;
  if (port.wanted_by < kAdaptAfter && port.ttl_by_message) return;
  port.wanted_by = 0;
  if (set_socket_header(port.fd, port.family, header) == 0) {
    port.header = header;
  } else {
    port.header.ttl = 0;
  }
}

uint32_t RawSender::fill(RawPort& port) {
  const uint32_t count = std::min(port.queue.size(), kSendBatch);
  for (uint32_t i = 0; i < count; ++i) {
    const RawSend& send = port.queue[i].send;
    const SocketHeader header{send.ttl, send.ds};
    // Options are for the whole socket: what is before goes out first.
    if (!port.ttl_by_message && i != 0 && header != port.header) return i;
    if (i == 0) adapt(port, header);
    build_send(send, port.header, slots_[i], messages_[i].msg_hdr);
  }
  return count;
}

void RawSender::finish(RawPort& port, uint32_t count) {
  counters_.raw_sends += count;
  for (uint32_t i = 0; i < count; ++i) port.queue.pop();
}

// The first message of the queue was refused with `error`.
bool RawSender::refuse(RawPort& port, int error, std::vector<FailedSend<RawSend>>& failed) {
  QueuedRaw& entry = port.queue[0];
  if (error == EINVAL && entry.send.flow_label != 0) {
    // A label that the kernel refuses costs the packet its label, not its life.
    if (entry.label_asked || lease_flow_label(port.fd, entry.send.to, entry.send.flow_label) != 0) {
      entry.send.flow_label = 0;
    }
    entry.label_asked = true;
    return true;
  }
  if (error == ENOBUFS) {
    // A raw socket with a full send buffer says so, where UDP says EAGAIN. So does a host without memory, or
    // a packet larger than the buffer, and waiting would not end then.
    if (!has_room(port.fd)) return false;
    if (!std::exchange(entry.no_room, true)) return true;
    ++counters_.sends_dropped;
  } else {
    failed.push_back({port.tag, std::move(entry.send), error, entry.resends});
  }
  port.queue.pop();
  return true;
}

SendResult RawSender::flush(RawPort& port, std::vector<FailedSend<RawSend>>& failed) {
  return drain(
      port.fd, port.queue, messages_.data(), [&] { return fill(port); },
      [&](uint32_t count) { finish(port, count); }, [&](int error) { return refuse(port, error, failed); });
}

}  // namespace hats::transport
