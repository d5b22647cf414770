// Inner packets on their way out (WG 5.4.6; formats.md 6.6). plan_outbound goes over the pieces twice:
//   1. route: look up the peer of each piece, in order, until the slabs are certainly full;
//   2. place: peer by peer, so that each peer's datagrams lie in runs: number, pad, lay out; or stage.
#include <cstdlib>
#include <cstring>

#include "core/packet/ecn.hpp"
#include "core/packet/ip_view.hpp"
#include "core/wg/device_impl.hpp"
#include "core/wg/loop_guard.hpp"
#include "core/wg/run_writer.hpp"

namespace hats::wg {
namespace {

/// Zeros to a multiple of 16, but not beyond the interface's MTU, as the kernel's calculate_skb_padding; nor
/// beyond what a datagram carries.
uint32_t padded_size(uint32_t size, uint32_t mtu) noexcept {
  constexpr uint32_t kMask = kPaddingMultiple - 1;
  const uint32_t limit = std::max(size, kMaxInnerPacket);
  if (mtu == 0) return std::min(limit, (size + kMask) & ~kMask);
  // A packet larger than the MTU is padded by its last unit, so that the clamp cannot cut it.
  const uint32_t last_unit = size > mtu ? size % mtu : size;
  return std::min(limit, size + std::min(mtu, (last_unit + kMask) & ~kMask) - last_unit);
}

/// The run of jobs under `keypair`, which go behind those that the batch has.
OutboundBatch::KeyRun& key_run_of(OutboundBatch& batch, const std::shared_ptr<Keypair>& keypair) {
  if (batch.key_runs.empty() || batch.key_runs.back().keypair != keypair) {
    batch.key_runs.push_back({.keypair = keypair,
                              .peer = keypair->identity().peer,
                              .first = static_cast<uint32_t>(batch.jobs.size())});
  }
  return batch.key_runs.back();
}

void add_job(OutboundBatch& batch, OutboundBatch::KeyRun& run, const crypto::SealJob& job, bool keepalive) {
  ++run.count;
  if (!keepalive) ++run.data_packets;
  run.bytes += job.size + kDataOverhead;
  batch.jobs.push_back(job);
}

void copy_piece(uint8_t* to, const packet::Piece& piece) noexcept {
  std::memcpy(to + piece.head_size, piece.data + piece.head_size, piece.size - piece.head_size);
  if (piece.head_size != 0) std::memcpy(to, piece.head, piece.head_size);
}

/// The job that seals `piece`, padded, into the datagram at `at`.
crypto::SealJob seal_piece(const packet::Piece& piece, uint32_t padded, uint64_t counter,
                           uint8_t* at) noexcept {
  uint8_t* out = at + kDataHeaderSize;
  const uint32_t padding = padded - piece.size;
  if (padding > piece.room) {
    // The zeros would fall on the next piece: copy this one to its place and seal it there.
    copy_piece(out, piece);
    std::memset(out + piece.size, 0, padding);
    return {.counter = counter, .in = out, .size = padded, .out = out};
  }
  std::memset(piece.data + piece.size, 0, padding);
  return {.counter = counter,
          .in = piece.data,
          .size = padded,
          .head_size = piece.head_size,
          .head = piece.head,
          .out = out};
}

uint8_t inner_ds(ByteView header) noexcept {
  if (header.size() < 2) return 0;
  return (header[0] >> 4) == 4 ? header[1] : static_cast<uint8_t>(load_be16(header.data()) >> 4);
}

/// True if both are of one IP version and go to one address: then they need one look-up.
bool same_destination(const packet::Piece& a, const packet::Piece& b) noexcept {
  const ByteView x = a.header(), y = b.header();
  if (x.size() < packet::kIpv4MinHeader || y.size() < packet::kIpv4MinHeader) return false;
  if (((x[0] ^ y[0]) & 0xf0) != 0) return false;
  if ((x[0] >> 4) == 4) return std::memcmp(&x[16], &y[16], 4) == 0;
  return x.size() >= packet::kIpv6Header && y.size() >= packet::kIpv6Header &&
         std::memcmp(&x[24], &y[24], 16) == 0;
}

/// Where the destination of an IP header is; no address if it is not one.
AllowedIps::Query destination_of(ByteView header) noexcept {
  if (header.size() >= packet::kIpv4MinHeader && (header[0] >> 4) == 4) return {&header[16], Family::v4};
  if (header.size() >= packet::kIpv6Header && (header[0] >> 4) == 6) return {&header[24], Family::v6};
  return {};
}

}  // namespace

void OutboundBatch::clear() {
  slabs.clear();
  jobs.clear();
  key_runs.clear();
  runs.clear();
  staged.clear();
}

size_t Device::plan_outbound(Now now, std::span<const packet::Piece> pieces, OutboundBatch& batch) {
  Impl& d = *impl_;
  if (!d.up) {
    d.drops.add(DropReason::tx_down, pieces.size());
    return pieces.size();
  }
  const size_t taken = d.route(now, pieces, batch);
  for (size_t i = 0; i < taken; ++i) {
    const Impl::Route& route = d.routes[i];
    if (route.peer) continue;
    d.drops.add(route.reason);
    if (route.reason == DropReason::tx_no_peer || route.reason == DropReason::tx_no_endpoint) {
      d.owe_icmp(now.boot, pieces[i]);
    }
  }
  RunWriter writer(batch);
  for (const Impl::Group& group : d.groups) d.place_group(now, pieces, group, writer, batch);
  return taken;
}

// Stage 1. Returns how many pieces are taken: all before the first that might not fit.
size_t Device::Impl::route(Now now, std::span<const packet::Piece> pieces, const OutboundBatch& batch) {
  SlabCursor cursor(batch.slabs);
  const SlabCursor start = cursor;
  const size_t largest_datagram = cursor.largest_datagram();
  routes.resize(pieces.size());
  groups.clear();
  ++group_epoch;
  uint64_t bytes = 0, capacity = start.certain_capacity(1);
  uint32_t largest = 1;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i % kLookAhead == 0) {
      find_routes(pieces.subspan(i, std::min(kLookAhead, pieces.size() - i)), std::span(routes).subspan(i));
    }
    const packet::Piece& piece = pieces[i];
    Route& out = routes[i];
    if (out.to_endpoint && is_own_datagram(piece.header(), out.peer->endpoint, listen_port)) {
      out = {.reason = DropReason::tx_loop};
    }
    out.ds = packet::encapsulate_ecn(0, inner_ds(piece.header()));
    const uint32_t size = padded_size(piece.size, mtu) + kDataOverhead;
    if (piece.size > kMaxInnerPacket || (size > largest_datagram && largest_datagram != 0)) {
      out = {.reason = DropReason::tx_too_large};
    }
    if (!out.peer) continue;
    Group& group = group_of(*out.peer, now);
    if (group.count < group.sendable) {
      // One peer's datagrams lie as they come, so the cursor is exact; those of several will be sorted.
      bytes += size;
      if (size > largest) capacity = start.certain_capacity(largest = size);
      const bool fits = groups.size() == 1 ? cursor.take(size) : bytes <= capacity;
      if (!fits) return i;
    }
    const auto index = static_cast<uint32_t>(i);
    (group.count == 0 ? group.first : routes[group.last].next) = index;
    group.last = index;
    ++group.count;
  }
  return pieces.size();
}

