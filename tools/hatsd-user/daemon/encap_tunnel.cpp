#include "tools/hatsd-user/daemon/encap_tunnel.hpp"

#include <array>
#include <cerrno>

#include "core/packet/icmp.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::app {

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

void EncapTunnel::attach() {
  Tunnel::attach();
  hub_.set_queue(id_, *this);
}

void EncapTunnel::detach() {
  if (attached()) hub_.remove(id_);
  Tunnel::detach();
}

void EncapTunnel::set_place(uint32_t index, bool at_home) {
  index_ = index;
  at_home_ = at_home;
}

int EncapTunnel::link_set(Now now, bool up, bool /*was_up*/) {
  link_up_ = up;
  hub_.node().set_up(now, id_, link_up_ && !blocked_);
  return 0;
}

void EncapTunnel::set_blocked(Now now, bool blocked) {
  blocked_ = blocked;
  hub_.node().set_up(now, id_, link_up_ && !blocked_);
}

void EncapTunnel::set_path(Now now, const encap::PathInfo& path) {
  refusal_told_ = false;
  hub_.node().set_path(now, id_, path);
}

void EncapTunnel::send_pieces(std::span<transport::TunRead> reads, Now now) {
  BatchSpace& space = parts_.space;
  if (!space.pieces.empty()) hub_.send_pieces(now, id_, reads);
  space.pieces.clear();
  space.piece_reads.clear();
  space.heads.clear();
}

void EncapTunnel::write(std::span<const ByteSpan> packets) {
  if (!tun_dead()) writer_.write(packets);
}

void EncapTunnel::write_merged(ByteSpan packet, const packet::Offload& offload) {
  if (!tun_dead()) writer_.write_merged(packet, offload);
}

void EncapTunnel::send_failed(int error) {
  if (error == EMSGSIZE) {  // counted by the node
    if (!refusal_told_) notify(Notice::path_refused);
    refusal_told_ = true;
    return;
  }
  ++counters_.send_failed;
  counters_.last_send_error = error;
}

void EncapTunnel::send_icmp(const packet::IcmpError& error) {
  const bool sent = at_home_ ? parts_.icmp != nullptr && parts_.icmp->send(error, index_) : write_icmp(error);
  if (sent) ++counters_.icmp_sent;
}

bool EncapTunnel::write_icmp(const packet::IcmpError& error) {
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
