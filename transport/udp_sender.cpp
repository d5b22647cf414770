#include "transport/udp_sender.hpp"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>

namespace hats::transport {
namespace {

/// What one UDP_SEGMENT send carries at the most: datagrams (Linux before 6.9) and bytes (an IPv4 packet).
constexpr uint32_t kMaxGsoDatagrams = 64;
constexpr uint32_t kMaxGsoBytes = 65'000;

/// The errnos with which a UDP_SEGMENT send may fail where its datagrams alone would not: larger than the
/// route's MTU (EMSGSIZE, EINVAL in some releases), too many segments (EINVAL), no checksum offload or IPsec
/// on the way (EIO), none at all (the last three).
bool may_be_gso(int error) {
  return error == EMSGSIZE || error == EINVAL || error == EIO || error == EOPNOTSUPP ||
         error == ENOPROTOOPT || error == ENOTSUP;
}

bool is_gso_absent(int error) {
  return error == EOPNOTSUPP || error == ENOPROTOOPT;
}

}  // namespace

void probe_udp_port(UdpPort& port) {
  port.family = socket_family(port.fd);
  int value = 0;
  socklen_t size = sizeof value;
  port.gso = getsockopt(port.fd, IPPROTO_UDP, UDP_SEGMENT, &value, &size) == 0;
  port.ds_by_message = can_send_ds_by_message(port.fd, port.family);
}

// Puts the messages of one queue entry into slots: one UDP_SEGMENT send, or each datagram for itself.
uint32_t UdpSender::fill_entry(UdpPort& port, uint32_t index, uint32_t filled, BootTime now) {
  const QueuedUdp& entry = port.queue[index];
  const UdpSend& send = entry.send;
  const uint32_t step = send.segment_size ? send.segment_size : std::max(send.size, 1U);
  uint32_t start = entry.sent;
  const bool gso = send.size - start > step && port.gso && entry.refused_gso == 0 &&
                   gso_paths_.allows(send.to.address, step, now);
  const uint32_t most = gso ? step * std::clamp(kMaxGsoBytes / step, 1U, kMaxGsoDatagrams) : step;
  do {
    const uint32_t size = std::min(most, send.size - start);
    parts_[filled] = {index, start, size, size > step};
    build_send(send, {send.data + start, size}, size > step ? static_cast<uint16_t>(step) : 0,
               port.ds_by_message, slots_[filled], messages_[filled].msg_hdr);
    start += size;
    ++filled;
  } while (start < send.size && filled < kSendBatch);
  return filled;
}

uint32_t UdpSender::fill(UdpPort& port, BootTime now) {
  uint32_t filled = 0;
  for (uint32_t i = 0; i < port.queue.size() && filled < kSendBatch; ++i) {
    const uint8_t ds = port.queue[i].send.ds;
    if (!port.ds_by_message && ds != port.socket_ds) {
      if (filled != 0) break;  // the option is for the whole socket: what is before goes out first
      if (set_socket_ds(port.fd, port.family, ds) == 0) port.socket_ds = ds;
    }
    filled = fill_entry(port, i, filled, now);
  }
  return filled;
}

// The first `count` messages are out. Only entries sent to their end leave the queue.
void UdpSender::finish(UdpPort& port, uint32_t count, BootTime now) {
  uint32_t popped = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Part& part = parts_[i];
    QueuedUdp& entry = port.queue[part.entry - popped];
    if (entry.refused_gso != 0 && entry.sent == 0) {
      // Alone it went, so it was UDP_SEGMENT that this path refuses.
      if (is_gso_absent(entry.refused_gso)) port.gso = false;
      if (gso_paths_.learn(entry.send.to.address, entry.send.segment_size, now)) ++counters_.gso_fallbacks;
    }
    const uint32_t segment = entry.send.segment_size;
    counters_.udp_datagrams_sent += part.gso ? (part.size + segment - 1) / segment : 1;
    entry.sent = part.start + part.size;
    if (entry.sent < entry.send.size) continue;
    ++counters_.udp_sends;
    port.queue.pop();
    ++popped;
  }
}

// The first message of the queue was refused with `error`.
bool UdpSender::refuse(UdpPort& port, int error, std::vector<FailedSend<UdpSend>>& failed) {
  QueuedUdp& entry = port.queue[0];
  if (parts_[0].gso && may_be_gso(error)) {
    entry.refused_gso = error;
    return true;
  }
  entry.send.data += entry.sent;
  entry.send.size -= entry.sent;
  failed.push_back({port.tag, std::move(entry.send), error, entry.resends});
  port.queue.pop();
  return true;
}

SendResult UdpSender::flush(UdpPort& port, BootTime now, std::vector<FailedSend<UdpSend>>& failed) {
  return drain(
      port.fd, port.queue, messages_.data(), [&] { return fill(port, now); },
      [&](uint32_t count) { finish(port, count, now); },
      [&](int error) { return refuse(port, error, failed); });
}

}  // namespace hats::transport
