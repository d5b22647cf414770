// Messages 1 to 3 (WG 5.4.2 - 5.4.7, 6.1 - 6.6): asking for initiations, making them, and consuming what the
// handshake queue holds. All X25519 work of a device is done here, from process_handshakes.
#include "core/wg/device_impl.hpp"

namespace hats::wg {

void Device::Impl::want_handshake(Peer& peer, Now now, bool retry) {
  if (!retry) peer.attempts = 0;
  if (!up || !has_identity || !peer.endpoint.is_set() || peer.initiation_queued) return;
  // A low-order public key: no handshake can be made.
  if (peer.precomputed && !peer.remote.usable) return;
  const auto& last = peer.last_handshake_sent;
  if (last && !has_expired(*last, kRekeyTimeout, now.boot)) {
    // WG 6.1: at most one in REKEY_TIMEOUT. The retransmit timer sends the next; it is not armed if what we
    // sent was a response.
    if (!peer.timers.armed(Timers::Kind::retransmit_handshake)) peer.timers.handshake_initiated(*last, rng);
    return timers_changed(peer);
  }
  peer.initiation_queued = true;
  initiations.push(peer.id);
}

void Device::Impl::make_initiation(Peer& peer, Now now) {
  peer.initiation_queued = false;
  if (!up || !has_identity || !peer.endpoint.is_set()) return;
  const auto& last = peer.last_handshake_sent;
  if (last && !has_expired(*last, kRekeyTimeout, now.boot)) {
    // We have answered the peer's own initiation meanwhile.
    return want_handshake(peer, now, true);
  }
  precompute(peer);
  // WG 6.1, 5.1: each one fresh; the one before can no longer be answered.
  forget_initiation(peer);
  const uint32_t index = indices.insert(peer.id, IndexUse::handshake);
  InitiationMessage message;
  auto pending_initiation = create_initiation(self, peer.remote, Tai64n::from(now.wall), index, rng, message);
  if (!pending_initiation) {
    indices.erase(index);
    return;
  }
  peer.initiation = std::move(pending_initiation);
  peer.cookies.add_macs(message, now.boot);
  peer.timers.any_authenticated_traversal(now.boot);
  peer.timers.any_authenticated_sent();
  peer.last_handshake_sent = now.boot;
  ++peer.unanswered;
  peer.tx_bytes += sizeof message;
  push_datagram(message, kHandshakeDs, peer.id, peer.endpoint, peer.source);
  peer.timers.handshake_initiated(now.boot, rng);
  timers_changed(peer);
}

bool Device::has_handshakes() const noexcept {
  return !impl_->handshakes.empty() || !impl_->initiations.empty();
}

void Device::process_handshakes(Now now, size_t max) {
  Impl& d = *impl_;
  size_t budget = max * kCheapPerHandshake;
  const auto spend = [&](size_t cost) { budget -= std::min(budget, cost); };
  // By turns, so that a flood of messages does not keep us from sending initiations, nor the reverse.
  while (budget > 0 && has_handshakes()) {
    if (!d.initiations.empty()) {
      Peer* peer = d.find(d.initiations.front());
      d.initiations.pop();
      if (peer && peer->initiation_queued) {
        d.make_initiation(*peer, now);
        spend(kCheapPerHandshake);
      }
    }
    if (budget > 0 && !d.handshakes.empty()) {
      spend(d.consume(now, d.handshakes.front()) ? kCheapPerHandshake : 1);
      d.handshakes.pop();
    }
  }
}

// True if it took X25519: all else is cheap beside that.
bool Device::Impl::consume(Now now, const QueuedHandshake& queued) {
  if (!up || !has_identity) {
    drops.add(up ? DropReason::rx_no_key : DropReason::rx_down);
    return false;
  }
  switch (queued.type) {
    case MessageType::initiation: {
      const auto message = read_message<InitiationMessage>(queued.bytes);
      if (!admit(now, queued, message)) return false;
      consume_initiation(now, queued, message);
      return true;
    }
    case MessageType::response: {
      const auto message = read_message<ResponseMessage>(queued.bytes);
      return admit(now, queued, message) && consume_response(now, queued, message);
    }
    default:
      consume_cookie_reply(now, read_message<CookieReplyMessage>(queued.bytes));
      return false;
  }
}

// WG 5.3, 5.4.4: mac1 always (queue_handshake); under load also mac2, and the rate limit of the source.
template <typename Message>
bool Device::Impl::admit(Now now, const QueuedHandshake& queued, const Message& message) {
  if (!handshakes.under_load(now.boot)) {
    if (limiter.holds_memory()) limiter.collect(now.boot);
    if (unproven.holds_memory()) unproven.collect(now.boot);
    return true;
  }
  if (!checker.mac2_valid(message, queued.from, now.boot, rng)) return admit_unproven(now, queued, message);
  if (limiter.allow(now.boot, queued.from.address)) return true;
  drops.add(DropReason::rx_rate_limited);
  return false;
}

// Under load and without a cookie: one that was silent until now is taken up, as far as that may go for all
// of them together; else a cookie is the answer.
template <typename Message>
bool Device::Impl::admit_unproven(Now now, const QueuedHandshake& queued, const Message& message) {
  using Verdict = RateLimiter::Verdict;
  const Verdict verdict =
      queued.verdict ? *queued.verdict : unproven.judge(now.boot, queued.from.address, queued.from.port);
  if (verdict == Verdict::fresh && unproven_handshakes.take(now.boot)) return true;
  if (verdict == Verdict::refused || !cookie_replies.take(now.boot)) {
    drops.add(DropReason::rx_rate_limited);
    return false;
  }
  drops.add(DropReason::rx_cookie_sent);
  push_datagram(
      checker.create_reply(load_le32(message.sender.data()), message.macs.mac1, queued.from, now.boot, rng),
      0, kNoPeer, queued.from, queued.to);
  return false;
}

void Device::Impl::consume_initiation(Now now, const QueuedHandshake& queued,
                                      const InitiationMessage& message) {
  auto consumed = begin_consume_initiation(self, message);
  if (!consumed) return drops.add(DropReason::rx_handshake_invalid);
  Peer* peer = find(consumed->remote_static);
  if (!peer) return drops.add(DropReason::rx_handshake_unknown_peer);
  precompute(*peer);
  if (!finish_consume_initiation(peer->remote, *consumed)) {
    return drops.add(DropReason::rx_handshake_invalid);
  }
  if (consumed->timestamp <= peer->latest_timestamp) return drops.add(DropReason::rx_handshake_replayed);
  const auto& previous = peer->last_initiation_received;
  if (previous && !has_expired(*previous, kMinInitiationInterval, now.boot)) {
    return drops.add(DropReason::rx_handshake_flood);
  }
  // Believed from here on.
  peer->latest_timestamp = consumed->timestamp;
  peer->last_initiation_received = now.boot;
  // A later initiation overwrites the handshake we may have begun ourselves (formats.md 6.3).
  forget_initiation(*peer);
  set_endpoint(*peer, queued.from, queued.to);
  respond(*peer, now, *consumed);
  received_handshake(*peer, now, sizeof message);
}

void Device::Impl::respond(Peer& peer, Now now, ConsumedInitiation& consumed) {
  const uint32_t index = indices.insert(peer.id, IndexUse::keypair);
  ResponseMessage message;
  auto keys = create_response(peer.remote, consumed, index, rng, message);
  if (!keys) {
    indices.erase(index);
    return drops.add(DropReason::rx_handshake_invalid);
  }
  begin_session(peer, now, std::move(*keys), index, false);
  peer.cookies.add_macs(message, now.boot);
  peer.timers.any_authenticated_traversal(now.boot);
  peer.timers.any_authenticated_sent();
  peer.last_handshake_sent = now.boot;
  peer.tx_bytes += sizeof message;
  push_datagram(message, kHandshakeDs, peer.id, peer.endpoint, peer.source);
}

// False if it answers nothing of ours.
bool Device::Impl::consume_response(Now now, const QueuedHandshake& queued, const ResponseMessage& message) {
  const uint32_t index = load_le32(message.receiver.data());
  const IndexTable::Entry* entry = indices.find(index);
  Peer* peer = entry && entry->use == IndexUse::handshake ? find(entry->peer) : nullptr;
  if (!peer || !peer->initiation) {
    drops.add(DropReason::rx_unknown_index);
    return false;
  }
  auto keys = wg::consume_response(self, peer->remote, *peer->initiation, message);
  if (!keys) {
    drops.add(DropReason::rx_handshake_invalid);
    return true;
  }
  // The keypair takes over the index.
  peer->initiation.reset();
  indices.set_use(index, IndexUse::keypair);
  set_endpoint(*peer, queued.from, queued.to);
  begin_session(*peer, now, std::move(*keys), index, true);
  handshake_complete(*peer, now);
  received_handshake(*peer, now, sizeof message);
  // The responder waits for a packet under the new key: staged data, or else a keepalive.
  send_keepalive(*peer, now);
  return true;
}

void Device::Impl::consume_cookie_reply(Now now, const CookieReplyMessage& message) {
  const IndexTable::Entry* entry = indices.find(load_le32(message.receiver.data()));
  Peer* peer = entry ? find(entry->peer) : nullptr;
  if (!peer || !peer->cookies.consume_reply(message, now.boot)) {
    drops.add(DropReason::rx_cookie_invalid);
  }
}

void Device::Impl::begin_session(Peer& peer, Now now, SessionKeys keys, uint32_t local_index,
                                 bool initiator) {
  const Keypair::Identity identity{
      .peer = peer.id, .peer_serial = peer.serial, .local_index = local_index, .initiator = initiator};
  drop_indices(peer.keypairs.add(std::make_shared<Keypair>(std::move(keys), identity, now.boot)));
  peer.timers.session_derived(now.boot, rng);
}

// The session is known to work: a response was consumed, or the first packet under a responder's new key
// came.
void Device::Impl::handshake_complete(Peer& peer, Now now) noexcept {
  peer.timers.handshake_complete();
  peer.attempts = 0;
  peer.unanswered = 0;
  peer.rekeyed_at_receive = false;
  peer.initiation_queued = false;
  peer.last_handshake = now.wall;
}

void Device::Impl::received_handshake(Peer& peer, Now now, size_t size) {
  peer.rx_bytes += size;
  peer.timers.any_authenticated_received();
  peer.timers.any_authenticated_traversal(now.boot);
  timers_changed(peer);
}

template <typename Message>
void Device::Impl::push_datagram(const Message& message, uint8_t ds, PeerId peer, const Endpoint& to,
                                 const LocalSource& from) {
  ControlDatagram out{.bytes = {}, .size = sizeof message, .ds = ds, .peer = peer, .to = to, .from = from};
  std::memcpy(out.bytes.data(), &message, sizeof message);
  outbox.push(out);
}

bool Device::poll_datagram(ControlDatagram& out) noexcept {
  if (impl_->outbox.empty()) return false;
  out = impl_->outbox.front();
  impl_->outbox.pop();
  return true;
}

}  // namespace hats::wg
