// Sessions and timers: WG 6.1 - 6.5, formats.md 6.5.
#include <gtest/gtest.h>

#include <set>

#include "tests/sim/paper.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

/// Node 0 has just made a session with node 1 as its initiator; both are quiet and owe nothing.
class TimersTest : public testing::Test {
 protected:
  void SetUp() override {
    world.connect_all();
    world.send(0, 1, 1);
    world.advance(milliseconds(100));
    world.send(1, 0, 2);  // answers the data, so that nobody waits for anything
    world.advance(milliseconds(50));
    world.send(0, 1, 3);  // and that answers the answer
    world.advance(seconds(12));
    ASSERT_EQ(world.node(1).delivered.size(), 2U);
    ASSERT_EQ(world.node(0).delivered.size(), 1U);
    established = world.times(0, Kind::initiation).back() + milliseconds(20);
    forget();
  }
  void forget() {
    world.trace.clear();
    world.node(0).delivered.clear();
    world.node(1).delivered.clear();
  }
  /// To `age` of the initiator's keys.
  void to_age(Duration age) { world.advance(established + age - world.time()); }
  void cut_line(size_t from) {
    const Endpoint address = world.node(from).address;
    world.filter = [address](Datagram& datagram) { return datagram.from != address; };
  }
  void cut_all() {
    world.filter = [](Datagram&) { return false; };
  }

  World world{7};
  BootTime established;
};

TEST_F(TimersTest, IdlePeersFallSilent) {
  world.advance(seconds(1'000));
  EXPECT_TRUE(world.trace.empty());
  EXPECT_EQ(world.device(0).next_deadline(), std::nullopt);
  EXPECT_EQ(world.device(1).next_deadline(), std::nullopt);
}

TEST_F(TimersTest, UnansweredHandshakeIsRetransmittedEveryRekeyTimeoutWithJitter) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  world.send(0, 1);
  world.advance(seconds(60));
  const auto times = world.times(0, Kind::initiation);
  ASSERT_GE(times.size(), 10U);
  std::set<int64_t> gaps;
  for (size_t i = 1; i < times.size(); ++i) {
    const Duration gap = times[i] - times[i - 1];
    EXPECT_GE(gap, paper::kRekeyTimeout);
    EXPECT_LT(gap, paper::kRekeyTimeout + paper::kMaxJitter);
    gaps.insert(gap.ns);
  }
  EXPECT_GT(gaps.size(), 5U) << "no jitter";
}

TEST_F(TimersTest, EachRetriedInitiationIsFresh) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  world.send(0, 1);
  world.advance(seconds(30));
  std::set<Bytes> senders, ephemerals, timestamps;
  size_t count = 0;
  for (const Sent& sent : world.trace) {
    if (sent.kind != Kind::initiation) continue;
    const Bytes& bytes = sent.datagram.bytes;
    senders.emplace(bytes.begin() + 4, bytes.begin() + 8);
    ephemerals.emplace(bytes.begin() + 8, bytes.begin() + 40);
    timestamps.emplace(bytes.begin() + 88, bytes.begin() + 116);
    ++count;
  }
  EXPECT_GE(count, 5U);
  EXPECT_EQ(senders.size(), count);
  EXPECT_EQ(ephemerals.size(), count);
  EXPECT_EQ(timestamps.size(), count);
}

TEST_F(TimersTest, HandshakeIsGivenUpAfterTwentyTriesAndStagedPacketsAreDropped) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  for (int i = 0; i < 3; ++i) world.send(0, 1);
  world.advance(seconds(300));
  EXPECT_EQ(world.count(0, Kind::initiation), size_t{paper::kInitiationTries});
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::tx_handshake_gave_up], 3U);
  world.filter = nullptr;
  world.advance(seconds(60));
  EXPECT_EQ(world.count(0, Kind::initiation), size_t{paper::kInitiationTries});
  EXPECT_TRUE(world.node(1).delivered.empty());
}

