#include "tools/hatsd-user/daemon/wg_tunnel.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace hats::app {

using transport::Lease;
using transport::Tag;
using transport::TunRead;
using transport::UdpReceived;
using transport::UdpSend;

namespace {

/// What a datagram adds to its inner packet, padding included; for guessing how many slabs a batch needs.
constexpr uint64_t kGuessedOverhead = 48;

/// Errors after which the same datagram may well pass without its sticky source (WireGuard's socket.c does
/// the same).
bool blames_source(int error) {
  return error == EINVAL || error == EADDRNOTAVAIL || error == ENETUNREACH || error == EHOSTUNREACH ||
         error == ENODEV || error == EPERM;
}

}  // namespace

WgTunnel::WgTunnel(uint32_t slot, tun::TunDevice tun, uint32_t mtu, const WorkerParts& parts, Notify notify)
    : Tunnel(slot, std::move(tun), parts, std::move(notify)), device_(parts.rng, mtu) {}

void WgTunnel::attach() {
  Tunnel::attach();
  add_sockets();
}

void WgTunnel::detach() {
  drop_tickets();
  if (attached()) remove_sockets();
  Tunnel::detach();
}

void WgTunnel::set_sockets(transport::UdpSockets sockets) {
  if (attached()) remove_sockets();
  sockets_ = std::move(sockets);
  device_.set_listen_port(sockets_.port);
  if (attached()) add_sockets();
  if (went_down_) close_sockets();
}

int WgTunnel::set_fwmark(uint32_t mark) {
  if (const int error = transport::set_fwmark(sockets_, mark); error != 0) return error;
  fwmark_ = mark;
  device_.set_fwmark(mark);
  return 0;
}

void WgTunnel::apply(Now now, const wg::DeviceUpdate& update) {
  finish_opening(now);
  finish_sealing(now);
  device_.apply(now, update);
}

int WgTunnel::open_sockets_again() {
  if (sockets_.port == 0 || sockets_.v4) return 0;
  auto opened = transport::open_udp(sockets_.port, fwmark_);
  if (!opened) return opened.error();
  set_sockets(std::move(*opened));
  return 0;
}

void WgTunnel::close_sockets() {
  if (attached()) remove_sockets();
  sockets_.v4.reset();
  sockets_.v6.reset();
}

void WgTunnel::add_sockets() {
  if (sockets_.v4) parts_.loop.add_udp(tag(kUdpV4), sockets_.v4.get());
  if (sockets_.v6) parts_.loop.add_udp(tag(kUdpV6), sockets_.v6.get());
}

void WgTunnel::remove_sockets() {
  if (sockets_.v4) parts_.loop.remove(tag(kUdpV4));
  if (sockets_.v6) parts_.loop.remove(tag(kUdpV6));
}

Tag WgTunnel::socket_tag(const Endpoint& to) const {
  return tag(to.address.family == Family::v4 ? kUdpV4 : kUdpV6);
}

// ---- Out ----

void WgTunnel::send_pieces(std::span<TunRead> reads, Now now) {
  BatchSpace& space = parts_.space;
  std::span<const packet::Piece> rest = space.pieces;
  while (!rest.empty()) {
    uint64_t bytes = 0;
    for (const packet::Piece& piece : rest) bytes += piece.size + kGuessedOverhead;
    lend_slabs(bytes);
    const size_t taken = device_.plan_outbound(now, rest, space.out);
    // The head of a piece overwrites the end of the one before: what is cut into two batches must be sealed
    // one after the other.
    finish_outbound(now, reads, taken == space.pieces.size());
    if (taken == 0) break;  // an empty slab took nothing: the device refuses to go on
    rest = rest.subspan(taken);
  }
  space.pieces.clear();
  space.piece_reads.clear();
  space.heads.clear();
}

void WgTunnel::lend_slabs(uint64_t bytes) {
  BatchSpace& space = parts_.space;
  const size_t wanted = std::min<size_t>(kMaxLentSlabs, 1 + bytes / wg::OutboundBatch::kMaxRunBytes);
  for (size_t i = 0; i < wanted; ++i) {
    Lease slab = parts_.loop.arena().take();
    if (!slab) break;
    space.out.lend(slab.bytes());
    space.lent.push_back(std::move(slab));
  }
  if (space.lent.empty()) {
    space.out.lend(space.spare);
    space.lent.emplace_back();
  }
}

void WgTunnel::finish_outbound(Now now, std::span<const TunRead> reads, bool may_give) {
  BatchSpace& space = parts_.space;
  if (parts_.tickets != nullptr && seal_in_line(now, reads, may_give)) return;
  wg::Device::work(space.out, parts_.aead);
  send_batch(now, space.out, space.lent);
}

