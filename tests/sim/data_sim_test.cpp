// The data path between two devices: formats.md 6.5, 6.6.
#include <gtest/gtest.h>

#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

TEST(DataTest, FirstPacketMakesAHandshakeAndIsDeliveredAfterIt) {
  World world(1);
  world.connect_all();
  world.send(0, 1, 7);
  world.advance(seconds(1));
  ASSERT_EQ(world.node(1).delivered.size(), 1U);
  EXPECT_EQ(world.node(1).delivered[0], World::packet(0, 1, 7));
  world.send(1, 0, 8);
  world.send(1, {World::packet6(1, 0, 9, 1'420)});
  world.advance(seconds(1));
  ASSERT_EQ(world.node(0).delivered.size(), 2U);
  EXPECT_EQ(world.node(0).delivered[0], World::packet(1, 0, 8));
  EXPECT_EQ(world.node(0).delivered[1], World::packet6(1, 0, 9, 1'420));
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
}

}  // namespace
}  // namespace hats::sim
