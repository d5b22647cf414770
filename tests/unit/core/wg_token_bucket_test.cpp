// A rate that all sources share, against a count of whole tokens.
#include "core/wg/token_bucket.hpp"

#include <gtest/gtest.h>

#include <random>

namespace hats::wg {
namespace {

TEST(TokenBucketTest, ABurstAndThenItsRate) {
  TokenBucket bucket(100, 3);
  const BootTime start = BootTime{} + seconds(50);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(start)) << i;
  EXPECT_FALSE(bucket.take(start));
  EXPECT_FALSE(bucket.take(start + milliseconds(9)));
  EXPECT_TRUE(bucket.take(start + milliseconds(10)));
  EXPECT_FALSE(bucket.take(start + milliseconds(19)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(start + seconds(9))) << "never more than a burst";
  EXPECT_FALSE(bucket.take(start + seconds(9)));
}

TEST(TokenBucketTest, OverAnyTimeItGivesItsRateAndABurstAtTheMost) {
  std::mt19937 rng(3);
  TokenBucket bucket(1'000, 50);
  BootTime now = BootTime{} + seconds(1);
  const BootTime start = now;
  int64_t taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    now = now + microseconds(rng() % 1'000);
    taken += bucket.take(now) ? 1 : 0;
    ASSERT_LE(taken, 50 + (now - start).ns / 1'000'000 + 1);
  }
  EXPECT_GE(taken, (now - start).ns / 1'000'000 * 95 / 100) << "and no less, where so much is asked for";
}

}  // namespace
}  // namespace hats::wg
