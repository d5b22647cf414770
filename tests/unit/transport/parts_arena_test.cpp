// The arena and its leases.
#include <gtest/gtest.h>

#include <set>

#include "transport/arena.hpp"

namespace hats::transport {
namespace {

TEST(ArenaTest, LendsEachSlabOnceAndThenNone) {
  auto arena = Arena::make(8);
  ASSERT_TRUE(arena);
  std::vector<Lease> leases;
  std::set<uint8_t*> places;
  while (Lease lease = (*arena)->take()) {
    EXPECT_GE(lease.bytes().size(), 65'535U + 256U + 64U);  // the largest packet, headroom, tailroom
    places.insert(lease.bytes().data());
    leases.push_back(std::move(lease));
  }
  EXPECT_EQ(leases.size(), 8U);
  EXPECT_EQ(places.size(), 8U);
  EXPECT_EQ((*arena)->free_count(), 0U);
  leases.clear();
  EXPECT_EQ((*arena)->free_count(), 8U);
}

TEST(ArenaTest, ASlabComesBackWithItsLastLease) {
  auto arena = Arena::make(1);
  ASSERT_TRUE(arena);
  Lease first = (*arena)->take();
  EXPECT_TRUE(first.is_sole());
  Lease second = first;
  EXPECT_FALSE(first.is_sole());
  const Lease third = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): a moved lease holds nothing
  second = {};
  EXPECT_EQ((*arena)->free_count(), 0U);
  EXPECT_TRUE(third.is_sole());
  second = third;
  EXPECT_EQ((*arena)->free_count(), 0U);
}

TEST(ArenaTest, RefusesToBeEmptyOrTooLarge) {
  EXPECT_FALSE(Arena::make(0));
  EXPECT_FALSE(Arena::make(65'536));
}

}  // namespace
}  // namespace hats::transport
