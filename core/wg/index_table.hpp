// Receiver indices (WG 5.4): random 32-bit numbers that name a handshake or a keypair of ours on the wire.
// Random, so that a stranger can neither guess one nor see how many sessions we hold, and so that an index is
// not met again after a restart. Open addressing on the index itself: we drew it, so nobody can aim at a
// place.
#pragma once

#include <cstdint>
#include <vector>

#include "core/wg/batch.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

enum class IndexUse : uint8_t { handshake, keypair };

class IndexTable {
 public:
  struct Entry {
    uint32_t index = 0;
    PeerId peer = kNoPeer;
    IndexUse use = IndexUse::handshake;
  };

  /// `rng` must outlive the table.
  explicit IndexTable(crypto::Rng& rng) : rng_(rng) {}

  /// A fresh index, different from all in the table, for `peer` (not kNoPeer).
  [[nodiscard]] uint32_t insert(PeerId peer, IndexUse use);
  /// What `index` names, or nullptr. Valid until the table changes.
  [[nodiscard]] const Entry* find(uint32_t index) const noexcept;
  /// Changes what a known index names (a handshake that has become a keypair); false if it is not known.
  bool set_use(uint32_t index, IndexUse use) noexcept;
  /// Forgets `index`; false if it is not known.
  bool erase(uint32_t index) noexcept;
  [[nodiscard]] size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] size_t mask() const noexcept { return slots_.size() - 1; }
  [[nodiscard]] size_t slot_of(uint32_t index) const noexcept;  // its slot, or the free one where it would be
  void grow();

  crypto::Rng& rng_;
  std::vector<Entry> slots_;  // empty or a power of two; at most half full; free where peer == kNoPeer
  size_t size_ = 0;
};

}  // namespace hats::wg
