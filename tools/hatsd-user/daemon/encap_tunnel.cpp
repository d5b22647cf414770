#include "tools/hatsd-user/daemon/encap_tunnel.hpp"

#include <cerrno>

namespace hats::app {

void EncapTunnel::attach() {
  Tunnel::attach();
  hub_.set_queue(id_, *this);
}

void EncapTunnel::detach() {
  if (attached()) hub_.remove(id_);
  Tunnel::detach();
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

}  // namespace hats::app
