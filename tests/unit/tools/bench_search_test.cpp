#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "tools/hatsd-user/bench/paced_link.hpp"
#include "tools/hatsd-user/bench/rate_search.hpp"
#include "tools/hatsd-user/bench/statistics.hpp"

namespace hats::app::bench {
namespace {

RateSearch search_on(const std::function<RateTrial(double)>& machine, RateSearchOptions options = {}) {
  RateSearch search(options);
  while (const auto rate = search.next()) {
    RateTrial trial = machine(*rate);
    trial.offered = *rate;
    search.tried(trial);
  }
  return search;
}

// Carries up to `limit` packets a second and loses the rest.
std::function<RateTrial(double)> carries(double limit) {
  return [limit](double rate) { return RateTrial{.sent = rate, .delivered = std::min(rate, limit)}; };
}

TEST(RateSearch, FindsALimitAboveAndBelowItsStartWithinItsPrecision) {
  for (const double limit : {1'000.0, 9'000.0, 50'000.0, 123'456.0, 400'000.0, 2'000'000.0}) {
    const RateSearch search = search_on(carries(limit), {.most_trials = 60});
    EXPECT_GE(search.best().delivered, limit * 0.95) << limit;
    EXPECT_LT(search.best().loss(), 0.01) << limit;
  }
}

TEST(RateSearch, NeverMakesMoreTrialsThanAllowed) {
  for (const unsigned most : {1U, 2U, 5U}) {
    unsigned trials = 0;
    (void)search_on(
        [&](double rate) {
          ++trials;
          return carries(1e9)(rate);
        },
        {.most_trials = most});
    EXPECT_EQ(trials, most);
  }
}

TEST(RateSearch, DoesNotBelieveASingleFailure) {
  unsigned trial = 0;
  const RateSearch search = search_on(
      [&](double rate) {
        // Each third trial meets a pause of the receiver.
        return ++trial % 3 == 0 ? RateTrial{.sent = rate, .delivered = rate * 0.9} : carries(200'000)(rate);
      },
      {.most_trials = 60});
  EXPECT_GE(search.best().delivered, 190'000);
}

TEST(RateSearch, EndsWhereTheSenderCanDoNoMoreAndCountsWhatItDid) {
  const RateSearch search = search_on([](double rate) {
    return RateTrial{.sent = std::min(rate, 70'000.0), .delivered = std::min(rate, 70'000.0)};
  });
  EXPECT_DOUBLE_EQ(search.best().delivered, 70'000);
  EXPECT_LT(search.trials(), 16U);
}

TEST(RateSearch, GoesOnWhereASenderFallsShortAndFindsWhatIsBehindTheValley) {
  // Packets in small bursts cost more: between 45,000 and 120,000 asked for, no more arrives.
  const RateSearch search = search_on([](double rate) {
    const double sent = rate > 120'000 ? std::min(rate * 0.6, 180'000.0) : std::min(rate, 45'000.0);
    return RateTrial{.sent = sent, .delivered = sent};
  });
  EXPECT_DOUBLE_EQ(search.best().delivered, 180'000);
}

TEST(RateSearch, HasNoBestWhereEverythingIsLost) {
  EXPECT_EQ(search_on([](double rate) { return RateTrial{.sent = rate, .delivered = 0}; }).best().delivered,
            0);
  EXPECT_EQ(search_on([](double) { return RateTrial{}; }).best().delivered, 0);
}

TEST(Statistics, AgreeWithCountingOnRandomValues) {
  std::mt19937 random(1);
  for (int turn = 0; turn < 200; ++turn) {
    std::vector<double> values(1 + random() % 40);
    for (double& value : values) value = static_cast<double>(random() % 20);
    for (const double share : {0.01, 0.25, 0.5, 0.99, 1.0}) {
      const double found = percentile(values, share);
      const auto below =
          static_cast<double>(std::ranges::count_if(values, [&](double v) { return v < found; }));
      const auto up_to =
          static_cast<double>(std::ranges::count_if(values, [&](double v) { return v <= found; }));
      const double needed = share * static_cast<double>(values.size());
      EXPECT_GE(up_to, needed);
      EXPECT_LT(below, std::max(needed, 1.0));
    }
  }
}

TEST(Statistics, MedianOfAnEvenNumberIsBetweenTheTwoInTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 2, 100}), 3);
}

TEST(AddressAfter, CarriesOverBytes) {
  const auto after = [](const char* from, unsigned n) {
    return address_after(*IpAddress::parse(from), n).text();
  };
  EXPECT_EQ(after("10.11.0.1", 0), "10.11.0.1");
  EXPECT_EQ(after("10.11.0.1", 999), "10.11.3.232");
  EXPECT_EQ(after("10.11.255.255", 1), "10.12.0.0");
  EXPECT_EQ(after("fd11::1", 65'535), "fd11::1:0");
}

}  // namespace
}  // namespace hats::app::bench
