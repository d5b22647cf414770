// Datagrams on their way in (WG 5.4.6; formats.md 6.5 "receive order"):
//   plan    cut receives, tell the types apart, find the key of data by its index; queue handshake messages;
//   work    open in place;
//   commit  in order: replay, endpoint, confirmation of a new key, timers, inner packet, AllowedIPs.
#include <algorithm>

#include "core/packet/ecn.hpp"
#include "core/packet/ip_view.hpp"
#include "core/wg/device_impl.hpp"

namespace hats::wg {

namespace {

/// Whether an initiation or response claims to know a cookie of ours: mac2, its end, is not all zero.
bool has_mac2(ByteView datagram) noexcept {
  const ByteView mac2 = datagram.last(sizeof(Field<16>));
  return std::ranges::any_of(mac2, [](uint8_t byte) { return byte != 0; });
}

}  // namespace

void InboundBatch::clear() {
  received.clear();
  jobs.clear();
  entries.clear();
  key_runs.clear();
}

void Device::plan_inbound(Now now, std::span<const Received> received, InboundBatch& batch) noexcept {
  Impl& d = *impl_;
  for (const Received& one : received) {
    const auto number = static_cast<uint32_t>(batch.received.size());
    batch.received.push_back(one);
    const size_t step = one.segment_size != 0 ? one.segment_size : one.bytes.size();
    for (size_t at = 0; at < one.bytes.size(); at += step) {
      d.plan_datagram(now, number, one.bytes.subspan(at, std::min(step, one.bytes.size() - at)), batch);
    }
    if (one.bytes.empty()) d.drops.add(DropReason::rx_malformed);
  }
}

void Device::Impl::plan_datagram(Now now, uint32_t received, ByteSpan datagram, InboundBatch& batch) {
  if (!up) return drops.add(DropReason::rx_down);
  const auto type = classify(datagram);
  if (!type) return drops.add(DropReason::rx_malformed);
  if (*type != MessageType::data) return queue_handshake(now, *type, datagram, batch.received[received]);

  const uint32_t index = load_le32(&datagram[4]);
  const bool same_key =
      !batch.key_runs.empty() && batch.key_runs.back().keypair->identity().local_index == index;
  if (!same_key) {
    const IndexTable::Entry* entry = indices.find(index);
    const Peer* peer = entry ? find(entry->peer) : nullptr;
    const std::shared_ptr<Keypair>* keypair = peer ? peer->keypairs.find(index) : nullptr;
    if (!keypair) return drops.add(DropReason::rx_unknown_index);
    batch.key_runs.push_back(
        {.keypair = *keypair, .peer = peer->id, .first = static_cast<uint32_t>(batch.jobs.size())});
  }
  InboundBatch::KeyRun& run = batch.key_runs.back();
  if (!run.keypair->receivable(now.boot)) return drops.add(DropReason::rx_key_expired);
  ++run.count;
  batch.jobs.push_back({.counter = load_le64(&datagram[8]),
                        .data = &datagram[kDataHeaderSize],
                        .size = static_cast<uint32_t>(datagram.size() - kDataHeaderSize)});
  batch.entries.push_back({.peer = run.peer, .received = received});
}

// Cheap checks first: nothing without a valid mac1 is worth a place in the queue (WG 5.3).
void Device::Impl::queue_handshake(Now now, MessageType type, ByteView datagram, const Received& received) {
  if (!has_identity) return drops.add(DropReason::rx_no_key);
  switch (type) {
    case MessageType::initiation:
      if (!checker.mac1_valid(read_message<InitiationMessage>(datagram))) {
        return drops.add(DropReason::rx_bad_mac1);
      }
      break;
    case MessageType::response:
      if (!checker.mac1_valid(read_message<ResponseMessage>(datagram))) {
        return drops.add(DropReason::rx_bad_mac1);
      }
      break;
    default: {
      // A cookie reply has no mac1, but must answer something.
      const IndexTable::Entry* entry = indices.find(load_le32(&datagram[4]));
      const Peer* peer = entry ? find(entry->peer) : nullptr;
      if (!peer || !peer->cookies.awaits_reply()) return drops.add(DropReason::rx_cookie_invalid);
      break;
    }
  }
  QueuedHandshake queued{.type = type, .from = received.from, .to = received.to};
  if (type != MessageType::cookie_reply && !has_mac2(datagram) && handshakes.under_load(now.boot)) {
    // The flood ends here: what one source sends beyond its rate costs no more than its mac1.
    queued.verdict = unproven.judge(now.boot, received.from.address, received.from.port);
    if (*queued.verdict == RateLimiter::Verdict::refused) {
      handshakes.stays_loaded(now.boot);
      return drops.add(DropReason::rx_rate_limited);
    }
  }
  std::copy(datagram.begin(), datagram.end(), queued.bytes.begin());
  if (!handshakes.push(queued)) drops.add(DropReason::rx_handshake_queue_full);
}

void Device::work(InboundBatch& batch, crypto::Aead& aead) noexcept {
  const std::span<crypto::OpenJob> jobs(batch.jobs);
  for (const InboundBatch::KeyRun& run : batch.key_runs) {
    aead.open(run.keypair->receive_key(), jobs.subspan(run.first, run.count));
  }
}

void Device::commit_inbound(Now now, InboundBatch& batch, std::vector<InnerPacket>& out) noexcept {
  for (const InboundBatch::KeyRun& run : batch.key_runs) {
    if (run.count != 0) impl_->commit_run(now, batch, run, out);
  }
}

void Device::Impl::commit_run(Now now, InboundBatch& batch, const InboundBatch::KeyRun& run,
                              std::vector<InnerPacket>& out) {
  Peer* peer = owner_of(*run.keypair);
  if (!peer || !up) return drops.add(peer ? DropReason::rx_down : DropReason::rx_unknown_index, run.count);
  uint32_t authentic = 0, data_packets = 0;
  uint32_t last_received = UINT32_MAX;
  SourceCheck last_source;
  for (uint32_t i = run.first; i < run.first + run.count; ++i) {
    const crypto::OpenJob& job = batch.jobs[i];
    if (!job.ok) {
      drops.add(DropReason::rx_bad_tag);
      continue;
    }
    if (!run.keypair->accept_counter(job.counter)) {
      drops.add(DropReason::rx_replayed);
      continue;
    }
    ++authentic;
    const Received& received = batch.received[batch.entries[i].received];
    // WG 2.1: all datagrams of one receive came the same way.
    if (last_received != batch.entries[i].received) set_endpoint(*peer, received.from, received.to);
    last_received = batch.entries[i].received;
    const ByteSpan plaintext{job.data, job.size - kDataTagSize};
    if (plaintext.empty()) {
      peer->rx_bytes += kDataOverhead;
      continue;
    }
    ++data_packets;
    if (deliver(*peer, received, plaintext, last_source, out)) {
      peer->rx_bytes += plaintext.size() + kDataOverhead;
    }
  }
  if (authentic == 0) return;
  received_data(*peer, now, *run.keypair, data_packets != 0);
}

// What one or more authentic packets under `keypair` mean for the session (formats.md 6.5).
void Device::Impl::received_data(Peer& peer, Now now, const Keypair& keypair, bool data) {
  RetiredKeypairs retired;
  if (peer.keypairs.confirm(&keypair, retired)) {
    drop_indices(retired);
    handshake_complete(peer, now);
    send_staged(peer, now);
  }
  const auto& current = peer.keypairs.current();
  if (current && !peer.rekeyed_at_receive && current->stale_at_receive(now.boot)) {
    peer.rekeyed_at_receive = true;
    want_handshake(peer, now);
  }
  peer.timers.any_authenticated_received();
  peer.timers.any_authenticated_traversal(now.boot);
  if (data) peer.timers.data_received(now.boot);
  timers_changed(peer);
}

// The inner packet: version and length, ECN, and the source against AllowedIPs (WG 2, cryptokey routing).
bool Device::Impl::deliver(Peer& peer, const Received& received, ByteSpan plaintext, SourceCheck& last,
                           std::vector<InnerPacket>& out) {
  const auto view = packet::IpView::parse(plaintext);
  if (!view) {
    drops.add(DropReason::rx_inner_malformed);
    return false;
  }
  const size_t length = view->length();
  // RFC 6040 4.2. A verdict to drop is not followed, as in Linux: formats.md 5.4.
  if (packet::apply_outer_ecn(plaintext.data(), received.ds).suspicious) ++peer.ecn_suspicious;
  const uint8_t* source = plaintext.data() + (view->is_v4() ? 12 : 8);
  const size_t source_size = view->is_v4() ? 4 : 16;
  if (!last.address || last.size != source_size || std::memcmp(last.address, source, source_size) != 0) {
    const PeerId owner = view->is_v4() ? allowed_ips.lookup_v4(source) : allowed_ips.lookup_v6(source);
    last = {.address = source, .size = source_size, .allowed = owner == peer.id};
  }
  if (!last.allowed) {
    drops.add(DropReason::rx_source_not_allowed);
    return false;
  }
  out.push_back({.data = plaintext.data(), .size = static_cast<uint32_t>(length), .tag = received.tag});
  return true;
}

void Device::Impl::set_endpoint(Peer& peer, const Endpoint& from, const LocalSource& to) noexcept {
  peer.endpoint = from;
  peer.source = to;
}

}  // namespace hats::wg
