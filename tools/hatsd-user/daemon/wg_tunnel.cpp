#include "tools/hatsd-user/daemon/wg_tunnel.hpp"

#include <algorithm>
#include <cerrno>

#include "core/packet/cut.hpp"
#include "core/packet/merge.hpp"
#include "tun/vnet_header.hpp"

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
    : slot_(slot),
      tun_(std::move(tun)),
      parts_(parts),
      device_(parts.rng, mtu),
      merge_limits_{.tcp = tun_.features().tso, .udp = tun_.features().uso},
      notify_(std::move(notify)) {}

void WgTunnel::attach() {
  parts_.loop.add_tun(tag(slot_, Part::tun), tun_.fd());
  attached_ = true;
  add_sockets();
}

void WgTunnel::detach() {
  if (!attached_) return;
  remove_sockets();
  if (!tun_dead_) parts_.loop.remove(tag(slot_, Part::tun));
  attached_ = false;
}

void WgTunnel::set_sockets(transport::UdpSockets sockets) {
  if (attached_) remove_sockets();
  sockets_ = std::move(sockets);
  device_.set_listen_port(sockets_.port);
  if (attached_) add_sockets();
  if (went_down_) close_sockets();
}

int WgTunnel::set_fwmark(uint32_t mark) {
  if (const int error = transport::set_fwmark(sockets_, mark); error != 0) return error;
  fwmark_ = mark;
  device_.set_fwmark(mark);
  return 0;
}

int WgTunnel::open_sockets_again() {
  if (sockets_.port == 0 || sockets_.v4) return 0;
  auto opened = transport::open_udp(sockets_.port, fwmark_);
  if (!opened) return opened.error();
  set_sockets(std::move(*opened));
  return 0;
}

void WgTunnel::close_sockets() {
  if (attached_) remove_sockets();
  sockets_.v4.reset();
  sockets_.v6.reset();
}

void WgTunnel::add_sockets() {
  if (sockets_.v4) parts_.loop.add_udp(tag(slot_, Part::udp_v4), sockets_.v4.get());
  if (sockets_.v6) parts_.loop.add_udp(tag(slot_, Part::udp_v6), sockets_.v6.get());
}

void WgTunnel::remove_sockets() {
  if (sockets_.v4) parts_.loop.remove(tag(slot_, Part::udp_v4));
  if (sockets_.v6) parts_.loop.remove(tag(slot_, Part::udp_v6));
}

Tag WgTunnel::socket_tag(const Endpoint& to) const {
  return tag(slot_, to.address.family == Family::v4 ? Part::udp_v4 : Part::udp_v6);
}

// ---- Out ----

void WgTunnel::on_tun(std::span<TunRead> reads, Now now) {
  BatchSpace& space = parts_.space;
  if (!up_) {
    // TUN hands out packets of a link that is up: the event that says so is still under way, and the first
    // packet after `ip link set up` must not be lost. Or the link went down just now; the control thread
    // looks.
    set_up(now, true);
    notify_(Notice::used_while_down);
  }
  const uint32_t header_size = tun_.features().header_size;
  for (TunRead& read : reads) {
    ByteSpan packet{read.data, read.size};
    packet::Offload offload;
    if (header_size != 0) {
      const auto decoded = tun::decode_vnet(packet);
      if (!decoded || packet.size() < header_size) {
        ++counters_.tun_malformed;
        continue;
      }
      offload = *decoded;
      packet = packet.subspan(header_size);
    }
    auto result = packet::cut(packet, read.room, offload, space.heads, space.pieces);
    if (result == packet::CutResult::arena_full) {
      send_pieces(now);
      result = packet::cut(packet, read.room, offload, space.heads, space.pieces);
    }
    if (result != packet::CutResult::ok) ++counters_.tun_malformed;
  }
  send_pieces(now);
}

