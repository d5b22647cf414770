#include "core/packet/path_mtu.hpp"

#include <gtest/gtest.h>

namespace hats::packet {
namespace {

constexpr int64_t kTenMinutesNs = 600'000'000'000;

IpAddress address(uint32_t n) {
  const uint8_t bytes[4] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                            static_cast<uint8_t>(n)};
  return IpAddress::v4(bytes);
}

TEST(PathMtuTest, ALowerValueIsBelievedAHigherOneIsNot) {
  PathMtuTable table;
  const BootTime now{1};
  EXPECT_FALSE(table.find(now, address(1)));
  EXPECT_TRUE(table.learn(now, address(1), 1'400));
  EXPECT_EQ(table.find(now, address(1)), 1'400u);
  EXPECT_FALSE(table.learn(now, address(1), 1'450));
  EXPECT_EQ(table.find(now, address(1)), 1'400u);
  EXPECT_TRUE(table.learn(now, address(1), 1'300));
  EXPECT_EQ(table.find(now, address(1)), 1'300u);
  EXPECT_FALSE(table.find(now, address(2)));
}

TEST(PathMtuTest, AValueIsForgottenTenMinutesAfterItsLastReport) {
  PathMtuTable table;
  const BootTime start{1'000};
  table.learn(start, address(1), 1'400);
  EXPECT_TRUE(table.find(start + Duration{kTenMinutesNs - 1}, address(1)));
  EXPECT_FALSE(table.find(start + Duration{kTenMinutesNs}, address(1)));
  const BootTime later = start + Duration{kTenMinutesNs / 2};
  EXPECT_FALSE(table.learn(later, address(1), 1'400)) << "the same value: nothing changed, but renewed";
  EXPECT_TRUE(table.find(start + Duration{kTenMinutesNs}, address(1)));
  EXPECT_EQ(table.next_deadline(), later + Duration{kTenMinutesNs});
  // After expiry a larger value is news.
  EXPECT_TRUE(table.learn(later + Duration{kTenMinutesNs}, address(1), 1'480));
  table.expire(later + Duration{2 * kTenMinutesNs});
  EXPECT_EQ(table.size(), 0u);
  EXPECT_FALSE(table.next_deadline());
}

TEST(PathMtuTest, NothingBelowTheLeastOfTheFamilyIsBelieved) {
  PathMtuTable table;
  const auto v6 = IpAddress::parse("2001:db8::1").value();
  table.learn({0}, address(1), 0);
  table.learn({0}, v6, 100);
  EXPECT_EQ(table.find({0}, address(1)), 68u);
  EXPECT_EQ(table.find({0}, v6), 1'280u);
  EXPECT_FALSE(table.learn({0}, IpAddress{}, 1'400));
}

TEST(PathMtuTest, WhenFullTheOneThatWouldExpireFirstIsForgotten) {
  PathMtuTable table;
  for (uint32_t i = 0; i < 5'000; ++i) {
    table.learn(BootTime{i}, address(i), 1'400);
    ASSERT_LE(table.size(), 1'024u);
  }
  for (uint32_t i = 0; i < 5'000; ++i)
    EXPECT_EQ(table.find(BootTime{5'000}, address(i)).has_value(), i >= 5'000 - 1'024);
  table.forget(address(4'999));
  EXPECT_FALSE(table.find(BootTime{5'000}, address(4'999)));
  table.clear();
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace hats::packet
