// The replay filter: edges from RFC 6479 and the paper's numbers, and a set as oracle.
#include "core/wg/replay_filter.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

// Declared here again, not taken from the code under test.
constexpr uint64_t kBitmapBits = 8192;              // formats.md 6.2
constexpr uint64_t kWindowSize = 8192 - 64;         // RFC 6479: all but one block
constexpr uint64_t kLimit = 18446744073709543423U;  // WG 6.1: 2^64 - 2^13 - 1
static_assert(kLimit == 0 - (uint64_t{1} << 13) - 1);

struct Step {
  uint64_t counter;
  bool accepted;
};

void expect_steps(std::initializer_list<Step> steps) {
  ReplayFilter filter;
  int number = 0;
  for (const Step& step : steps) {
    EXPECT_EQ(filter.accept(step.counter), step.accepted)
        << "step " << number << ", counter " << step.counter;
    ++number;
  }
}

TEST(ReplayFilterTest, EdgesOfTheWindow) {
  const uint64_t w = kWindowSize;
  expect_steps({
      // The first counters, in and out of order.
      {0, true},
      {0, false},
      {1, true},
      {1, false},
      {9, true},
      {8, true},
      {7, true},
      {7, false},
      {8, false},
      {9, false},
      // The newest moves on by exactly the window: what is as old as the window is still taken, once.
      {w, true},
      {w, false},
      {0, false},
      {2, true},
      {2, false},
      {w + 2, true},
      {1, false},  // older than the window, and known
      {2, false},  // at the edge, known
      {3, true},   // inside
      {3, false},
      {w + 3, true},
      {2, false},
      {w + 10, true},
      {9, false},  // too old
      {10, true},  // exactly as old as the window
      {10, false},
      {11, true},
      // A jump of a whole bitmap and more clears everything.
      {w + 10 + kBitmapBits, true},
      {w + 10 + kBitmapBits, false},
      {w + 10, false},  // 8,192 behind: out of the window
      {w + 74, true},   // exactly at the edge
      {w + 73, false},  // one behind the edge
      {w + 75, true},
      {4 * kBitmapBits, true},
      {4 * kBitmapBits - w, true},
      {4 * kBitmapBits - w - 1, false},
      {4 * kBitmapBits - w, false},
      {4 * kBitmapBits - 1, true},
      {4 * kBitmapBits + 64, true},
      {4 * kBitmapBits - w + 63, false},
      {4 * kBitmapBits - w + 64, true},
      {4 * kBitmapBits + 1, true},
      {4 * kBitmapBits + 1, false},
      {1'000'000'000'000, true},
      {1'000'000'000'000 - w, true},
      {1'000'000'000'000 - w, false},
      {1'000'000'000'000 - w - 1, false},
  });
}

TEST(ReplayFilterTest, CountersFromRejectAfterMessagesOnAreNeverAccepted) {
  expect_steps({
      {kLimit, false},
      {UINT64_MAX, false},
      {kLimit + 1, false},
      {0, true},  // and refused ones have not moved the window
      {kLimit - 1, true},
      {kLimit - 1, false},
      {kLimit, false},
      {kLimit - 2, true},
      {kLimit - 1 - kWindowSize, true},
      {kLimit - 1 - kWindowSize, false},
      {kLimit - 2 - kWindowSize, false},
      {UINT64_MAX, false},
  });
}

TEST(ReplayFilterTest, FirstCounterMayBeAny) {
  for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{63}, uint64_t{64}, kWindowSize, kBitmapBits,
                               uint64_t{1} << 60, kLimit - 1}) {
    ReplayFilter filter;
    EXPECT_TRUE(filter.accept(first)) << first;
    EXPECT_FALSE(filter.accept(first)) << first;
  }
}

TEST(ReplayFilterTest, AWholeWindowInReverseIsAcceptedOnce) {
  ReplayFilter filter;
  for (uint64_t i = kWindowSize + 1; i-- > 0;) ASSERT_TRUE(filter.accept(i)) << i;
  for (uint64_t i = kWindowSize + 1; i-- > 0;) ASSERT_FALSE(filter.accept(i)) << i;
}

TEST(ReplayFilterTest, OneMoreThanTheWindowInReverseLosesTheOldest) {
  ReplayFilter filter;
  for (uint64_t i = kWindowSize + 2; i-- > 1;) ASSERT_TRUE(filter.accept(i)) << i;
  EXPECT_FALSE(filter.accept(0));
}

TEST(ReplayFilterTest, RandomCountersAgreeWithASet) {
  for (uint64_t round = 0; round < 40; ++round) {
    const uint64_t seed = test::run_seed() + round;
    HATS_TRACE_SEED(seed);
    test::SeededRng rng(seed);
    ReplayFilter filter;
    std::set<uint64_t> seen;
    uint64_t newest = rng.one_in(4) ? kLimit - rng.below(20'000) : rng.below(100'000);
    const uint64_t spread = uint64_t{1} << rng.below(15);
    for (int step = 0; step < 20'000; ++step) {
      const uint64_t back = rng.below(spread + 1), forward = rng.below(spread / 16 + 2);
      const uint64_t base = seen.empty() ? newest : *seen.rbegin();
      const uint64_t counter =
          rng.one_in(3) ? base + std::min(forward, UINT64_MAX - base) : base - std::min(back, base);
      const bool too_old =
          !seen.empty() && *seen.rbegin() > counter && *seen.rbegin() - counter > kWindowSize;
      const bool expected = counter < kLimit && !too_old && !seen.contains(counter);
      ASSERT_EQ(filter.accept(counter), expected) << counter;
      if (expected) seen.insert(counter);
    }
  }
}

}  // namespace
}  // namespace hats::wg
