// The next deadline over all peers: a binary heap with positions, so that 10,000 peers cost little. A
// deadline that moves later is not moved in the heap until it reaches the top (every data packet moves some
// timer later; few ever get there); one that moves earlier is moved at once.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/time.hpp"

namespace hats {

/// What an element of the heap holds for it.
struct DeadlineSlot {
  uint32_t position = UINT32_MAX;  // UINT32_MAX: not in the heap
};

/// `Item` has a member `DeadlineSlot deadline_slot` and a function `BootTime deadline() const`.
template <typename Item>
class DeadlineHeap {
 public:
  /// The item's deadline may have changed. Cheap when it moved later or stayed.
  void update(Item& item) {
    const BootTime due = item.deadline();
    uint32_t& position = item.deadline_slot.position;
    if (position == UINT32_MAX) {
      if (due.ns == INT64_MAX) return;
      position = static_cast<uint32_t>(entries_.size());
      entries_.push_back({due, &item});
      sift_up(position);
    } else if (due < entries_[position].due) {
      entries_[position].due = due;
      sift_up(position);
    }
  }
  void remove(Item& item) noexcept {
    const uint32_t position = std::exchange(item.deadline_slot.position, UINT32_MAX);
    if (position == UINT32_MAX) return;
    const Entry last = entries_.back();
    entries_.pop_back();
    if (position == entries_.size()) return;
    put(position, last);
    sift_up(position);
    sift_down(last.item->deadline_slot.position);
  }
  /// The item with the earliest deadline, or nullptr if none has one.
  [[nodiscard]] Item* first() noexcept {
    while (!entries_.empty()) {
      Entry& top = entries_.front();
      const BootTime due = top.item->deadline();
      if (due == top.due) return top.item;
      if (due.ns == INT64_MAX) {
        remove(*top.item);
      } else {
        top.due = due;
        sift_down(0);
      }
    }
    return nullptr;
  }

 private:
  struct Entry {
    BootTime due;
    Item* item;
  };
  void put(uint32_t position, Entry entry) noexcept {
    entries_[position] = entry;
    entry.item->deadline_slot.position = position;
  }
  void sift_up(uint32_t position) noexcept {
    const Entry entry = entries_[position];
    while (position > 0) {
      const uint32_t parent = (position - 1) / 2;
      if (entries_[parent].due <= entry.due) break;
      put(position, entries_[parent]);
      position = parent;
    }
    put(position, entry);
  }
  void sift_down(uint32_t position) noexcept {
    const Entry entry = entries_[position];
    const auto size = static_cast<uint32_t>(entries_.size());
    for (;;) {
      uint32_t child = 2 * position + 1;
      if (child >= size) break;
      if (child + 1 < size && entries_[child + 1].due < entries_[child].due) ++child;
      if (entry.due <= entries_[child].due) break;
      put(position, entries_[child]);
      position = child;
    }
    put(position, entry);
  }

  std::vector<Entry> entries_;
};

}  // namespace hats