TEST_F(TimersTest, NewOutgoingDataStartsAgainAfterGivingUp) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  world.send(0, 1);
  world.advance(seconds(200));
  world.filter = nullptr;
  forget();
  world.send(0, 1, 77);
  world.advance(seconds(1));
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  ASSERT_EQ(world.node(1).delivered.size(), 1U);
  EXPECT_EQ(World::mark_of(world.node(1).delivered[0]), 77U);
}

TEST_F(TimersTest, AtMostOneInitiationIsSentInRekeyTimeout) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  for (int i = 0; i < 1'000; ++i) {
    world.send(0, 1);
    world.advance(milliseconds(20));
  }
  const auto times = world.times(0, Kind::initiation);
  ASSERT_GE(times.size(), 3U);
  for (size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], paper::kRekeyTimeout);
}

TEST_F(TimersTest, InitiatorRenewsAtSendAfterRekeyAfterTime) {
  to_age(paper::kRekeyAfterTime - milliseconds(1));
  world.send(0, 1);
  EXPECT_EQ(world.count(0, Kind::initiation), 0U);
  to_age(paper::kRekeyAfterTime);
  world.send(0, 1);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  world.advance(seconds(1));
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.node(1).delivered.size(), 2U) << "the old key serves until the new one is there";
}

TEST_F(TimersTest, ResponderDoesNotRenewAtSend) {
  for (Duration age = paper::kRekeyAfterTime; age < paper::kRejectAfterTime - seconds(20);
       age = age + seconds(7)) {
    to_age(age);
    world.send(1, 0);
  }
  EXPECT_EQ(world.count(1, Kind::initiation), 0U);
}

TEST_F(TimersTest, AnyoneMakesAHandshakeWhenTheKeyIsTooOldToSend) {
  to_age(paper::kRejectAfterTime);
  world.send(1, 0, 5);
  EXPECT_EQ(world.count(1, Kind::data), 0U);
  EXPECT_EQ(world.count(1, Kind::initiation), 1U);
  world.advance(seconds(1));
  EXPECT_EQ(world.node(0).delivered.size(), 1U);
}

TEST_F(TimersTest, InitiatorRenewsOnceAtReceiveFifteenSecondsBeforeTheEnd) {
  to_age(paper::kRekeyAtReceive - milliseconds(20));
  world.send(1, 0);
  world.advance(milliseconds(15));
  EXPECT_EQ(world.count(0, Kind::initiation), 0U);
  cut_line(0);  // nothing of node 0 arrives, so its initiation stays unanswered
  to_age(paper::kRekeyAtReceive);
  world.send(1, 0);
  world.advance(milliseconds(20));
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  const size_t before = world.count(0, Kind::initiation);
  for (int i = 0; i < 5; ++i) {
    world.send(1, 0);
    world.advance(milliseconds(20));
  }
  EXPECT_EQ(world.count(0, Kind::initiation), before);
}

TEST_F(TimersTest, ResponderDoesNotRenewAtReceive) {
  to_age(paper::kRekeyAtReceive + seconds(1));
  world.filter = [&](Datagram& datagram) { return kind_of(datagram.bytes) != Kind::initiation; };
  world.send(0, 1);
  world.advance(seconds(1));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
  EXPECT_EQ(world.count(1, Kind::initiation), 0U);
}

TEST_F(TimersTest, UnansweredDataBringsANewHandshakeAfterFifteenSeconds) {
  cut_line(1);
  const BootTime sent = world.time();
  world.send(0, 1);
  world.advance(seconds(20));
  const auto times = world.times(0, Kind::initiation);
  ASSERT_GE(times.size(), 1U);
  EXPECT_GE(times[0] - sent, paper::kNewHandshakeAfter);
  EXPECT_LT(times[0] - sent, paper::kNewHandshakeAfter + paper::kMaxJitter);
}

