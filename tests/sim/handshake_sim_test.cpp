// Handshakes between devices, and what is refused in silence: WG 5.4, formats.md 6.1, 6.3.
#include <gtest/gtest.h>

#include <set>

#include "tests/sim/paper.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

using Drop = wg::DropReason;

class HandshakeSimTest : public testing::Test {
 protected:
  void SetUp() override { world.connect_all(); }
  /// An initiation of node 0 that node 1 never got.
  Datagram lost_initiation() {
    world.filter = [](Datagram&) { return false; };
    world.send(0, 1);
    world.filter = nullptr;
    Datagram out = world.last(0, Kind::initiation);
    out.from = world.node(0).address;
    return out;
  }
  World world{21, 3};
};

TEST_F(HandshakeSimTest, AnInitiationIsAnsweredOnceByAResponse) {
  const Datagram initiation = lost_initiation();
  world.inject(1, initiation);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.last(1, Kind::response).to, world.node(0).address);
}

TEST_F(HandshakeSimTest, TheSameInitiationAgainChangesNothing) {
  const Datagram initiation = lost_initiation();
  world.inject(1, initiation);
  world.advance(seconds(3));
  const auto deadline = world.device(1).next_deadline();
  const auto before = world.peer(1, 0);
  Datagram elsewhere = initiation;
  elsewhere.from.port = 9;
  world.inject(1, elsewhere);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_replayed], 1U);
  EXPECT_EQ(world.device(1).next_deadline(), deadline);
  EXPECT_EQ(world.peer(1, 0).endpoint, before.endpoint);
  EXPECT_EQ(world.peer(1, 0).rx_bytes, before.rx_bytes);
}

TEST_F(HandshakeSimTest, AnOlderInitiationIsRefusedAlsoAfterANewerHandshake) {
  const Datagram old = lost_initiation();
  world.advance(seconds(6));
  world.send(0, 1);
  world.advance(seconds(1));
  ASSERT_EQ(world.count(1, Kind::response), 1U);
  world.inject(1, old);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_replayed], 1U);
}

TEST_F(HandshakeSimTest, AClockSetBackLocksThePeerOut) {
  world.send(0, 1);
  world.advance(seconds(1));
  world.shift_wall(-10'000);
  world.advance(paper::kRejectAfterTime);
  world.send(0, 1);
  world.advance(seconds(1));
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_GE(world.device(1).drops()[Drop::rx_handshake_replayed], 1U);
}

TEST_F(HandshakeSimTest, InitiationsOfOnePeerWithinTwentyMillisecondsAreDropped) {
  world.filter = [](Datagram&) { return false; };
  world.send(0, 1);
  Datagram first = world.last(0, Kind::initiation);
  world.advance(seconds(6));
  Datagram second = world.last(0, Kind::initiation);
  first.from = second.from = world.node(0).address;
  world.inject(1, first);
  world.advance(milliseconds(19));
  world.inject(1, second);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_flood], 1U);
  world.advance(milliseconds(1));
  world.inject(1, second);
  EXPECT_EQ(world.count(1, Kind::response), 2U);
}

TEST_F(HandshakeSimTest, APeersInitiationOverwritesOurOwn) {
  world.send(0, 1);
  world.send(1, 0);
  world.advance(milliseconds(15));  // both initiations have arrived, both responses are under way
  ASSERT_EQ(world.count(0, Kind::response), 1U);
  ASSERT_EQ(world.count(1, Kind::response), 1U);
  world.advance(milliseconds(20));
  EXPECT_EQ(world.device(0).drops()[Drop::rx_unknown_index], 1U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_unknown_index], 1U);
  EXPECT_TRUE(world.node(0).delivered.empty());
}

TEST_F(HandshakeSimTest, ASecondResponseIsRefused) {
  world.send(0, 1);
  world.advance(seconds(1));
  Datagram again = world.last(1, Kind::response);
  const auto before = world.peer(0, 1);
  again.from.port = 4'444;
  world.inject(0, again);
  EXPECT_EQ(world.device(0).drops()[Drop::rx_unknown_index], 1U);
  EXPECT_EQ(world.peer(0, 1).endpoint, before.endpoint);
  world.send(0, 1, 5);
  world.advance(seconds(1));
  EXPECT_EQ(World::mark_of(world.node(1).delivered.back()), 5U);
}

TEST_F(HandshakeSimTest, AResponseOfSomeoneElseLeavesTheHandshakeOpen) {
  world.filter = [](Datagram& datagram) { return kind_of(datagram.bytes) != Kind::response; };
  world.send(0, 1, 3);
  world.advance(milliseconds(50));
  const Datagram good = world.last(1, Kind::response);
  Datagram bad = good;
  bad.bytes[20] ^= 1;  // the mac1 no longer fits either
  world.inject(0, bad);
  EXPECT_EQ(world.device(0).drops()[Drop::rx_bad_mac1], 1U);
  world.inject(0, good);
  world.advance(milliseconds(50));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
}

