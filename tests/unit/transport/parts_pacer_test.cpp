// When a loop under a real-time class pauses.
#include <gtest/gtest.h>

#include "transport/pacer.hpp"

namespace hats::transport {
namespace {

constexpr Duration kNothing{};

class PacerTest : public testing::Test {
 protected:
  void SetUp() override { (void)wake({}, 1); }
  Duration wake(Duration after, uint64_t packets) {
    now_ = now_ + after;
    return pacer_.after_wake_up(now_, packets);
  }
  void flood() {
    for (int i = 0; i < 16; ++i) (void)wake(microseconds(5), 1);
  }
  Pacer pacer_;
  BootTime now_{1'000'000'000};
};

TEST_F(PacerTest, AFloodOfSinglePacketsMakesItPauseAndBatchesKeepItPausing) {
  for (int i = 0; i < 15; ++i) EXPECT_EQ(wake(microseconds(5), 1), kNothing) << i;
  Duration pause = wake(microseconds(5), 1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(pause, microseconds(50));
    pause = wake(microseconds(60), 12);
  }
}

TEST_F(PacerTest, ItEndsWhenAPauseGathersNothing) {
  flood();
  EXPECT_EQ(wake(microseconds(60), 12), microseconds(50));
  EXPECT_EQ(wake(microseconds(60), 1), kNothing);
  EXPECT_EQ(wake(microseconds(5), 1), kNothing);
}

TEST_F(PacerTest, AQuestionAndItsAnswerAreNeverPaused) {
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(wake(microseconds(25), 1), kNothing);
}

TEST_F(PacerTest, FullBatchesNeedNoPause) {
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(wake(microseconds(10), 20), kNothing);
}

TEST_F(PacerTest, OnlyAnUnbrokenRowOfQuickWakeUpsCounts) {
  for (int i = 0; i < 1'000; ++i) {
    const bool slow = i % 10 == 0;
    EXPECT_EQ(wake(slow ? milliseconds(1) : microseconds(5), 1), kNothing);
  }
}

}  // namespace
}  // namespace hats::transport