TEST_F(TimersTest, ThatHandshakeLeavesItsSourceAddressToTheHost) {
  cut_line(1);
  world.send(0, 1);
  EXPECT_TRUE(world.last(0, Kind::data).source.address.is_set()) << "sticky at first";
  world.advance(seconds(16));
  ASSERT_EQ(world.count(0, Kind::initiation), 1U);
  EXPECT_FALSE(world.last(0, Kind::initiation).source.address.is_set());
}

TEST_F(TimersTest, FifteenSecondsRunFromTheFirstUnansweredPacket) {
  cut_line(1);
  const BootTime first = world.time();
  for (int i = 0; i < 16; ++i) {
    world.send(0, 1);
    world.advance(seconds(1));
  }
  const auto times = world.times(0, Kind::initiation);
  ASSERT_EQ(times.size(), 1U);
  EXPECT_LT(times[0] - first, paper::kNewHandshakeAfter + paper::kMaxJitter);
}

TEST_F(TimersTest, ReceivedDataIsAnsweredByAKeepaliveAfterTenSeconds) {
  world.send(0, 1);
  world.advance(seconds(60));
  const BootTime arrived = world.times(0, Kind::data).at(0) + milliseconds(10);
  const auto keepalives = world.times(1, Kind::keepalive);
  ASSERT_EQ(keepalives.size(), 1U);
  EXPECT_EQ((keepalives[0] - arrived).ns, paper::kKeepaliveTimeout.ns);
  EXPECT_EQ(world.last(1, Kind::keepalive).bytes.size(), 32U);
  EXPECT_EQ(world.count(0, Kind::keepalive), 0U) << "a keepalive is not answered";
  EXPECT_EQ(world.count(0, Kind::initiation), 0U);
}

TEST_F(TimersTest, SendingAnythingMakesThePassiveKeepaliveNeedless) {
  world.send(0, 1);
  world.advance(seconds(5));
  world.send(1, 0);
  world.advance(seconds(60));
  EXPECT_EQ(world.count(1, Kind::keepalive), 0U);
}

TEST_F(TimersTest, KeepaliveDoesNotArmTheNewHandshakeTimer) {
  world.send(0, 1);
  world.advance(seconds(9));
  cut_line(0);
  world.advance(seconds(60));
  EXPECT_EQ(world.count(1, Kind::keepalive), 1U);
  EXPECT_EQ(world.count(1, Kind::initiation), 0U);
}

TEST_F(TimersTest, ResponderStartsNoHandshakeMerelyForAKeepaliveOnAnExpiredSession) {
  world.filter = [](Datagram& datagram) { return kind_of(datagram.bytes) != Kind::initiation; };
  to_age(paper::kRejectAfterTime - seconds(5));
  world.send(0, 1);
  world.advance(seconds(14));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
  EXPECT_EQ(world.count(1, Kind::initiation), 0U);
}

TEST_F(TimersTest, PacketsUnderAKeyOlderThanRejectAfterTimeAreNotTaken) {
  to_age(paper::kRejectAfterTime - milliseconds(30));
  world.send(0, 1);
  const Datagram datagram = world.last(0, Kind::data);
  world.advance(seconds(2));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
  Datagram late = datagram;
  late.from = world.node(0).address;
  const auto before = world.device(1).drops()[wg::DropReason::rx_key_expired];
  world.inject(1, late);
  EXPECT_EQ(world.device(1).drops()[wg::DropReason::rx_key_expired], before + 1);
}

TEST_F(TimersTest, KeysAreErasedAfterThreeTimesRejectAfterTime) {
  to_age(seconds(100));
  world.send(0, 1);
  const Datagram old = world.last(0, Kind::data);
  to_age(paper::kEraseKeysAfter - milliseconds(11));  // the responder had its keys 10 ms earlier
  world.inject(1, old);
  EXPECT_EQ(world.device(1).drops()[wg::DropReason::rx_unknown_index], 0U) << "still known, though expired";
  to_age(paper::kEraseKeysAfter + milliseconds(1));
  world.inject(1, old);
  EXPECT_EQ(world.device(1).drops()[wg::DropReason::rx_unknown_index], 1U);
}

