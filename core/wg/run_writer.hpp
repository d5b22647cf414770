// Where datagrams go in the lent slabs: one behind another, in runs that one UDP_SEGMENT send can carry.
// SlabCursor only looks; RunWriter writes. Both fill slab after slab and never go back to one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/wg/batch.hpp"
#include "core/wg/peer.hpp"

namespace hats::wg {

/// Walks the free space of the slabs as RunWriter will.
class SlabCursor {
 public:
  explicit SlabCursor(std::span<const OutboundBatch::LentSlab> slabs) noexcept : slabs_(slabs) {
    // What earlier calls have begun is gone on with: the last slab that is in use.
    while (slab_ + 1 < slabs_.size() && slabs_[slab_ + 1].used != 0) ++slab_;
    if (slab_ < slabs_.size()) used_ = slabs_[slab_].used;
  }

  /// The slab that takes `size` bytes next, or false if none does. Leaves the cursor behind those bytes.
  [[nodiscard]] bool take(uint32_t size) noexcept {
    while (slab_ < slabs_.size() && !fits(slabs_[slab_], used_, size)) {
      ++slab_;
      used_ = 0;
    }
    used_ += size;
    return slab_ < slabs_.size();
  }
  [[nodiscard]] size_t slab() const noexcept { return slab_; }
  [[nodiscard]] uint32_t end() const noexcept { return used_; }

  /// Bytes that are certain to be taken from here on, in pieces of at most `largest` bytes in any order.
  [[nodiscard]] uint64_t certain_capacity(uint32_t largest) const noexcept {
    uint64_t out = 0;
    for (size_t i = slab_; i < slabs_.size(); ++i) {
      // All slabs but the last may end in a gap that was too small for the next datagram.
      const uint64_t gone = (i == slab_ ? used_ : 0) + (i + 1 < slabs_.size() ? largest - 1 : 0);
      out += limit(slabs_[i]) > gone ? limit(slabs_[i]) - gone : 0;
    }
    return out;
  }
  /// The largest datagram that an empty slab could take; 0 without slabs.
  [[nodiscard]] size_t largest_datagram() const noexcept {
    size_t out = 0;
    for (const auto& slab : slabs_) out = std::max(out, slab.bytes.size());
    return out;
  }

 private:
  [[nodiscard]] static uint32_t limit(const OutboundBatch::LentSlab& slab) noexcept {
    return static_cast<uint32_t>(std::min<size_t>(slab.bytes.size(), OutboundBatch::kMaxRunBytes));
  }
  // A single datagram may be larger than a run: it has a slab of its own.
  [[nodiscard]] static bool fits(const OutboundBatch::LentSlab& slab, uint32_t used, uint32_t size) noexcept {
    return used == 0 ? size <= slab.bytes.size() : used + size <= limit(slab);
  }

  std::span<const OutboundBatch::LentSlab> slabs_;
  size_t slab_ = 0;
  uint32_t used_ = 0;
};

class RunWriter {
 public:
  explicit RunWriter(OutboundBatch& batch) noexcept : batch_(batch), cursor_(batch.slabs) {}

  /// The peer of the datagrams that follow. Its last run, if that is the batch's last, is gone on with.
  void begin(const Peer& peer) noexcept {
    peer_ = &peer;
    const auto& runs = batch_.runs;
    open_ = !runs.empty() && runs.back().peer == peer.id && runs.back().to == peer.endpoint &&
            runs.back().from == peer.source;
  }
  /// Room for one datagram, or nullptr if the slabs are full.
  [[nodiscard]] uint8_t* place(uint32_t size, uint8_t ds) {
    if (!cursor_.take(size)) return nullptr;
    OutboundBatch::LentSlab& slab = batch_.slabs[cursor_.slab()];
    uint8_t* at = slab.bytes.data() + slab.used;
    slab.used = cursor_.end();
    if (open_ && goes_on(batch_.runs.back(), at, size, ds)) {
      batch_.runs.back().size += size;
      return at;
    }
    batch_.runs.push_back({.data = at,
                           .size = size,
                           .segment_size = size,
                           .slab = static_cast<uint16_t>(cursor_.slab()),
                           .ds = ds,
                           .peer = peer_->id,
                           .to = peer_->endpoint,
                           .from = peer_->source});
    open_ = true;
    return at;
  }

 private:
  // UDP_SEGMENT: equal sizes, the last may be shorter, and nothing follows a shorter one.
  [[nodiscard]] bool goes_on(const DatagramRun& run, const uint8_t* at, uint32_t size,
                             uint8_t ds) const noexcept {
    return run.slab == cursor_.slab() && run.data + run.size == at && run.ds == ds &&
           size <= run.segment_size && run.size % run.segment_size == 0 &&
           run.size / run.segment_size < OutboundBatch::kMaxRunDatagrams &&
           run.size + size <= OutboundBatch::kMaxRunBytes;
  }

  OutboundBatch& batch_;
  SlabCursor cursor_;
  const Peer* peer_ = nullptr;
  bool open_ = false;
};

}  // namespace hats::wg
