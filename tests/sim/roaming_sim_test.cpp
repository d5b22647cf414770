// Endpoints that move: WG 2.1, formats.md 6.5, 6.6.
#include <gtest/gtest.h>

#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

Endpoint at(uint8_t last, uint16_t port) {
  const std::array<uint8_t, 4> address{203, 0, 113, last};
  return {IpAddress::v4(address.data()), port, 0};
}

class RoamingTest : public testing::Test {
 protected:
  void SetUp() override {
    world.connect_all();
    world.send(0, 1, 1);
    world.advance(seconds(1));
  }
  World world{41, 3};
};

TEST_F(RoamingTest, DataFromANewAddressMovesTheEndpoint) {
  world.node(0).address = at(1, 1'000);
  world.send(0, 1, 2);
  world.advance(seconds(1));
  EXPECT_EQ(world.peer(1, 0).endpoint, at(1, 1'000));
  world.send(1, 0, 3);
  world.advance(seconds(1));
  EXPECT_EQ(World::mark_of(world.node(0).delivered.back()), 3U);
}

TEST_F(RoamingTest, AKeepaliveMovesItToo) {
  world.send(1, 0);
  world.advance(milliseconds(100));
  world.node(0).address = at(2, 2'000);
  world.advance(seconds(11));
  EXPECT_EQ(world.count(0, Kind::keepalive), 1U);
  EXPECT_EQ(world.peer(1, 0).endpoint, at(2, 2'000));
}

TEST_F(RoamingTest, InitiationAndResponseMoveIt) {
  world.advance(seconds(181));
  world.node(0).address = at(3, 3'000);
  world.filter = [](Datagram& datagram) { return kind_of(datagram.bytes) == Kind::initiation; };
  world.send(0, 1);
  world.advance(milliseconds(11));
  EXPECT_EQ(world.peer(1, 0).endpoint, at(3, 3'000));
  world.filter = nullptr;
  world.advance(seconds(6));
  Datagram response = world.last(1, Kind::response);
  world.advance(seconds(181));
  world.filter = [](Datagram& datagram) { return kind_of(datagram.bytes) != Kind::response; };
  world.send(0, 1);
  world.advance(milliseconds(50));
  response = world.last(1, Kind::response);
  response.from = at(4, 4'000);
  world.inject(0, response);
  EXPECT_EQ(world.peer(0, 1).endpoint, at(4, 4'000));
}

TEST_F(RoamingTest, NothingUnauthenticatedMovesIt) {
  world.send(0, 1);
  Datagram forged = world.last(0, Kind::data);
  forged.from = at(5, 5'000);
  forged.bytes.back() ^= 1;
  world.inject(1, forged);
  EXPECT_EQ(world.peer(1, 0).endpoint, world.node(0).address);
  world.advance(seconds(1));
  Datagram replayed = world.last(0, Kind::data);
  replayed.from = at(5, 5'000);
  world.inject(1, replayed);
  EXPECT_EQ(world.peer(1, 0).endpoint, world.node(0).address);
  EXPECT_EQ(world.device(1).drops()[wg::DropReason::rx_replayed], 1U);
}

TEST_F(RoamingTest, APacketFromASourceThatIsNotAllowedHasMovedTheEndpointAllTheSame) {
  world.node(0).address = at(6, 6'000);
  Bytes packet = World::packet(0, 1);
  packet[15] = 99;  // 10.0.0.99 is nobody's
  world.send(0, {packet});
  world.advance(seconds(1));
  EXPECT_EQ(world.device(1).drops()[wg::DropReason::rx_source_not_allowed], 1U);
  EXPECT_EQ(world.peer(1, 0).endpoint, at(6, 6'000));
}

TEST_F(RoamingTest, RepliesLeaveFromTheAddressThePeerReached) {
  const Endpoint reached = world.node(1).address;
  world.send(1, 0);
  EXPECT_EQ(world.last(1, Kind::data).source.address, reached.address);
  world.device(1).forget_source(world.node(0).public_key);
  world.send(1, 0);
  EXPECT_FALSE(world.last(1, Kind::data).source.address.is_set());
}

TEST_F(RoamingTest, AnEndpointThatIsSetForgetsTheSourceOfTheOldOne) {
  world.send(1, 0);
  ASSERT_TRUE(world.last(1, Kind::data).source.address.is_set());
  wg::PeerUpdate moved;
  moved.public_key = world.node(0).public_key;
  moved.endpoint = world.node(0).address;
  wg::DeviceUpdate update;
  update.peers.push_back(std::move(moved));
  world.apply(1, update);
  world.send(1, 0);
  EXPECT_FALSE(world.last(1, Kind::data).source.address.is_set());
}

TEST_F(RoamingTest, BothEndsMayMoveOneAfterTheOther) {
  for (uint8_t i = 10; i < 20; ++i) {
    const size_t mover = i % 2;
    world.node(mover).address = at(i, static_cast<uint16_t>(i * 100));
    world.send(mover, 1 - mover, i);
    world.advance(seconds(1));
    world.send(1 - mover, mover, i);
    world.advance(seconds(1));
    EXPECT_EQ(World::mark_of(world.node(mover).delivered.back()), i);
    EXPECT_EQ(World::mark_of(world.node(1 - mover).delivered.back()), i);
  }
}

}  // namespace
}  // namespace hats::sim
