#include "tools/hatsd-user/daemon/tunnel.hpp"

#include <array>
#include <utility>

#include "core/packet/icmp.hpp"
#include "core/packet/ip_view.hpp"
#include "tools/hatsd-user/daemon/icmp_sender.hpp"
#include "tun/vnet_header.hpp"

namespace hats::app {

using transport::TunRead;

namespace {

/// Of the packet that begins so, if it is one host; else unset.
IpAddress destination_of(ByteView packet) {
  if (packet.size() >= packet::kIpv4MinHeader && packet[0] >> 4 == 4) {
    constexpr uint8_t kFirstMulticast = 224;
    return packet[16] < kFirstMulticast ? IpAddress::v4(&packet[16]) : IpAddress{};
  }
  constexpr uint8_t kMulticast = 0xff;
  const bool v6 = packet.size() >= packet::kIpv6Header && packet[0] >> 4 == 6;
  return v6 && packet[24] != kMulticast ? IpAddress::v6(&packet[24]) : IpAddress{};
}

}  // namespace

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

void Tunnel::send_icmp(const packet::IcmpError& error) {
  const bool sent = at_home_ ? parts_.icmp != nullptr && parts_.icmp->send(error, index_) : write_icmp(error);
  if (sent) ++counters_.icmp_sent;
}

bool Tunnel::write_icmp(const packet::IcmpError& error) {
  const IpAddress source = error.source.is_set() ? error.source : destination_of(error.packet);
  const packet::IcmpMessage message{.type = error.type, .code = error.code, .rest = error.rest};
  std::array<uint8_t, packet::kMaxIcmpV6Error> bytes;
  const size_t size = packet::write_icmp_error(message, source, error.packet, bytes);
  if (size == 0 || tun_dead()) return false;
  const ByteSpan packet{bytes.data(), size};
  parts_.space.lenders.clear();
  writer_.write({&packet, 1});
  return true;
}

}  // namespace hats::app