// The routes of at most kLookAhead pieces: one look-up for each row of pieces with one destination.
void Device::Impl::find_routes(std::span<const packet::Piece> pieces, std::span<Route> found) const noexcept {
  std::array<AllowedIps::Query, kLookAhead> queries;
  std::array<PeerId, kLookAhead> owners;
  size_t count = 0;
  uint64_t begins_row = 0;  // bit i: pieces[i] goes elsewhere than the one before
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i != 0 && same_destination(pieces[i - 1], pieces[i])) continue;
    begins_row |= uint64_t{1} << i;
    const AllowedIps::Query query = destination_of(pieces[i].header());
    if (query.address != nullptr) queries[count++] = query;
  }
  allowed_ips.lookup_many(std::span(queries).first(count), owners);
  size_t next = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if ((begins_row >> i & 1) == 0) {
      found[i] = found[i - 1];
    } else if (const ByteView header = pieces[i].header(); destination_of(header).address == nullptr) {
      found[i] = {.reason = DropReason::tx_malformed};
    } else {
      found[i] = route_to(owners[next++], header);
    }
  }
}

Device::Impl::Route Device::Impl::route_to(PeerId id, ByteView header) const noexcept {
  Peer* peer = find(id);
  if (!peer) return {.reason = DropReason::tx_no_peer};
  if (!peer->endpoint.is_set()) return {.reason = DropReason::tx_no_endpoint};
  return {.peer = peer, .to_endpoint = packet::goes_to(header, peer->endpoint.address)};
}

