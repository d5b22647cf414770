// Device: making, configuring, up and down, telling (peers.md 4; the kernel's netlink.c semantics).
#include <algorithm>

#include "core/wg/device_impl.hpp"
#include "crypto/x25519.hpp"

namespace hats::wg {

Device::Device(crypto::Rng& rng, uint32_t mtu) : impl_(std::make_unique<Impl>(rng, mtu)) {}
Device::~Device() = default;

// ---- Peers ----

Peer* Device::Impl::find(const crypto::PublicKey& key) const noexcept {
  const auto found = by_key.find(key);
  return found == by_key.end() ? nullptr : found->second;
}

Peer& Device::Impl::create_peer(const crypto::PublicKey& key) {
  PeerId id = static_cast<PeerId>(peers.size());
  if (free_ids.empty()) {
    peers.emplace_back();
  } else {
    id = free_ids.back();
    free_ids.pop_back();
  }
  peers[id] = std::make_unique<Peer>(id, next_serial++, key);
  by_key.emplace(key, peers[id].get());
  return *peers[id];
}

void Device::Impl::remove_peer(Peer& peer) {
  forget_sessions(peer);
  staging.clear(peer.staged);
  allowed_ips.remove_peer(peer.id);
  deadlines.remove(peer);
  by_key.erase(peer.remote.public_key);
  const PeerId id = peer.id;
  peers[id].reset();
  free_ids.push_back(id);
}

void Device::Impl::precompute(Peer& peer) noexcept {
  if (peer.precomputed) return;
  peer.remote.precompute(self);
  peer.precomputed = true;
}

void Device::Impl::forget_initiation(Peer& peer) noexcept {
  if (!peer.initiation) return;
  indices.erase(peer.initiation->local_index);
  peer.initiation.reset();
}

void Device::Impl::drop_indices(const RetiredKeypairs& retired) noexcept {
  if (retired.a) indices.erase(retired.a->identity().local_index);
  if (retired.b) indices.erase(retired.b->identity().local_index);
}

// WG 6.3: all keys and the state of a handshake under way.
void Device::Impl::forget_sessions(Peer& peer) noexcept {
  forget_initiation(peer);
  for (const auto* slot : {&peer.keypairs.previous(), &peer.keypairs.current(), &peer.keypairs.next()}) {
    if (*slot) indices.erase((*slot)->identity().local_index);
  }
  peer.keypairs.clear();
}

// ---- Updates ----

void Device::Impl::set_private_key(Now now, const crypto::PrivateKey& key) {
  crypto::PrivateKey fresh = key.copy();
  const bool none = fresh.is_zero();
  if (!none) crypto::clamp(fresh);
  if (fresh.equals(self.private_key)) return;
  const crypto::PublicKey public_key = none ? crypto::PublicKey{} : crypto::public_key_of(fresh);
  if (!none) {
    // We do not talk to ourselves.
    if (Peer* own = find(public_key)) remove_peer(*own);
  }
  self.private_key = std::move(fresh);
  self.public_key = public_key;
  has_identity = !none;
  checker.set_identity(public_key);
  // Those that wait have shown that they know the old key.
  drops.add(DropReason::rx_bad_mac1, handshakes.size());
  handshakes.clear();
  for (const auto& peer : peers) {
    if (!peer) continue;
    peer->precomputed = false;
    peer->remote.static_static.clear();
    // Sessions of the old key may still receive, but no longer send; a new handshake may start at once.
    forget_initiation(*peer);
    peer->keypairs.retire_sending();
    peer->last_handshake_sent.reset();
    peer->initiation_queued = false;
    send_staged(*peer, now);
    timers_changed(*peer);
  }
}

void Device::Impl::apply_peer(Now now, const PeerUpdate& update) {
  Peer* peer = find(update.public_key);
  if (!peer) {
    if (update.remove || update.update_only) return;
    // Silently, so that one file of peers can serve all of them (as the kernel).
    if (has_identity && update.public_key == self.public_key) return;
    peer = &create_peer(update.public_key);
  }
  if (update.remove) return remove_peer(*peer);
  if (update.preshared_key) peer->remote.preshared_key = update.preshared_key->copy();
  if (update.endpoint) {
    peer->endpoint = *update.endpoint;
    peer->source = {};
  }
  if (update.replace_allowed_ips) allowed_ips.remove_peer(peer->id);
  for (const AllowedIpChange& change : update.allowed_ips) {
    if (change.remove) {
      allowed_ips.remove(change.prefix, peer->id);
    } else {
      allowed_ips.insert(change.prefix, peer->id);
    }
  }
  if (update.persistent_keepalive_s) {
    const bool begins = peer->timers.persistent_keepalive_s() == 0 && *update.persistent_keepalive_s != 0;
    peer->timers.set_persistent_keepalive(*update.persistent_keepalive_s);
    if (begins && up) send_keepalive(*peer, now);
  }
  send_staged(*peer, now);
  timers_changed(*peer);
}

void Device::apply(Now now, const DeviceUpdate& update) {
  Impl& d = *impl_;
  if (update.listen_port) d.listen_port = *update.listen_port;
  if (update.fwmark) d.fwmark = *update.fwmark;
  if (update.private_key) d.set_private_key(now, *update.private_key);
  if (update.replace_peers) {
    for (size_t i = 0; i < d.peers.size(); ++i) {
      if (d.peers[i]) d.remove_peer(*d.peers[i]);
    }
  }
  for (const PeerUpdate& peer : update.peers) d.apply_peer(now, peer);
}

void Device::set_up(Now now, bool up) {
  Impl& d = *impl_;
  if (up == d.up) return;
  d.up = up;
  for (const auto& peer : d.peers) {
    if (!peer) continue;
    if (up) {
      if (peer->timers.persistent_keepalive_s() != 0) d.send_keepalive(*peer, now);
      continue;
    }
    d.forget_sessions(*peer);
    d.staging.clear(peer->staged);
    peer->keepalive_owed = peer->in_pending = peer->initiation_queued = false;
    peer->last_handshake_sent.reset();
    peer->attempts = 0;
    peer->timers.stop();
    d.timers_changed(*peer);
  }
  if (up) return;
  d.handshakes.clear();
  d.initiations.clear();
  d.pending.clear();
  d.outbox.clear();
  d.icmp.clear();
}

void Device::set_mtu(uint32_t mtu) noexcept {
  impl_->mtu = mtu;
}
void Device::set_listen_port(uint16_t port) noexcept {
  impl_->listen_port = port;
}
void Device::set_fwmark(uint32_t mark) noexcept {
  impl_->fwmark = mark;
}

void Device::forget_source(PeerId id) noexcept {
  if (Peer* peer = impl_->find(id)) peer->source = {};
}
void Device::forget_source(const crypto::PublicKey& key) noexcept {
  if (Peer* peer = impl_->find(key)) peer->source = {};
}

void Device::set_path_mtu(const crypto::PublicKey& key, const Endpoint& endpoint, uint32_t mtu) noexcept {
  Peer* peer = impl_->find(key);
  if (!peer) return;
  peer->measured = endpoint;
  peer->path_mtu = mtu;
}

void Device::send_failed(PeerId id, uint64_t bytes) noexcept {
  if (Peer* peer = impl_->find(id)) peer->tx_bytes -= std::min(bytes, peer->tx_bytes);
}

// ---- Telling ----

namespace {

/// Peers in the order of their creation, as the kernel lists them.
std::vector<const Peer*> in_order(const std::vector<std::unique_ptr<Peer>>& peers) {
  std::vector<const Peer*> out;
  for (const auto& peer : peers) {
    if (peer) out.push_back(peer.get());
  }
  std::sort(out.begin(), out.end(), [](const Peer* a, const Peer* b) { return a->serial < b->serial; });
  return out;
}

}  // namespace

DeviceSnapshot Device::snapshot() const {
  const Impl& d = *impl_;
  DeviceSnapshot out;
  if (d.has_identity) out.private_key = d.self.private_key.copy();
  out.public_key = d.self.public_key;
  out.listen_port = d.listen_port;
  out.fwmark = d.fwmark;
  for (const Peer* peer : in_order(d.peers)) {
    PeerSnapshot& to = out.peers.emplace_back();
    to.public_key = peer->remote.public_key;
    to.preshared_key = peer->remote.preshared_key.copy();
    to.endpoint = peer->endpoint;
    to.last_handshake_s = peer->last_handshake.seconds;
    to.last_handshake_ns = peer->last_handshake.nanoseconds;
    to.tx_bytes = peer->tx_bytes;
    to.rx_bytes = peer->rx_bytes;
    to.tx_fragmented = peer->tx_fragmented;
    to.ecn_suspicious = peer->ecn_suspicious;
    to.persistent_keepalive_s = peer->timers.persistent_keepalive_s();
    to.allowed_ips = d.allowed_ips.prefixes(peer->id);
  }
  return out;
}

std::vector<PeerStatus> Device::peer_status() const {
  std::vector<PeerStatus> out;
  for (const Peer* peer : in_order(impl_->peers)) {
    out.push_back({.public_key = peer->remote.public_key,
                   .endpoint = peer->endpoint,
                   .source = peer->source,
                   .handshake_failing = peer->unanswered >= kAttemptsBeforeResolve,
                   .attempts = peer->unanswered});
  }
  return out;
}

const DropCounters& Device::drops() const noexcept {
  return impl_->drops;
}

}  // namespace hats::wg
