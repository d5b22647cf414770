// What expired timers do (WG 6.1 - 6.5; formats.md 6.5).
#include "core/wg/device_impl.hpp"

namespace hats::wg {

std::optional<BootTime> Device::next_deadline() const noexcept {
  const Peer* first = impl_->deadlines.first();
  if (!first) return std::nullopt;
  return first->deadline();
}

void Device::handle_timeout(Now now) {
  Impl& d = *impl_;
  while (Peer* peer = d.deadlines.first()) {
    if (peer->deadline() > now.boot) break;
    d.run_timers(*peer, now);
    d.timers_changed(*peer);
  }
}

void Device::Impl::run_timers(Peer& peer, Now now) {
  using Kind = Timers::Kind;
  Timers& timers = peer.timers;
  if (timers.take_due(Kind::erase_keys, now.boot)) forget_sessions(peer);

  if (timers.take_due(Kind::retransmit_handshake, now.boot)) {
    if (peer.attempts >= kMaxHandshakeRetries) {
      // WG 6.4: give up; new outgoing data starts again.
      drops.add(DropReason::tx_handshake_gave_up, staging.clear(peer.staged));
      peer.keepalive_owed = false;
      timers.cancel(Kind::send_keepalive);
      // What is left of a partial exchange is erased too.
      if (!timers.armed(Kind::erase_keys)) timers.session_derived(now.boot, rng);
    } else {
      ++peer.attempts;
      // Our source address may be why nothing came back.
      peer.source = {};
      want_handshake(peer, now, true);
    }
  }
  if (timers.take_due(Kind::new_handshake, now.boot)) {
    peer.source = {};
    want_handshake(peer, now);
  }
  if (timers.take_due(Kind::send_keepalive, now.boot)) {
    // A responder does not start a handshake just to say that it heard something: that is the initiator's, or
    // both would fight over it when a session expires.
    const auto& current = peer.keypairs.current();
    const bool expired = !current || current->sendable(now.boot) == 0;
    if (!expired || (current && current->initiator())) send_keepalive(peer, now);
  }
  if (timers.take_due(Kind::persistent_keepalive, now.boot)) send_keepalive(peer, now);
}

}  // namespace hats::wg