void WgTunnel::send_batch(Now now, wg::OutboundBatch& batch, std::vector<Lease>& lent) {
  device_.commit_outbound(now, batch);
  for (const wg::DatagramRun& run : batch.runs) {
    parts_.loop.send(socket_tag(run.to), UdpSend{.slab = lent[run.slab],
                                                 .data = run.data,
                                                 .size = run.size,
                                                 .segment_size = run.segment_size,
                                                 .to = run.to,
                                                 .from = run.from,
                                                 .ds = run.ds,
                                                 .cookie = run.peer});
  }
  batch.clear();
  lent.clear();
}

void WgTunnel::on_send_failed(Part part, UdpSend& send, int error) {
  if (send.from.address.is_set() && blames_source(error)) {
    // The source address vanished, or the route leaves elsewhere now: the datagram goes again at once, and
    // the kernel chooses (formats.md 6.6, "source stickiness").
    if (send.cookie != wg::kNoPeer) device_.forget_source(static_cast<wg::PeerId>(send.cookie));
    ++counters_.source_retries;
    send.from = {};
    parts_.loop.send(tag(part), std::move(send));
    return;
  }
  if (send.cookie != wg::kNoPeer) device_.send_failed(static_cast<wg::PeerId>(send.cookie), send.size);
  ++counters_.send_failed;
  counters_.last_send_error = error;
}

// ---- In ----

void WgTunnel::on_udp(Part /*part*/, std::span<UdpReceived> received, Now now) {
  BatchSpace& space = parts_.space;
  deliver_done(now);
  space.received.clear();
  for (size_t i = 0; i < received.size(); ++i) {
    const UdpReceived& one = received[i];
    space.received.push_back({.bytes = {one.data, one.size},
                              .segment_size = one.segment_size,
                              .from = one.from,
                              .to = one.to,
                              .ds = one.ds,
                              .tag = static_cast<uint32_t>(i)});
  }
  device_.plan_inbound(now, space.received, space.in);
  if (parts_.tickets != nullptr && open_in_line(now, received)) return;
  wg::Device::work(space.in, parts_.aead);
  deliver_batch(now, space.in, received);
}

void WgTunnel::deliver_batch(Now now, wg::InboundBatch& batch, std::span<const UdpReceived> received) {
  BatchSpace& space = parts_.space;
  device_.commit_inbound(now, batch, space.inner);
  if (!tun_dead()) {
    space.lend_from(received);
    space.packets.clear();
    for (const wg::InnerPacket& packet : space.inner) space.packets.emplace_back(packet.data, packet.size);
    writer_.write(space.packets);
  }
  space.inner.clear();
  batch.clear();
}

int WgTunnel::link_set(Now now, bool up, bool was_up) {
  finish_opening(now);
  finish_sealing(now);
  went_down_ = !up && (was_up || went_down_);
  const int error = up ? open_sockets_again() : 0;
  if (up == was_up) return error;
  if (!up) close_sockets();
  device_.set_up(now, up);
  return error;
}

// ---- Handshakes, timers, outputs ----

void WgTunnel::on_wake(Now now) {
  deliver_done(now);
  send_done(now);
  if (device_.has_handshakes()) {
    finish_opening(now);  // they came behind it
    device_.process_handshakes(now, kHandshakesPerWake);
  }
  const auto deadline = device_.next_deadline();
  if (deadline && *deadline <= now.boot) device_.handle_timeout(now);
  send_control();
  for (size_t i = 0; i < kPendingBatchesPerWake && device_.has_pending(); ++i) {
    lend_slabs(wg::OutboundBatch::kMaxRunBytes);
    const bool more = device_.plan_pending(now, parts_.space.out);
    finish_outbound(now, {}, true);
    if (!more) break;
  }
  send_control();
  wg::IcmpError icmp;
  while (device_.poll_icmp(icmp)) send_icmp(icmp);
}

void WgTunnel::send_control() {
  wg::ControlDatagram datagram;
  while (device_.poll_datagram(datagram)) {
    parts_.loop.send(socket_tag(datagram.to), UdpSend{.slab = {},
                                                      .data = datagram.bytes.data(),
                                                      .size = datagram.size,
                                                      .segment_size = 0,
                                                      .to = datagram.to,
                                                      .from = datagram.from,
                                                      .ds = datagram.ds,
                                                      .cookie = datagram.peer});
  }
}

}  // namespace hats::app
