// The rate limiter: 20 messages a second and 5 at once for each IPv4 address or IPv6 /64 (formats.md 6.4).
#include "core/wg/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

// Declared here again, not taken from the code under test.
constexpr int kMessagesPerSecond = 20;
constexpr int kMessagesAtOnce = 5;
constexpr Duration kTokenTime = milliseconds(1000 / kMessagesPerSecond);

IpAddress address(std::string_view text) {
  return IpAddress::parse(text).value();
}
constexpr BootTime at_ms(int64_t ms) {
  return BootTime{} + seconds(1000) + milliseconds(ms);
}
IpAddress numbered_v4(uint32_t number) {
  std::array<uint8_t, 4> bytes;
  store_be32(bytes.data(), number);
  return IpAddress::v4(bytes.data());
}

TEST(RateLimiterTest, ABurstOfFiveThenOneEachFiftyMilliseconds) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  const IpAddress source = address("192.0.2.1");
  for (int i = 0; i < kMessagesAtOnce; ++i) EXPECT_TRUE(limiter.allow(at_ms(0), source)) << i;
  EXPECT_FALSE(limiter.allow(at_ms(0), source));
  EXPECT_FALSE(limiter.allow(at_ms(49), source));
  EXPECT_TRUE(limiter.allow(at_ms(50), source));
  EXPECT_FALSE(limiter.allow(at_ms(50), source));
  EXPECT_FALSE(limiter.allow(at_ms(99), source)) << "what was refused costs nothing, and gives nothing";
  EXPECT_TRUE(limiter.allow(at_ms(100), source));
  // Silence fills the bucket again, and not beyond a burst.
  for (int i = 0; i < kMessagesAtOnce; ++i) EXPECT_TRUE(limiter.allow(at_ms(60'000), source)) << i;
  EXPECT_FALSE(limiter.allow(at_ms(60'000), source));
}

TEST(RateLimiterTest, SourcesDoNotShareABucket) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(limiter.allow(at_ms(0), address("192.0.2.1")), i < kMessagesAtOnce);
    EXPECT_EQ(limiter.allow(at_ms(0), address("192.0.2.2")), i < kMessagesAtOnce);
    EXPECT_EQ(limiter.allow(at_ms(0), address("2001:db8:0:1::1")), i < kMessagesAtOnce);
    EXPECT_EQ(limiter.allow(at_ms(0), address("2001:db8:0:2::1")), i < kMessagesAtOnce);
  }
}

TEST(RateLimiterTest, AddressesOfOneSlash64ShareABucket) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  for (int i = 0; i < 10; ++i) {
    IpAddress source = address("2001:db8:0:1::");
    source.bytes[8 + i % 8] = static_cast<uint8_t>(i);
    EXPECT_EQ(limiter.allow(at_ms(0), source), i < kMessagesAtOnce);
  }
}

TEST(RateLimiterTest, AnIpv4AddressAndTheIpv6PrefixOfTheSameBitsAreTwoSources) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  for (int i = 0; i < kMessagesAtOnce; ++i) {
    EXPECT_TRUE(limiter.allow(at_ms(0), address("1.2.3.4")));
    EXPECT_TRUE(limiter.allow(at_ms(0), address("0:0:102:304::")));
  }
}

TEST(RateLimiterTest, APortIsASourceOfItsOwnAndTheFirstMessageAfterSilenceIsTold) {
  using Verdict = RateLimiter::Verdict;
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  for (const IpAddress& source : {address("192.0.2.1"), address("2001:db8::1")}) {
    for (const uint16_t port : {1, 2, 51820}) {
      EXPECT_EQ(limiter.judge(at_ms(0), source, port), Verdict::fresh);
      for (int i = 1; i < kMessagesAtOnce; ++i) {
        EXPECT_EQ(limiter.judge(at_ms(0), source, port), Verdict::allowed);
      }
      EXPECT_EQ(limiter.judge(at_ms(0), source, port), Verdict::refused);
    }
    EXPECT_EQ(limiter.judge(at_ms(249), source, 1), Verdict::allowed);
    EXPECT_EQ(limiter.judge(at_ms(250), source, 2), Verdict::fresh) << "five tokens have come back";
  }
}

TEST(RateLimiterTest, AnUnsetAddressIsRefused) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  EXPECT_FALSE(limiter.allow(at_ms(0), IpAddress{}));
}

TEST(RateLimiterTest, RandomArrivalsAgreeWithATokenBucketForEachSource) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  RateLimiter limiter(rng);
  struct Bucket {
    int64_t tokens_ns = kMessagesAtOnce * kTokenTime.ns;
    BootTime last;
  };
  std::map<IpAddress, Bucket> oracle;
  BootTime now = at_ms(0);
  for (int step = 0; step < 200'000; ++step) {
    now = now + microseconds(static_cast<int64_t>(rng.below(2000)));
    const IpAddress source = numbered_v4(static_cast<uint32_t>(rng.below(50)));
    Bucket& bucket = oracle.try_emplace(source, Bucket{.last = now}).first->second;
    bucket.tokens_ns = std::min(bucket.tokens_ns + (now - bucket.last).ns, kMessagesAtOnce * kTokenTime.ns);
    bucket.last = now;
    const bool expected = bucket.tokens_ns >= kTokenTime.ns;
    if (expected) bucket.tokens_ns -= kTokenTime.ns;
    ASSERT_EQ(limiter.allow(now, source), expected) << "step " << step;
  }
}

TEST(RateLimiterTest, MemoryIsBoundedAndNewSourcesAreRefusedWhenItIsFull) {
  constexpr uint32_t kMostSources = 65'536;
  test::SeededRng rng(test::run_seed());
  HATS_TRACE_SEED(test::run_seed());
  RateLimiter limiter(rng);
  // The first source spends its burst; a flood of others must not make the limiter forget it.
  for (int i = 0; i < kMessagesAtOnce; ++i) EXPECT_TRUE(limiter.allow(at_ms(0), address("192.0.2.1")));
  uint32_t admitted = 0;
  for (uint32_t i = 0; i < 4 * kMostSources; ++i)
    admitted += limiter.allow(at_ms(0), numbered_v4(i << 8 | 7)) ? 1 : 0;
  EXPECT_LE(admitted, kMostSources);
  EXPECT_GT(admitted, kMostSources * 9 / 10);
  EXPECT_LE(limiter.active(at_ms(0)), kMostSources);
  EXPECT_FALSE(limiter.allow(at_ms(0), address("192.0.2.1")));
  // Each has sent once: one token's time later all places but the first source's are free again.
  EXPECT_EQ(limiter.active(at_ms(50)), 1U);
  EXPECT_TRUE(limiter.allow(at_ms(50), address("198.51.100.1")));
}

TEST(RateLimiterTest, MemoryIsGivenBackWhenAllBucketsAreFullAgain) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  EXPECT_FALSE(limiter.holds_memory());
  EXPECT_TRUE(limiter.allow(at_ms(0), address("192.0.2.1")));
  limiter.collect(at_ms(49));
  EXPECT_TRUE(limiter.holds_memory());
  limiter.collect(at_ms(50));
  EXPECT_FALSE(limiter.holds_memory());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(limiter.allow(at_ms(50), address("192.0.2.1")), i < kMessagesAtOnce);
}

}  // namespace
}  // namespace hats::wg
