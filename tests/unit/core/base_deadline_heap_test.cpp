// The heap of deadlines against a walk over all items.
#include "core/base/deadline_heap.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/seeded_rng.hpp"

namespace hats {
namespace {

struct Item {
  BootTime due{INT64_MAX};
  DeadlineSlot deadline_slot;
  [[nodiscard]] BootTime deadline() const { return due; }
};

TEST(DeadlineHeapTest, FirstIsTheEarliestWhateverMoves) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  std::vector<Item> items(50);
  std::vector<bool> in(items.size(), true);
  DeadlineHeap<Item> heap;
  for (int round = 0; round < 50'000; ++round) {
    const size_t i = rng.below(items.size());
    if (rng.one_in(20)) {
      heap.remove(items[i]);
      in[i] = false;
    } else {
      items[i].due = rng.one_in(4) ? BootTime{INT64_MAX} : BootTime{static_cast<int64_t>(rng.below(1'000))};
      heap.update(items[i]);
      in[i] = true;
    }
    if (!rng.one_in(3)) continue;
    BootTime expected{INT64_MAX};
    for (size_t j = 0; j < items.size(); ++j) {
      if (in[j]) expected = std::min(expected, items[j].due);
    }
    const Item* first = heap.first();
    EXPECT_EQ(first ? first->due.ns : INT64_MAX, expected.ns);
  }
}

TEST(DeadlineHeapTest, EmptyHeapHasNoFirst) {
  DeadlineHeap<Item> heap;
  EXPECT_EQ(heap.first(), nullptr);
  Item item;
  heap.update(item);
  heap.remove(item);
  EXPECT_EQ(heap.first(), nullptr);
}

}  // namespace
}  // namespace hats