TEST_F(TimersTest, PartialHandshakeIsErasedAfterGivingUp) {
  world.set_up(0, false);
  world.set_up(0, true);
  cut_all();
  world.send(0, 1);
  world.advance(seconds(110));
  const BootTime gave_up = world.times(0, Kind::initiation).back();
  EXPECT_TRUE(world.device(0).next_deadline());
  world.advance(paper::kEraseKeysAfter + seconds(10));
  EXPECT_EQ(world.device(0).next_deadline(), std::nullopt);
  EXPECT_EQ(world.times(0, Kind::initiation).back(), gave_up);
}

TEST_F(TimersTest, RetryForgetsTheLocalSourceAddress) {
  cut_all();
  to_age(paper::kRejectAfterTime);
  world.send(0, 1);
  EXPECT_TRUE(world.last(0, Kind::initiation).source.address.is_set()) << "sticky at first";
  world.advance(seconds(6));
  EXPECT_EQ(world.count(0, Kind::initiation), 2U);
  EXPECT_FALSE(world.last(0, Kind::initiation).source.address.is_set());
}

class PersistentKeepaliveTest : public testing::Test {
 protected:
  void set_interval(size_t node, uint16_t interval) { world.set_keepalive(node, 1 - node, interval); }
  World world{11};
};

TEST_F(PersistentKeepaliveTest, FirstIsSentWhenTheInterfaceComesUp) {
  world.introduce(0, 1);
  world.introduce(1, 0);
  world.set_up(1, true);
  set_interval(0, 25);
  world.advance(seconds(30));
  EXPECT_TRUE(world.trace.empty()) << "nothing is sent while down";
  world.set_up(0, true);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  world.advance(seconds(1));
  EXPECT_EQ(world.count(0, Kind::keepalive), 1U);
}

TEST_F(PersistentKeepaliveTest, SettingItWhileUpSendsOneAtOnce) {
  world.connect_all();
  EXPECT_TRUE(world.trace.empty());
  set_interval(0, 25);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  world.advance(seconds(1));
  EXPECT_EQ(world.count(0, Kind::keepalive), 1U);
  set_interval(0, 20);
  EXPECT_EQ(world.count(0, Kind::keepalive), 1U) << "only from 0 to n";
  set_interval(0, 0);
  set_interval(0, 25);
  EXPECT_EQ(world.count(0, Kind::keepalive), 2U);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
}

TEST_F(PersistentKeepaliveTest, ComesIntervalAfterTheLastAuthenticatedPacketEitherWay) {
  world.connect_all();
  set_interval(0, 25);
  world.advance(seconds(1));
  const BootTime first = world.times(0, Kind::keepalive).at(0);
  world.advance(seconds(25));
  ASSERT_EQ(world.count(0, Kind::keepalive), 2U);
  EXPECT_EQ((world.times(0, Kind::keepalive)[1] - first).ns, seconds(25).ns);
  world.advance(seconds(5));
  world.send(0, 1);  // sending puts it off
  world.advance(seconds(3));
  world.send(1, 0);  // and receiving
  const BootTime received = world.time() + milliseconds(10);
  world.advance(seconds(9));
  EXPECT_EQ(world.count(0, Kind::keepalive), 2U);
  world.advance(seconds(27));
  // Node 0 owes a passive keepalive 10 s after what it received; the persistent one counts from there.
  const auto times = world.times(0, Kind::keepalive);
  ASSERT_EQ(times.size(), 4U);
  EXPECT_EQ((times[2] - received).ns, seconds(10).ns);
  EXPECT_EQ((times[3] - times[2]).ns, seconds(25).ns);
}