Device::Impl::Group& Device::Impl::group_of(Peer& peer, Now now) {
  if (peer.group_epoch == group_epoch) return groups[peer.group];
  peer.group_epoch = group_epoch;
  peer.group = static_cast<uint32_t>(groups.size());
  const auto& keypair = peer.keypairs.current();
  // Nothing overtakes what is staged.
  const uint64_t sendable = keypair && peer.staged.empty() ? keypair->sendable(now.boot) : 0;
  return groups.emplace_back(Group{.peer = &peer, .sendable = sendable});
}

// Stage 2.
void Device::Impl::place_group(Now now, std::span<const packet::Piece> pieces, const Group& group,
                               RunWriter& writer, OutboundBatch& batch) {
  if (group.count == 0) return;
  Peer& peer = *group.peer;
  const auto sealed = static_cast<uint32_t>(std::min<uint64_t>(group.count, group.sendable));
  uint32_t index = group.first;
  if (sealed != 0) {
    writer.begin(peer);
    const std::shared_ptr<Keypair>& keypair = peer.keypairs.current();
    uint64_t counter = keypair->take_counters(sealed);
    OutboundBatch::KeyRun& run = key_run_of(batch, keypair);
    for (uint32_t i = 0; i < sealed; ++i, ++counter, index = routes[index].next) {
      const packet::Piece& piece = pieces[index];
      const uint32_t padded = padded_size(piece.size, mtu);
      uint8_t* at = writer.place(padded + kDataOverhead, routes[index].ds);
      if (!at) std::abort();  // stage 1 has measured: a mistake of ours, not of a peer's
      write_data_header(at, keypair->remote_index(), counter);
      add_job(batch, run, seal_piece(piece, padded, counter, at), false);
    }
  }
  if (sealed == group.count) return;
  for (uint32_t i = sealed; i < group.count; ++i, index = routes[index].next) stage(peer, pieces[index]);
  send_staged(peer, now);
}

void Device::Impl::stage(Peer& peer, const packet::Piece& piece) {
  std::vector<uint8_t> copy;
  copy.reserve(piece.size + kPaddingMultiple);
  copy.resize(piece.size);
  copy_piece(copy.data(), piece);
  drops.add(DropReason::tx_staged_overflow, staging.push(peer.staged, std::move(copy)));
}

void Device::Impl::send_keepalive(Peer& peer, Now now) {
  if (peer.staged.empty()) peer.keepalive_owed = true;
  send_staged(peer, now);
}

void Device::Impl::send_staged(Peer& peer, Now now) {
  if (!up || (peer.staged.empty() && !peer.keepalive_owed)) return;
  const auto& keypair = peer.keypairs.current();
  if (!keypair || keypair->sendable(now.boot) == 0) {
    want_handshake(peer, now);
  } else if (!peer.in_pending) {
    peer.in_pending = true;
    pending.push(peer.id);
  }
}

bool Device::has_pending() const noexcept {
  return !impl_->pending.empty();
}

bool Device::plan_pending(Now now, OutboundBatch& batch) {
  Impl& d = *impl_;
  RunWriter writer(batch);
  while (!d.pending.empty()) {
    Peer* peer = d.find(d.pending.front());
    if (peer && peer->in_pending) {
      writer.begin(*peer);
      if (!d.plan_staged(*peer, now, writer, batch)) return true;
      peer->in_pending = false;
      // The key may have expired while they waited.
      d.send_staged(*peer, now);
    }
    d.pending.pop();
  }
  return false;
}

