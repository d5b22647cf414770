// The memory in which one worker's batches live: made once, cleared, not freed, between uses. Shared by all
// tunnels of the worker, since only one of them runs at a time.
#pragma once

#include <span>
#include <vector>

#include "core/packet/cut.hpp"
#include "core/packet/merge.hpp"
#include "core/wg/batch.hpp"
#include "transport/loop.hpp"
#include "tun/vnet_header.hpp"

namespace hats::app {

/// Segment headers that one turn may hold: 32 large reads of about 47 segments.
inline constexpr size_t kHeadsPerTurn = 1'536;
/// Slabs lent to one outbound batch. More is planned in further rounds.
inline constexpr size_t kMaxLentSlabs = 16;

/// A receive whose memory the inner packets of a batch lie in.
struct Lender {
  const uint8_t* data = nullptr;
  uint32_t size = 0;
  const transport::Lease* slab = nullptr;  // never null
};

struct BatchSpace {
  BatchSpace() : heads(kHeadsPerTurn), spare(transport::kSlabSize) {}

  // Out.
  packet::HeadArena heads;
  std::vector<packet::Piece> pieces;
  std::vector<uint32_t> piece_reads;  // of each piece, the TUN read that it lies in
  wg::OutboundBatch out;
  std::vector<transport::Lease> lent;  // of out.slabs, by index; empty for the spare
  /// Lent when the arena has no slab left: what lies in it is copied by the loop.
  std::vector<uint8_t> spare;

  // In.
  std::vector<wg::Received> received;
  wg::InboundBatch in;
  std::vector<wg::InnerPacket> inner;
  std::vector<ByteSpan> packets;
  std::vector<Lender> lenders;
  packet::MergedWrites merged;
  std::vector<packet::Fragment> unmerged;
  std::vector<iovec> parts;
  std::vector<transport::Lease> held;
  std::array<uint8_t, tun::kVnetHeaderSize> vnet{};

  /// Notes whose memory the packets of this batch lie in.
  template <typename Received>
  void lend_from(std::span<const Received> batch) {
    lenders.clear();
    for (const Received& one : batch)
      lenders.push_back({.data = one.data, .size = one.size, .slab = &one.slab});
  }
};

}  // namespace hats::app
