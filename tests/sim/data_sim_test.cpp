// The data path between devices: formats.md 6.5 (receive order), 6.6 (padding, ECN, counters), 5.5 (ICMP).
#include <gtest/gtest.h>

#include "core/packet/checksum.hpp"
#include "tests/sim/paper.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

using Drop = wg::DropReason;
constexpr size_t kOverhead = 32;

class DataTest : public testing::Test {
 protected:
  void SetUp() override {
    world.connect_all();
    world.send(0, 1, 1);
    world.advance(seconds(1));
    world.send(1, 0, 1);
    world.advance(seconds(1));
    world.trace.clear();
    for (size_t i = 0; i < world.size(); ++i) world.node(i).delivered.clear();
  }
  const std::vector<Bytes>& delivered(size_t node) { return world.node(node).delivered; }
  World world{51, 3};
};

TEST(FirstDataTest, FirstPacketMakesAHandshakeAndIsDeliveredAfterIt) {
  World world(1);
  world.connect_all();
  world.send(0, 1, 7);
  world.advance(seconds(1));
  ASSERT_EQ(world.node(1).delivered.size(), 1U);
  EXPECT_EQ(world.node(1).delivered[0], World::packet(0, 1, 7));
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
}

// netns.sh of the kernel: ten pings and one handshake.
TEST(FirstDataTest, BytesAreCountedAsTheKernelDoes) {
  World world(2);
  world.connect_all();
  for (uint32_t i = 0; i < 10; ++i) {
    world.send(0, 1, i);  // 84 bytes: a ping
    world.advance(milliseconds(100));
    world.send(1, 0, i);
    world.advance(milliseconds(100));
  }
  EXPECT_EQ(world.peer(0, 1).tx_bytes, 1'428U);  // 148 + 10 x (32 + 96)
  EXPECT_EQ(world.peer(0, 1).rx_bytes, 1'372U);  // 92 + 10 x (32 + 96)
  EXPECT_EQ(world.peer(1, 0).tx_bytes, 1'372U);
  EXPECT_EQ(world.peer(1, 0).rx_bytes, 1'428U);
}

TEST_F(DataTest, BothFamiliesOfEveryLengthArriveAsTheyWereSent) {
  for (size_t size = 24; size <= 1'420; size += 7) {
    world.send(0, {World::packet(0, 1, 0, size), World::packet(0, 1, 1, size)});
    if (size >= 44) world.send(1, {World::packet6(1, 0, 0, size), World::packet6(1, 0, 1, size)});
  }
  world.advance(seconds(1));
  size_t i = 0, j = 0;
  for (size_t size = 24; size <= 1'420; size += 7) {
    ASSERT_EQ(delivered(1).at(i++), World::packet(0, 1, 0, size));
    ASSERT_EQ(delivered(1).at(i++), World::packet(0, 1, 1, size));
    if (size < 44) continue;
    ASSERT_EQ(delivered(0).at(j++), World::packet6(1, 0, 0, size));
    ASSERT_EQ(delivered(0).at(j++), World::packet6(1, 0, 1, size));
  }
  EXPECT_EQ(delivered(1).size(), i);
  EXPECT_EQ(delivered(0).size(), j);
}

TEST_F(DataTest, PlaintextIsPaddedToSixteenButNotBeyondTheMtu) {
  for (const size_t size : {20U, 84U, 96U, 97U, 1'407U, 1'409U, 1'419U, 1'420U}) {
    world.send(0, {World::packet(0, 1, 0, size)});
    const size_t padded = std::min<size_t>((size + 15) / 16 * 16, 1'420);
    EXPECT_EQ(world.last(0, Kind::data).bytes.size(), kOverhead + padded) << size;
  }
  world.device(0).set_mtu(1'500);
  world.send(0, {World::packet(0, 1, 0, 1'419)});
  EXPECT_EQ(world.last(0, Kind::data).bytes.size(), kOverhead + 1'424);
}

TEST_F(DataTest, DatagramsLargerThanThePathAreSentAndCountedUntilThePeerIsElsewhere) {
  const auto fragmented = [&] { return world.peer(0, 1).tx_fragmented; };
  const Endpoint there = world.node(1).address;
  const size_t udp_overhead = 20 + 8 + kOverhead;  // IPv4
  world.send(0, {World::packet(0, 1, 0, 1'420)});
  EXPECT_EQ(fragmented(), 0U) << "the path is not known";
  world.device(0).set_path_mtu(world.peer(0, 1).public_key, there,
                               1'024 + static_cast<uint32_t>(udp_overhead));
  // 1,009 bytes are padded to 1,024, which fits; 1,025 are not.
  world.send(0, {World::packet(0, 1, 1, 1'009), World::packet(0, 1, 2, 1'024), World::packet(0, 1, 3, 100)});
  EXPECT_EQ(fragmented(), 0U);
  world.send(0, {World::packet(0, 1, 4, 1'025)});
  EXPECT_EQ(fragmented(), 1U);
  // One run: two of them too large, the last one not.
  world.send(0, {World::packet(0, 1, 5, 1'300), World::packet(0, 1, 6, 1'300), World::packet(0, 1, 7, 900)});
  EXPECT_EQ(fragmented(), 3U);
  world.advance(seconds(1));
  EXPECT_EQ(delivered(1).back(), World::packet(0, 1, 7, 900));
  // The path was one to another address.
  Endpoint elsewhere = there;
  elsewhere.port = static_cast<uint16_t>(elsewhere.port + 1);
  world.device(0).set_path_mtu(world.peer(0, 1).public_key, elsewhere, 600);
  world.send(0, {World::packet(0, 1, 8, 1'300)});
  EXPECT_EQ(fragmented(), 3U);
}

TEST_F(DataTest, PacketsOfAHugeMtuPass) {
  world.device(0).set_mtu(65'535);
  for (const size_t size : {9'000U, 34'000U, 64'900U, 65'475U}) {
    world.send(0, {World::packet(0, 1, 5, size)});
    world.advance(seconds(1));
    ASSERT_FALSE(delivered(1).empty()) << size;
    EXPECT_EQ(delivered(1).back().size(), size);
  }
  world.send(0, {World::packet(0, 1, 5, 65'476)});
  EXPECT_EQ(world.device(0).drops()[Drop::tx_too_large], 1U);
}

TEST_F(DataTest, ReplayedDatagramsAreNotDelivered) {
  world.send(0, 1, 5);
  world.advance(seconds(1));
  for (int i = 0; i < 3; ++i) world.inject(1, world.last(0, Kind::data));
  EXPECT_EQ(delivered(1).size(), 1U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_replayed], 3U);
}

TEST_F(DataTest, ReorderingWithinTheWindowIsAccepted) {
  world.filter = [](Datagram&) { return false; };
  for (uint64_t i = 0; i < paper::kReplayWindow + 2; ++i) world.send(0, 1, static_cast<uint32_t>(i));
  world.filter = nullptr;
  std::vector<Datagram> all;
  for (const Sent& sent : world.trace) {
    if (sent.node == 0 && sent.kind == Kind::data) all.push_back(sent.datagram);
  }
  world.inject(1, all.back());
  world.inject(1, all[1]);  // exactly the window behind
  EXPECT_EQ(delivered(1).size(), 2U);
  world.inject(1, all[0]);  // one more
  EXPECT_EQ(delivered(1).size(), 2U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_replayed], 1U);
}

TEST_F(DataTest, SourceMustBeAllowedForThatPeer) {
  world.send(2, 1);
  world.advance(seconds(1));
  world.node(1).delivered.clear();
  Bytes forged = World::packet(0, 1, 9);  // node 2 claims to be node 0
  world.send(2, {forged});
  world.advance(seconds(1));
  EXPECT_TRUE(delivered(1).empty());
  EXPECT_EQ(world.device(1).drops()[Drop::rx_source_not_allowed], 1U);
}

TEST_F(DataTest, InnerPacketsThatAreNotIpAreDroppedAndNotCounted) {
  const uint64_t before = world.peer(1, 0).rx_bytes;
  Bytes bad_version = World::packet(0, 1);
  Bytes too_long = World::packet(0, 1);
  store_be16(&too_long[2], 500);
  Bytes too_short = World::packet(0, 1);
  store_be16(&too_short[2], 19);
  bad_version[0] = 0x55;
  for (Bytes* packet : {&too_long, &too_short}) world.send(0, {*packet});
  world.advance(milliseconds(100));
  EXPECT_EQ(world.device(1).drops()[Drop::rx_inner_malformed], 2U);
  EXPECT_EQ(world.peer(1, 0).rx_bytes, before);
  world.send(0, {bad_version});
  EXPECT_EQ(world.device(0).drops()[Drop::tx_malformed], 1U);
}

TEST_F(DataTest, PaddingBehindTheInnerLengthIsTrimmed) {
  Bytes packet = World::packet(0, 1, 3, 60);
  Bytes padded = packet;
  padded.resize(400);
  world.send(0, {padded});
  world.advance(seconds(1));
  ASSERT_EQ(delivered(1).size(), 1U);
  EXPECT_EQ(delivered(1)[0], packet);
}

// RFC 6040 4.2, the table of formats.md 5.4; WireGuard does not follow "drop".
TEST_F(DataTest, EcnIsCombinedOnTheWayOutOfTheTunnel) {
  constexpr uint8_t kNot = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
  const std::vector<std::array<uint8_t, 3>> table = {
      // inner, outer, result
      {kNot, kNot, kNot},   {kNot, kEct0, kNot},   {kNot, kEct1, kNot},   {kNot, kCe, kNot},
      {kEct0, kNot, kEct0}, {kEct0, kEct0, kEct0}, {kEct0, kEct1, kEct1}, {kEct0, kCe, kCe},
      {kEct1, kNot, kEct1}, {kEct1, kEct0, kEct1}, {kEct1, kEct1, kEct1}, {kEct1, kCe, kCe},
      {kCe, kNot, kCe},     {kCe, kEct0, kCe},     {kCe, kEct1, kCe},     {kCe, kCe, kCe}};
  for (const auto& [inner, outer, result] : table) {
    world.node(1).delivered.clear();
    world.filter = [outer](Datagram& datagram) {
      datagram.ds = outer;
      return true;
    };
    world.send(0, {World::packet(0, 1, 0, 84, uint8_t(0x48 | inner))});
    world.send(0, {World::packet6(0, 1, 0, 84, uint8_t(0x48 | inner))});
    world.advance(milliseconds(50));
    ASSERT_EQ(delivered(1).size(), 2U);
    const Bytes& v4 = delivered(1)[0];
    EXPECT_EQ(v4[1], 0x48 | result) << int{inner} << ' ' << int{outer};
    EXPECT_EQ(packet::finish(packet::sum_of(ByteView(v4).first(20))), 0) << "IPv4 header checksum";
    EXPECT_EQ(delivered(1)[1], World::packet6(0, 1, 0, 84, uint8_t(0x48 | result)));
  }
  // Four of the rows are of no conforming path: Not-ECT that came out marked, and CE below ECT(1).
  EXPECT_EQ(world.peer(1, 0).ecn_suspicious, 2 * 4U);
}

TEST_F(DataTest, OuterEcnIsTheInnerOneCeToo) {
  for (uint8_t ecn = 0; ecn < 4; ++ecn) {
    world.send(0, {World::packet(0, 1, 0, 84, uint8_t(0xfc | ecn))});
    EXPECT_EQ(world.last(0, Kind::data).ds, ecn);
    world.send(0, {World::packet6(0, 1, 0, 84, uint8_t(0xfc | ecn))});
    EXPECT_EQ(world.last(0, Kind::data).ds, ecn);
  }
}

TEST_F(DataTest, PacketsOfSeveralPeersInOneBatchReachEachInOrder) {
  world.send(0, 2);
  world.advance(seconds(1));
  world.node(2).delivered.clear();
  std::vector<Bytes> packets;
  for (uint32_t i = 0; i < 600; ++i)
    packets.push_back(World::packet(0, 1 + i % 3 / 2, i, 60 + i * 7 % 1'300));
  world.send(0, packets);
  world.advance(seconds(1));
  EXPECT_EQ(delivered(1).size() + delivered(2).size(), packets.size());
  for (const size_t node : {size_t{1}, size_t{2}}) {
    uint32_t last = 0;
    for (const Bytes& packet : delivered(node)) {
      EXPECT_GE(World::mark_of(packet), last);
      last = World::mark_of(packet);
      EXPECT_EQ(packet, packets[last]);
    }
  }
}

class StagingTest : public testing::Test {
 protected:
  void SetUp() override {
    world.connect_all();
    world.filter = [](Datagram&) { return false; };
  }
  void open() {
    world.filter = nullptr;
    world.advance(seconds(6));
  }
  World world{61, 40};
};

TEST_F(StagingTest, AtMost128PacketsWaitAndTheOldestGo) {
  for (uint32_t i = 0; i < 200; ++i) world.send(0, 1, i);
  EXPECT_EQ(world.device(0).drops()[Drop::tx_staged_overflow], 200 - paper::kStagedPackets);
  open();
  ASSERT_EQ(world.node(1).delivered.size(), paper::kStagedPackets);
  EXPECT_EQ(World::mark_of(world.node(1).delivered[0]), 200 - paper::kStagedPackets);
  EXPECT_EQ(World::mark_of(world.node(1).delivered.back()), 199U);
}

TEST_F(StagingTest, AtMost256KibWaitForOnePeer) {
  for (uint32_t i = 0; i < 40; ++i) world.send(0, {World::packet(0, 1, i, 10'000)});
  open();
  const size_t fit = paper::kStagedPeerBytes / 10'000;
  ASSERT_EQ(world.node(1).delivered.size(), fit);
  EXPECT_EQ(World::mark_of(world.node(1).delivered[0]), 40 - fit);
}

TEST_F(StagingTest, AtMost4MibWaitForAllPeersAndTheOldestOfAllGo) {
  for (size_t peer = 1; peer < 40; ++peer) {
    for (uint32_t i = 0; i < 13; ++i) world.send(0, {World::packet(0, peer, i, 20'000)});
  }
  const size_t sent = 39 * 13, fit = paper::kStagedDeviceBytes / 20'000;
  EXPECT_EQ(world.device(0).drops()[Drop::tx_staged_overflow], sent - fit);
  open();
  size_t arrived = 0;
  for (size_t peer = 1; peer < 40; ++peer) arrived += world.node(peer).delivered.size();
  EXPECT_EQ(arrived, fit);
  EXPECT_EQ(world.node(39).delivered.size(), 13U);
  EXPECT_TRUE(world.node(1).delivered.empty());
}

TEST_F(StagingTest, PacketsSentWhileOthersWaitDoNotOvertakeThem) {
  for (uint32_t i = 0; i < 5; ++i) world.send(0, 1, i);
  world.filter = nullptr;
  world.advance(seconds(5) + milliseconds(340));
  for (uint32_t i = 5; i < 10; ++i) world.send(0, 1, i);
  world.advance(seconds(1));
  ASSERT_EQ(world.node(1).delivered.size(), 10U);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(World::mark_of(world.node(1).delivered[i]), i);
}

class IcmpTest : public testing::Test {
 protected:
  void SetUp() override { world.connect_all(); }
  size_t errors_for(const Bytes& packet) {
    world.node(0).icmp.clear();
    world.send(0, {packet});
    world.advance(milliseconds(10));
    return world.node(0).icmp.size();
  }
  static Bytes to_nobody() {
    Bytes out = World::packet(0, 1, 0, 1'000);
    out[19] = 200;
    return out;
  }
  static Bytes to_nobody6() {
    Bytes out = World::packet6(0, 1, 0, 1'400);
    out[39] = 200;
    return out;
  }
  World world{71};
};

TEST_F(IcmpTest, NoPeerIsHostOrAddressUnreachable) {
  ASSERT_EQ(errors_for(to_nobody()), 1U);
  EXPECT_EQ(world.node(0).icmp[0].type, 3);
  EXPECT_EQ(world.node(0).icmp[0].code, 1);
  EXPECT_EQ(world.node(0).icmp[0].packet.size(), 576U - 28);
  ASSERT_EQ(errors_for(to_nobody6()), 1U);
  EXPECT_EQ(world.node(0).icmp[0].type, 1);
  EXPECT_EQ(world.node(0).icmp[0].code, 3);
  EXPECT_EQ(world.node(0).icmp[0].packet.size(), 1'280U - 48);
  EXPECT_EQ(world.device(0).drops()[Drop::tx_no_peer], 2U);
}

TEST_F(IcmpTest, NoEndpointIsTheSame) {
  wg::DeviceUpdate update;
  update.replace_peers = true;
  world.apply(0, update);
  world.introduce(0, 1, false);
  EXPECT_EQ(errors_for(World::packet(0, 1)), 1U);
  EXPECT_EQ(world.device(0).drops()[Drop::tx_no_endpoint], 1U);
  EXPECT_TRUE(world.trace.empty());
}

// RFC 1122 3.2.2, RFC 4443 2.4 (e).
TEST_F(IcmpTest, SomePacketsAreNeverAnswered) {
  const auto v4 = [](size_t offset, std::vector<uint8_t> bytes) {
    Bytes out = to_nobody();
    std::ranges::copy(bytes, out.begin() + static_cast<std::ptrdiff_t>(offset));
    return out;
  };
  EXPECT_EQ(errors_for(v4(12, {0, 0, 0, 0})), 0U) << "unspecified source";
  EXPECT_EQ(errors_for(v4(12, {224, 0, 0, 1})), 0U) << "multicast source";
  EXPECT_EQ(errors_for(v4(12, {255, 255, 255, 255})), 0U) << "broadcast source";
  EXPECT_EQ(errors_for(v4(16, {224, 0, 0, 5})), 0U) << "multicast destination";
  EXPECT_EQ(errors_for(v4(6, {0, 1})), 0U) << "later fragment";
  for (const uint8_t type : {3, 4, 5, 11, 12}) {
    Bytes error = to_nobody();
    error[9] = 1;
    error[20] = type;
    EXPECT_EQ(errors_for(error), 0U) << "ICMP error " << int{type};
  }
  Bytes echo = to_nobody();
  echo[9] = 1;
  echo[20] = 8;
  EXPECT_EQ(errors_for(echo), 1U);

  Bytes error6 = to_nobody6();
  error6[6] = 58;
  error6[40] = 3;
  EXPECT_EQ(errors_for(error6), 0U);
  error6[40] = 128;
  EXPECT_EQ(errors_for(error6), 1U);
  Bytes behind_options = to_nobody6();
  behind_options[6] = 60;
  std::fill_n(behind_options.begin() + 40, 8, uint8_t{0});
  behind_options[40] = 58;
  behind_options[48] = 1;
  EXPECT_EQ(errors_for(behind_options), 0U);
  Bytes multicast = to_nobody6();
  multicast[24] = 0xff;
  EXPECT_EQ(errors_for(multicast), 0U);
  Bytes unspecified = to_nobody6();
  std::fill_n(unspecified.begin() + 8, 16, uint8_t{0});
  EXPECT_EQ(errors_for(unspecified), 0U);
}

TEST_F(IcmpTest, ErrorsAreLimitedInRateAndNumber) {
  size_t errors = 0;
  for (int i = 0; i < 10; ++i) {
    world.node(0).icmp.clear();
    world.send(0, std::vector<Bytes>(1'000, to_nobody()));
    errors += world.node(0).icmp.size();
    EXPECT_LE(world.node(0).icmp.size(), 64U);
    world.advance(milliseconds(100));
  }
  EXPECT_LE(errors, 1'100U);
  EXPECT_GE(errors, 400U);
}

}  // namespace
}  // namespace hats::sim