TEST_F(HandshakeSimTest, AnInitiationWithoutAValidMac1IsNotAnswered) {
  Datagram initiation = lost_initiation();
  initiation.bytes[120] ^= 1;
  world.inject(1, initiation);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_bad_mac1], 1U);
  EXPECT_EQ(world.count(1, Kind::response) + world.count(1, Kind::cookie_reply), 0U);
}

TEST_F(HandshakeSimTest, AnInitiationForAnotherKeyIsNotAnswered) {
  const Datagram initiation = lost_initiation();  // for node 1
  world.inject(2, initiation);
  EXPECT_EQ(world.device(2).drops()[Drop::rx_bad_mac1], 1U);
  EXPECT_EQ(world.count(2, Kind::response), 0U);
}

TEST_F(HandshakeSimTest, AnUnknownPeerIsNotAnswered) {
  const Datagram initiation = lost_initiation();
  wg::DeviceUpdate update;
  update.replace_peers = true;
  world.apply(1, update);
  world.inject(1, initiation);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_unknown_peer], 1U);
  EXPECT_EQ(world.count(1, Kind::response), 0U);
}

TEST_F(HandshakeSimTest, NothingHappensBeforeAPrivateKeyIsSet) {
  const Datagram initiation = lost_initiation();
  test::SeededRng rng(3);
  wg::Device bare(rng, 1'420);
  bare.set_up(world.now(), true);
  Bytes bytes = initiation.bytes;
  wg::InboundBatch batch;
  std::vector<wg::InnerPacket> out;
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{32}, size_t{64}, size_t{92}, size_t{148}, size_t{1'000}}) {
    for (uint8_t type = 0; type < 6; ++type) {
      bytes.assign(size, 0);
      if (size > 0) bytes[0] = type;
      const std::array received{wg::Received{.bytes = bytes, .from = initiation.from}};
      bare.plan_inbound(world.now(), received, batch);
      bare.commit_inbound(world.now(), batch, out);
      batch.clear();
    }
  }
  EXPECT_FALSE(bare.has_handshakes());
  EXPECT_FALSE(bare.has_pending());
  wg::ControlDatagram control;
  EXPECT_FALSE(bare.poll_datagram(control));
  EXPECT_EQ(bare.next_deadline(), std::nullopt);
  EXPECT_TRUE(out.empty());
}

TEST_F(HandshakeSimTest, SenderIndicesAreNotRepeated) {
  std::set<uint32_t> seen;
  world.set_keepalive(0, 1, 25);
  world.advance(seconds(3'600));
  size_t count = 0;
  for (const Sent& sent : world.trace) {
    if (sent.kind != Kind::initiation && sent.kind != Kind::response) continue;
    seen.insert(load_le32(&sent.datagram.bytes[4]));
    ++count;
  }
  EXPECT_GT(count, 20U);
  EXPECT_EQ(seen.size(), count);
}

TEST_F(HandshakeSimTest, DifferentPresharedKeysMakeNoSession) {
  wg::DeviceUpdate update;
  update.peers.emplace_back();
  update.peers[0].public_key = world.node(1).public_key;
  update.peers[0].preshared_key.emplace(std::array<uint8_t, 32>{1, 2, 3});
  world.apply(0, update);
  world.send(0, 1);
  world.advance(seconds(3));
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.device(0).drops()[Drop::rx_handshake_invalid], 1U);
  EXPECT_TRUE(world.node(1).delivered.empty());
  update.peers[0].public_key = world.node(0).public_key;
  world.apply(1, update);
  world.advance(seconds(6));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
}

TEST_F(HandshakeSimTest, LowOrderPeerKeysAreAcceptedButNothingIsSentToThem) {
  wg::DeviceUpdate update;
  update.peers.emplace_back();
  update.peers[0].public_key = {};  // the all-zero point
  update.peers[0].endpoint = world.node(2).address;
  update.peers[0].persistent_keepalive_s = 1;
  const std::array<uint8_t, 4> address{10, 9, 9, 9};
  update.peers[0].allowed_ips = {{{IpAddress::v4(address.data()), 32}}};
  world.apply(0, update);
  Bytes packet = World::packet(0, 1);
  std::ranges::copy(address, &packet[16]);
  world.send(0, {packet});
  world.advance(seconds(60));
  EXPECT_EQ(world.device(0).snapshot().peers.size(), 3U);
  EXPECT_TRUE(world.trace.empty());
}

TEST_F(HandshakeSimTest, HandshakesCarryAf41AndDataOnlyTheInnerEcn) {
  world.send(0, {World::packet(0, 1, 0, 84, 0xb8 | 2)});
  world.advance(seconds(1));
  EXPECT_EQ(world.last(0, Kind::initiation).ds, paper::kHandshakeDs);
  EXPECT_EQ(world.last(1, Kind::response).ds, paper::kHandshakeDs);
  EXPECT_EQ(world.last(0, Kind::data).ds, 2);
}

}  // namespace
}  // namespace hats::sim
