// Under load: cookies, mac2 and the rate limit between devices. WG 5.3, 5.4.7, 6.6; formats.md 6.4.
#include <gtest/gtest.h>

#include "tests/sim/paper.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

using Drop = wg::DropReason;
constexpr size_t kQueue = 4'096, kUnderLoad = 512;  // the kernel's
constexpr size_t kBurst = 5;                        // of one source
constexpr size_t kGrace = 20;                       // new sources at once that need no cookie

/// Node 1 is the one under load.
class CookieSimTest : public testing::Test {
 protected:
  void SetUp() override { world.connect_all(); }
  Datagram lost(size_t from, Kind kind) {
    world.filter = [](Datagram&) { return false; };
    world.send(from, 1);
    world.filter = nullptr;
    Datagram out = world.last(from, kind);
    out.from = world.node(from).address;
    return out;
  }
  /// Puts `count` copies of a valid initiation into node 1's queue without letting it work.
  void fill_queue(const Datagram& datagram, size_t count) {
    fill_queue(datagram, count, [](size_t) { return 0; });
  }
  /// The same, each from a port of its own: sources that nobody has heard of.
  void fill_from_many(const Datagram& datagram, size_t count) {
    fill_queue(datagram, count, [this](size_t) { return ++ports_; });
  }
  /// As many new sources as a device takes up without a cookie for now; it is under load afterwards.
  void use_up_grace() {
    fill_from_many(lost(2, Kind::initiation), kUnderLoad);
    world.drain(1);
    world.trace.clear();
  }
  /// Something came from where node `from` is just now, so that it is no newcomer.
  void hear(size_t from, Datagram junk) {
    junk.from = world.node(from).address;
    fill_queue(junk, 1);
    world.drain(1);
    world.trace.clear();
  }
  template <typename Port>
  void fill_queue(const Datagram& datagram, size_t count, Port port) {
    std::vector<Bytes> memory(count, datagram.bytes);
    std::vector<wg::Received> received;
    for (Bytes& bytes : memory) {
      Endpoint from = datagram.from;
      from.port = static_cast<uint16_t>(from.port + port(received.size()));
      received.push_back({.bytes = bytes, .from = from});
    }
    wg::InboundBatch batch;
    world.device(1).plan_inbound(world.now(), received, batch);
  }
  uint16_t ports_ = 0;
  World world{31, 3};
};

TEST_F(CookieSimTest, QueueIsBoundedAndDropsTheNewest) {
  fill_from_many(lost(0, Kind::initiation), kQueue + 10);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_queue_full], 10U);
}

TEST_F(CookieSimTest, BelowTheMarkThereAreNoCookies) {
  fill_queue(lost(0, Kind::initiation), kUnderLoad - 1);
  world.drain(1);
  EXPECT_EQ(world.count(1, Kind::cookie_reply), 0U);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
}

TEST_F(CookieSimTest, UnderLoadAValidMac1DrawsACookieAndChangesNothingElse) {
  use_up_grace();
  const uint64_t received = world.peer(1, 0).rx_bytes;
  const Datagram initiation = lost(0, Kind::initiation);
  fill_queue(initiation, 1);
  world.drain(1);
  EXPECT_EQ(world.count(1, Kind::response), 0U);
  ASSERT_EQ(world.count(1, Kind::cookie_reply), 1U);
  const Datagram& reply = world.last(1, Kind::cookie_reply);
  EXPECT_EQ(reply.to, initiation.from);
  EXPECT_EQ(reply.ds, 0);
  EXPECT_EQ(world.peer(1, 0).rx_bytes, received);
}