void WgTunnel::send_pieces(Now now) {
  BatchSpace& space = parts_.space;
  std::span<const packet::Piece> rest = space.pieces;
  while (!rest.empty()) {
    uint64_t bytes = 0;
    for (const packet::Piece& piece : rest) bytes += piece.size + kGuessedOverhead;
    lend_slabs(bytes);
    const size_t taken = device_.plan_outbound(now, rest, space.out);
    finish_outbound(now);
    if (taken == 0) break;  // an empty slab took nothing: the device refuses to go on
    rest = rest.subspan(taken);
  }
  space.pieces.clear();
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

void WgTunnel::finish_outbound(Now now) {
  BatchSpace& space = parts_.space;
  wg::Device::work(space.out, parts_.aead);
  device_.commit_outbound(now, space.out);
  for (const wg::DatagramRun& run : space.out.runs) {
    parts_.loop.send(socket_tag(run.to), UdpSend{.slab = space.lent[run.slab],
                                                 .data = run.data,
                                                 .size = run.size,
                                                 .segment_size = run.segment_size,
                                                 .to = run.to,
                                                 .from = run.from,
                                                 .ds = run.ds,
                                                 .cookie = run.peer});
  }
  space.out.clear();
  space.lent.clear();
}

void WgTunnel::on_send_failed(Tag tag, UdpSend& send, int error) {
  if (send.from.address.is_set() && blames_source(error)) {
    // The source address vanished, or the route leaves elsewhere now: the datagram goes again at once, and
    // the kernel chooses (formats.md 6.6, "source stickiness").
    if (send.cookie != wg::kNoPeer) device_.forget_source(static_cast<wg::PeerId>(send.cookie));
    ++counters_.source_retries;
    send.from = {};
    parts_.loop.send(tag, std::move(send));
    return;
  }
  ++counters_.send_failed;
  counters_.last_send_error = error;
}

// ---- In ----

void WgTunnel::on_udp(std::span<UdpReceived> received, Now now) {
  BatchSpace& space = parts_.space;
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
  wg::Device::work(space.in, parts_.aead);
  device_.commit_inbound(now, space.in, space.inner);
  write_inner(received);
  space.inner.clear();
  space.in.clear();
}

void WgTunnel::write_inner(std::span<UdpReceived> received) {
  BatchSpace& space = parts_.space;
  if (space.inner.empty() || tun_dead_) return;
  if (tun_.features().header_size == 0) {
    for (const wg::InnerPacket& packet : space.inner) {
      const packet::Fragment whole{packet.data, packet.size};
      write_one({}, {&whole, 1}, received);
    }
    return;
  }
  space.packets.clear();
  for (const wg::InnerPacket& packet : space.inner) space.packets.emplace_back(packet.data, packet.size);
  space.merged.clear();
  packet::merge(std::span<const ByteSpan>(space.packets), merge_limits_, space.merged);
  for (const packet::TunWritePlan& plan : space.merged.writes) {
    write_one(plan.offload, std::span(space.merged.fragments).subspan(plan.first, plan.count), received);
  }
}

void WgTunnel::write_one(const packet::Offload& offload, std::span<const packet::Fragment> fragments,
                         std::span<UdpReceived> received) {
  BatchSpace& space = parts_.space;
  space.parts.clear();
  space.held.clear();
  if (tun_.features().header_size != 0) {
    space.vnet = tun::encode_vnet(offload);
    space.parts.push_back({space.vnet.data(), tun_.features().header_size});
  }
  uint32_t last_slab = UINT32_MAX;
  size_t at = 0;
  for (const packet::Fragment& fragment : fragments) {
    space.parts.push_back({const_cast<uint8_t*>(fragment.data), fragment.size});
    // The fragments of one write come in the order of the receives, nearly always: the search goes on from
    // where it stopped.
    for (size_t tried = 0; tried < received.size(); ++tried, at = (at + 1) % received.size()) {
      const UdpReceived& one = received[at];
      if (fragment.data < one.data || fragment.data >= one.data + one.size) continue;
      if (one.slab && one.slab.index() != last_slab) {
        last_slab = one.slab.index();
        space.held.push_back(one.slab);
      }
      break;
    }
  }
  parts_.loop.write(tag(slot_, Part::tun), {.parts = space.parts, .slabs = space.held});
}

void WgTunnel::on_tun_closed() {
  tun_dead_ = true;
  notify_(Notice::closed);
}

int WgTunnel::set_up(Now now, bool up) {
  went_down_ = !up && (up_ || went_down_);
  const int error = up ? open_sockets_again() : 0;
  if (up == up_) return error;
  if (!up) close_sockets();
  up_ = up;
  device_.set_up(now, up);
  return error;
}

// ---- Handshakes, timers, outputs ----

void WgTunnel::on_wake(Now now) {
  if (device_.has_handshakes()) device_.process_handshakes(now, kHandshakesPerWake);
  const auto deadline = device_.next_deadline();
  if (deadline && *deadline <= now.boot) device_.handle_timeout(now);
  send_control();
  for (size_t i = 0; i < kPendingBatchesPerWake && device_.has_pending(); ++i) {
    lend_slabs(wg::OutboundBatch::kMaxRunBytes);
    const bool more = device_.plan_pending(now, parts_.space.out);
    finish_outbound(now);
    if (!more) break;
  }
  send_control();
  wg::IcmpError icmp;
  while (device_.poll_icmp(icmp)) {
    if (parts_.icmp != nullptr && parts_.icmp->send(icmp)) ++counters_.icmp_sent;
  }
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