// False if the slabs are full and there is more.
bool Device::Impl::plan_staged(Peer& peer, Now now, RunWriter& writer, OutboundBatch& batch) {
  const std::shared_ptr<Keypair>& keypair = peer.keypairs.current();
  uint64_t sendable = keypair ? keypair->sendable(now.boot) : 0;
  const size_t largest_datagram = SlabCursor(batch.slabs).largest_datagram();
  if (!peer.staged.empty()) peer.keepalive_owed = false;
  for (; sendable > 0 && !peer.staged.empty(); --sendable) {
    const auto size = static_cast<uint32_t>(staging.front(peer.staged).size());
    const uint32_t padded = padded_size(size, mtu);
    if (padded + kDataOverhead > largest_datagram && largest_datagram != 0) {
      staging.pop(peer.staged);
      drops.add(DropReason::tx_too_large);
      continue;
    }
    const uint8_t ds = packet::encapsulate_ecn(0, inner_ds(staging.front(peer.staged)));
    uint8_t* at = writer.place(padded + kDataOverhead, ds);
    if (!at) return false;
    const uint64_t counter = keypair->take_counters(1);
    write_data_header(at, keypair->remote_index(), counter);
    std::vector<uint8_t>& bytes = batch.staged.emplace_back(staging.pop(peer.staged));
    bytes.resize(padded);  // zeros; there is capacity for them
    add_job(batch, key_run_of(batch, keypair),
            {.counter = counter, .in = bytes.data(), .size = padded, .out = at + kDataHeaderSize}, false);
  }
  if (!peer.keepalive_owed || sendable == 0) return true;
  uint8_t* at = writer.place(kDataOverhead, 0);
  if (!at) return false;
  const uint64_t counter = keypair->take_counters(1);
  write_data_header(at, keypair->remote_index(), counter);
  // Nothing to read: the empty plaintext of a keepalive (WG 6.5).
  uint8_t* out = at + kDataHeaderSize;
  add_job(batch, key_run_of(batch, keypair), {.counter = counter, .in = out, .size = 0, .out = out}, true);
  peer.keepalive_owed = false;
  return true;
}

void Device::work(OutboundBatch& batch, crypto::Aead& aead) noexcept {
  const std::span<crypto::SealJob> jobs(batch.jobs);
  for (const OutboundBatch::KeyRun& run : batch.key_runs) {
    aead.seal(run.keypair->send_key(), jobs.subspan(run.first, run.count));
  }
}

void Device::commit_outbound(Now now, OutboundBatch& batch) noexcept {
  for (const OutboundBatch::KeyRun& run : batch.key_runs) {
    if (impl_->count_sent(run, now)) continue;
    std::erase_if(batch.runs, [&](const DatagramRun& datagrams) { return datagrams.peer == run.peer; });
  }
  for (const DatagramRun& run : batch.runs) impl_->count_fragmented(run);
}

void Device::Impl::count_fragmented(const DatagramRun& run) noexcept {
  Peer* peer = find(run.peer);
  if (!peer || peer->path_mtu == 0 || run.to != peer->measured) return;
  const size_t ip_header = run.to.address.family == Family::v4 ? packet::kIpv4MinHeader : packet::kIpv6Header;
  const auto too_large = [&](uint32_t size) {
    return ip_header + packet::kUdpHeader + size > peer->path_mtu;
  };
  const uint32_t last = run.size % run.segment_size;  // 0: as large as the rest
  if (too_large(run.segment_size)) peer->tx_fragmented += run.size / run.segment_size;
  if (last != 0 && too_large(last)) ++peer->tx_fragmented;
}

bool Device::Impl::count_sent(const OutboundBatch::KeyRun& run, Now now) {
  Peer* peer = owner_of(*run.keypair);
  if (!peer || !up) return false;
  peer->tx_bytes += run.bytes;
  peer->timers.any_authenticated_traversal(now.boot);
  peer->timers.any_authenticated_sent();
  if (run.data_packets != 0) peer->timers.data_sent(now.boot);
  // WG 6.2: renew a key that has grown old.
  const auto& current = peer->keypairs.current();
  if (current && current->stale_at_send(now.boot)) want_handshake(*peer, now);
  timers_changed(*peer);
  return true;
}

}  // namespace hats::wg