TEST_F(CookieSimTest, AFloodOfOneSourceIsCutOffAndANewcomerIsAnsweredAtItsFirstPacket) {
  // Node 2 floods: its queue's worth is let in before the load is noticed, and then its rate counts.
  const Datagram flood = lost(2, Kind::initiation);
  fill_queue(flood, kUnderLoad + 1'000);
  world.drain(1);
  EXPECT_EQ(world.count(1, Kind::response), 1U) << "the first of a silent source";
  EXPECT_EQ(world.count(1, Kind::cookie_reply), kBurst - 1);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_rate_limited], kUnderLoad + 1'000 - kBurst);
  world.trace.clear();
  for (int i = 0; i < 3; ++i) {
    fill_queue(flood, 1'000);
    world.drain(1);
    world.advance(milliseconds(300));
  }
  world.trace.clear();
  const size_t before = world.node(1).delivered.size();
  world.send(0, 1, 42);
  world.advance(milliseconds(100));
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.node(1).delivered.size(), before + 1);
}

TEST_F(CookieSimTest, AFloodFromBehindTheSameAddressTakesNothingFromAnotherPort) {
  const Datagram initiation = lost(0, Kind::initiation);
  Datagram flood = lost(2, Kind::initiation);
  flood.from = initiation.from;
  ++flood.from.port;
  fill_queue(flood, kUnderLoad + 1'000);
  world.drain(1);
  world.trace.clear();
  fill_queue(initiation, 1);
  world.drain(1);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
}

TEST_F(CookieSimTest, ForgedSourcesUseUpTheGraceAndTheRestNeedACookie) {
  fill_from_many(lost(0, Kind::initiation), 2'000);
  world.drain(1);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_cookie_sent], 2'000 - kGrace);
  world.advance(milliseconds(100));
  fill_from_many(lost(0, Kind::initiation), 100);
  world.drain(1);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_cookie_sent], 2'100 - 2 * kGrace) << "200 a second come back";
}

