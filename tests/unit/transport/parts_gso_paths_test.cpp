// The table of paths that refuse UDP_SEGMENT.
#include <gtest/gtest.h>

#include "transport/gso_paths.hpp"

namespace hats::transport {
namespace {

IpAddress address(uint32_t number) {
  uint8_t bytes[4];
  store_be32(bytes, 0x0a000000 + number);
  return IpAddress::v4(bytes);
}
constexpr BootTime kStart{1'000'000'000'000};

TEST(GsoPathsTest, ARefusedSizeRefusesLargerOnesOnThatPathAlone) {
  GsoPaths paths;
  EXPECT_TRUE(paths.allows(address(1), 1'452, kStart));
  EXPECT_TRUE(paths.learn(address(1), 1'300, kStart));
  EXPECT_FALSE(paths.allows(address(1), 1'452, kStart));
  EXPECT_FALSE(paths.allows(address(1), 1'300, kStart));
  EXPECT_TRUE(paths.allows(address(1), 1'299, kStart));
  EXPECT_TRUE(paths.allows(address(2), 1'452, kStart));
  EXPECT_FALSE(paths.learn(address(1), 1'200, kStart));  // known already, now narrower
  EXPECT_FALSE(paths.allows(address(1), 1'250, kStart));
  EXPECT_FALSE(paths.learn(address(1), 1'400, kStart));  // a wider failure says nothing new
  EXPECT_FALSE(paths.allows(address(1), 1'200, kStart));
}

TEST(GsoPathsTest, WhatWasLearnedExpiresAfterTenMinutes) {
  GsoPaths paths;
  paths.learn(address(1), 1'300, kStart);
  EXPECT_FALSE(paths.allows(address(1), 1'400, kStart + seconds(599)));
  EXPECT_TRUE(paths.allows(address(1), 1'400, kStart + seconds(600)));
  EXPECT_TRUE(paths.learn(address(1), 1'400, kStart + seconds(700)));
  EXPECT_TRUE(paths.allows(address(1), 1'399, kStart + seconds(701)));
}

TEST(GsoPathsTest, AFullTableForgetsTheOldest) {
  GsoPaths paths;
  for (uint32_t i = 0; i < 65; ++i) paths.learn(address(i), 1'300, kStart + seconds(i));
  EXPECT_TRUE(paths.allows(address(0), 1'400, kStart + seconds(65)));
  for (uint32_t i = 1; i < 65; ++i) EXPECT_FALSE(paths.allows(address(i), 1'400, kStart + seconds(65)));
}

}  // namespace
}  // namespace hats::transport