TEST_F(PersistentKeepaliveTest, KeepsTheSessionFreshForever) {
  world.connect_all();
  set_interval(0, 25);
  world.advance(seconds(3'600));
  const size_t handshakes = world.count(0, Kind::initiation);
  EXPECT_GE(handshakes, 3'600U / 180);
  EXPECT_LE(handshakes, 3'600U / 120);
  EXPECT_EQ(world.count(1, Kind::initiation), 0U);
}

TEST_F(PersistentKeepaliveTest, BothEndsDoNotFightOverInitiatorship) {
  world.connect_all();
  set_interval(0, 25);
  set_interval(1, 25);
  world.advance(seconds(3'600));
  EXPECT_LE(world.count(0, Kind::initiation) + world.count(1, Kind::initiation), 3'600U / 120 + 2);
}

TEST(SessionTest, ResponderDoesNotSendBeforeTheFirstPacketUnderTheNewKey) {
  World world(3);
  world.connect_all();
  world.filter = [](Datagram& datagram) {
    const Kind kind = kind_of(datagram.bytes);
    return kind != Kind::data && kind != Kind::keepalive;
  };
  world.send(0, 1);
  world.advance(milliseconds(50));
  ASSERT_EQ(world.count(1, Kind::response), 1U);
  world.send(1, 0, 9);
  EXPECT_EQ(world.count(1, Kind::data), 0U);
  world.filter = nullptr;
  world.send(0, 1);
  world.advance(milliseconds(50));
  EXPECT_EQ(world.count(1, Kind::data), 1U);
  ASSERT_EQ(world.node(0).delivered.size(), 1U);
  EXPECT_EQ(World::mark_of(world.node(0).delivered[0]), 9U);
}

TEST(SessionTest, InitiatorSendsAKeepaliveAtOnceWhenNothingIsQueued) {
  World world(4);
  world.connect_all();
  world.set_keepalive(0, 1, 60);
  world.advance(milliseconds(25));
  ASSERT_EQ(world.trace.size(), 3U);
  EXPECT_EQ(world.trace[2].kind, Kind::keepalive);
  EXPECT_EQ((world.trace[2].at - world.trace[1].at).ns, milliseconds(10).ns);
}

TEST(SessionTest, InitiatorSendsQueuedDataInsteadOfAKeepalive) {
  World world(5);
  world.connect_all();
  for (uint32_t i = 0; i < 5; ++i) world.send(0, 1, i);
  world.advance(milliseconds(100));
  EXPECT_EQ(world.count(0, Kind::data), 5U);
  EXPECT_EQ(world.count(0, Kind::keepalive), 0U);
  ASSERT_EQ(world.node(1).delivered.size(), 5U);
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(World::mark_of(world.node(1).delivered[i]), i);
}

TEST(SessionTest, OldKeyStillReceivesAfterARekey) {
  World world(6);
  world.connect_all();
  world.send(0, 1, 1);
  world.advance(seconds(119));
  world.send(1, 0, 2);
  const Datagram old = world.last(1, Kind::data);
  world.advance(seconds(2));
  world.send(0, 1, 3);
  world.advance(seconds(1));
  ASSERT_EQ(world.count(0, Kind::initiation), 2U);
  world.node(0).delivered.clear();
  // A packet that was long under way.
  Datagram late = old;
  late.bytes = old.bytes;
  world.inject(0, late);
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::rx_unknown_index], 0U);
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::rx_replayed], 1U);
}

TEST(SessionTest, SimultaneousInitiationsSettle) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    World world(seed);
    world.connect_all();
    world.send(0, 1, 1);
    world.send(1, 0, 2);
    world.advance(seconds(12));
    EXPECT_EQ(world.node(0).delivered.size(), 1U) << seed;
    EXPECT_EQ(world.node(1).delivered.size(), 1U) << seed;
  }
}

}  // namespace
}  // namespace hats::sim