TEST_F(CookieSimTest, CookieRepliesOfAllSourcesTogetherAreLimited) {
  use_up_grace();
  const Datagram initiation = lost(0, Kind::initiation);
  for (int i = 0; i < 5; ++i) {
    fill_from_many(initiation, 1'000);
    world.drain(1);
  }
  EXPECT_EQ(world.count(1, Kind::cookie_reply) + kUnderLoad - kGrace, 2'000U) << "a burst";
  world.advance(milliseconds(10));
  world.trace.clear();
  fill_from_many(initiation, 1'000);
  world.drain(1);
  EXPECT_EQ(world.count(1, Kind::cookie_reply), 200U) << "20,000 a second";
}

TEST_F(CookieSimTest, ManyAnswersByCookieCostOneHandshakeOfTheBudget) {
  use_up_grace();
  fill_from_many(lost(0, Kind::initiation), kUnderLoad);
  wg::Device& device = world.device(1);
  wg::ControlDatagram reply;
  size_t replies = 0;
  device.process_handshakes(world.now(), 4);
  while (device.poll_datagram(reply)) ++replies;
  EXPECT_EQ(replies, 4U * 32);
  device.process_handshakes(world.now(), 0);
  EXPECT_FALSE(device.poll_datagram(reply));
}

TEST_F(CookieSimTest, HandshakesInEarnestAreCountedOneByOne) {
  fill_queue(lost(0, Kind::initiation), 1);
  fill_queue(lost(2, Kind::initiation), 1);
  wg::Device& device = world.device(1);
  wg::ControlDatagram response;
  device.process_handshakes(world.now(), 1);
  EXPECT_TRUE(device.poll_datagram(response));
  EXPECT_FALSE(device.poll_datagram(response));
  EXPECT_TRUE(device.has_handshakes());
}

TEST_F(CookieSimTest, LoadIsRememberedForASecond) {
  const Datagram initiation = lost(0, Kind::initiation);
  const Datagram flood = lost(2, Kind::initiation);
  use_up_grace();
  world.advance(milliseconds(999));
  fill_from_many(flood, kUnderLoad / 2);  // too few to be a load of their own
  world.drain(1);
  world.trace.clear();
  world.inject(1, initiation);
  EXPECT_EQ(world.count(1, Kind::cookie_reply), 1U);
  world.advance(milliseconds(1));
  world.inject(1, initiation);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
}

TEST_F(CookieSimTest, CookieIsNotAnsweredAtOnceButCarriedByTheNextRetry) {
  const Datagram junk = lost(2, Kind::initiation);
  world.set_up(2, false);
  fill_from_many(junk, kUnderLoad);
  world.drain(1);
  hear(0, junk);
  world.send(0, 1, 42);
  const BootTime first = world.time();
  world.advance(milliseconds(900));
  EXPECT_EQ(world.count(1, Kind::cookie_reply), 1U);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U) << "not resent at once";
  // Keep node 1 loaded until the retry.
  for (int i = 0; i < 5; ++i) {
    fill_from_many(junk, kUnderLoad);
    world.drain(1);
    world.advance(milliseconds(900));
  }
  const auto times = world.times(0, Kind::initiation);
  ASSERT_EQ(times.size(), 2U);
  EXPECT_GE(times[1] - first, paper::kRekeyTimeout);
  const Bytes& retry = world.last(0, Kind::initiation).bytes;
  EXPECT_NE(Bytes(retry.end() - 16, retry.end()), Bytes(16)) << "mac2";
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
}

TEST_F(CookieSimTest, UnderLoadASourceIsLimitedToABurstOfFive) {
  // Node 0 learns a cookie, then its valid messages are repeated: they pass mac2 but not the rate limit.
  const Datagram junk = lost(2, Kind::initiation);
  fill_from_many(junk, kUnderLoad);
  world.drain(1);
  hear(0, junk);
  world.send(0, 1);
  world.advance(milliseconds(100));
  world.filter = [](Datagram&) { return false; };
  world.advance(seconds(6));
  world.filter = nullptr;
  Datagram with_cookie = world.last(0, Kind::initiation);
  with_cookie.from = world.node(0).address;
  fill_from_many(junk, kUnderLoad);
  world.drain(1);
  const auto limited = world.device(1).drops()[Drop::rx_rate_limited];
  const auto replayed = world.device(1).drops()[Drop::rx_handshake_replayed];
  world.trace.clear();
  for (int i = 0; i < 10; ++i) world.inject(1, with_cookie);
  EXPECT_EQ(world.count(1, Kind::response), 1U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_rate_limited] - limited, 5U);
  EXPECT_EQ(world.device(1).drops()[Drop::rx_handshake_replayed] - replayed, 4U);
}

TEST_F(CookieSimTest, CookieRepliesNeverMoveTheEndpoint) {
  const Datagram junk = lost(2, Kind::initiation);
  fill_from_many(junk, kUnderLoad);
  world.drain(1);
  hear(0, junk);
  world.send(0, 1);
  world.filter = [](Datagram&) { return false; };
  world.advance(milliseconds(15));
  Datagram reply = world.last(1, Kind::cookie_reply);
  reply.from = world.node(2).address;
  const auto invalid = world.device(0).drops()[Drop::rx_cookie_invalid];
  world.inject(0, reply);
  EXPECT_EQ(world.device(0).drops()[Drop::rx_cookie_invalid], invalid) << "it was taken";
  EXPECT_EQ(world.peer(0, 1).endpoint, world.node(1).address);
  EXPECT_EQ(world.peer(0, 1).rx_bytes, 0U);
  world.inject(0, reply);
  EXPECT_EQ(world.device(0).drops()[Drop::rx_cookie_invalid], invalid + 1) << "once";
}

TEST_F(CookieSimTest, DataFlowsWhileHandshakesFloodIn) {
  world.send(0, 1);
  world.advance(seconds(1));
  fill_from_many(lost(2, Kind::initiation), kQueue);
  const size_t before = world.node(1).delivered.size();
  world.send(0, 1);
  Datagram data = world.last(0, Kind::data);
  data.from = world.node(0).address;
  std::vector<wg::InnerPacket> out;
  wg::InboundBatch batch;
  const std::array received{wg::Received{.bytes = data.bytes, .from = data.from}};
  world.device(1).plan_inbound(world.now(), received, batch);
  wg::Device::work(batch, *crypto::make_aead(crypto::AeadChoice::sodium));
  world.device(1).commit_inbound(world.now(), batch, out);
  EXPECT_EQ(out.size(), 1U);
  EXPECT_EQ(world.node(1).delivered.size(), before);
}

}  // namespace
}  // namespace hats::sim
