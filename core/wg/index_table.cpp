#include "core/wg/index_table.hpp"

#include <array>
#include <utility>

namespace hats::wg {

namespace {
constexpr size_t kFirstSlots = 64;
}

size_t IndexTable::slot_of(uint32_t index) const noexcept {
  size_t slot = index & mask();
  while (slots_[slot].peer != kNoPeer && slots_[slot].index != index) slot = (slot + 1) & mask();
  return slot;
}

void IndexTable::grow() {
  std::vector<Entry> old(slots_.empty() ? kFirstSlots : 2 * slots_.size());
  old.swap(slots_);
  for (const Entry& entry : old) {
    if (entry.peer != kNoPeer) slots_[slot_of(entry.index)] = entry;
  }
}

uint32_t IndexTable::insert(PeerId peer, IndexUse use) {
  if (2 * (size_ + 1) > slots_.size()) grow();
  for (;;) {
    std::array<uint8_t, 4> random;
    rng_.fill(random);
    const uint32_t index = load_le32(random.data());
    Entry& entry = slots_[slot_of(index)];
    if (entry.peer != kNoPeer) continue;  // taken: one in 2^32 for each entry
    entry = {index, peer, use};
    ++size_;
    return index;
  }
}

const IndexTable::Entry* IndexTable::find(uint32_t index) const noexcept {
  if (size_ == 0) return nullptr;
  const Entry& entry = slots_[slot_of(index)];
  return entry.peer == kNoPeer ? nullptr : &entry;
}

bool IndexTable::set_use(uint32_t index, IndexUse use) noexcept {
  if (find(index) == nullptr) return false;
  slots_[slot_of(index)].use = use;
  return true;
}

bool IndexTable::erase(uint32_t index) noexcept {
  if (find(index) == nullptr) return false;
  // Backward shift: entries behind the hole that may not lie behind a free slot move into it.
  size_t hole = slot_of(index);
  for (size_t slot = (hole + 1) & mask(); slots_[slot].peer != kNoPeer; slot = (slot + 1) & mask()) {
    const size_t home = slots_[slot].index & mask();
    if (((slot - home) & mask()) >= ((slot - hole) & mask())) {
      slots_[hole] = slots_[slot];
      hole = slot;
    }
  }
  slots_[hole] = {};
  --size_;
  return true;
}

}  // namespace hats::wg
