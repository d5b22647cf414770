#include "tools/hatsd-user/daemon/tunnel.hpp"

#include <utility>

#include "tun/vnet_header.hpp"

namespace hats::app {

using transport::TunRead;

void Tunnel::attach() {
  parts_.loop.add_tun(tag(kTunPart), tun_.fd());
  attached_ = true;
}

void Tunnel::detach() {
  if (!attached_) return;
  if (!tun_dead_) parts_.loop.remove(tag(kTunPart));
  attached_ = false;
}

void Tunnel::on_tun(std::span<TunRead> reads, Now now) {
  if (!up_) {
    // TUN hands out packets of a link that is up: the event that says so is still under way, and the first
    // packet after `ip link set up` must not be lost. Or the link went down just now; the control thread
    // looks.
    set_up(now, true);
    notify_(Notice::used_while_down);
  }
  for (size_t i = 0; i < reads.size(); ++i) cut_read(reads, i, now);
  send_pieces(reads, now);
}

void Tunnel::cut_read(std::span<TunRead> reads, size_t index, Now now) {
  BatchSpace& space = parts_.space;
  const TunRead& read = reads[index];
  const uint32_t header_size = tun_.features().header_size;
  ByteSpan packet{read.data, read.size};
  packet::Offload offload;
  if (header_size != 0) {
    const auto decoded = tun::decode_vnet(packet);
    if (!decoded || packet.size() < header_size) {
      ++counters_.tun_malformed;
      return;
    }
    offload = *decoded;
    packet = packet.subspan(header_size);
  }
  auto result = packet::cut(packet, read.room, offload, space.heads, space.pieces);
  if (result == packet::CutResult::arena_full) {
    send_pieces(reads, now);
    result = packet::cut(packet, read.room, offload, space.heads, space.pieces);
  }
  if (result != packet::CutResult::ok) ++counters_.tun_malformed;
  space.piece_reads.resize(space.pieces.size(), static_cast<uint32_t>(index));
}

void Tunnel::on_write_failed() {
  ++counters_.write_failed;
  const packet::MergeLimits& limits = writer_.limits();
  const bool refused = limits.tcp != tun_.features().tso || limits.udp != tun_.features().uso;
  if (!refused || std::exchange(refusal_of_merging_told_, true)) return;
  notify_(Notice::merging_refused);
}

void Tunnel::on_tun_closed() {
  tun_dead_ = true;
  notify_(Notice::closed);
}

int Tunnel::set_up(Now now, bool up) {
  const bool was_up = std::exchange(up_, up);
  return link_set(now, up, was_up);
}

}  // namespace hats::app
