// UDP through the loop, on loopback: both families, sizes, batches, source and DS round trips.
#include <net/if.h>

#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

class LoopUdpTest : public LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    auto made = open_udp(0, 0);
    ASSERT_TRUE(made) << std::strerror(made.error());
    sockets = std::move(*made);
    loop->add_udp(4, sockets.v4.get());
    loop->add_udp(6, sockets.v6.get());
  }
  static Tag tag_of(Family family) { return family == Family::v4 ? 4 : 6; }

  UdpSockets sockets;
};

HATS_ALL_BACKENDS(LoopUdpTest);

TEST_P(LoopUdpTest, EveryDatagramIsEchoedInBothFamilies) {
  const std::vector<size_t> sizes{1, 31, 32, 148, 1'452, 9'000, 34'000, 65'507};
  for (const Family family : {Family::v4, Family::v6}) {
    const PlainSocket peer(family);
    for (const size_t size : sizes) {
      ASSERT_TRUE(
          peer.send(std::vector<uint8_t>(size, static_cast<uint8_t>(size)), loopback(family, sockets.port)));
    }
    size_t seen = 0;
    auto own = make();
    Recorder handler(*own);
    own->add_udp(1, family == Family::v4 ? sockets.v4.get() : sockets.v6.get());
    handler.udp = [&](Tag tag, std::span<UdpReceived> received) {
      for (UdpReceived& one : received) {
        EXPECT_EQ(one.from, loopback(family, peer.port()));
        EXPECT_EQ(one.to.address, loopback(family, 0).address);
        EXPECT_GE(one.data - one.slab.bytes().data(), ptrdiff_t{kSlabHeadroom});
        UdpSend send;
        send.slab = one.slab;
        send.data = one.data;
        send.size = one.size;
        send.to = one.from;
        send.from = one.to;
        own->send(tag, send);
        ++seen;
      }
    };
    handler.done = [&] { return seen == sizes.size(); };
    handler.run();
    EXPECT_EQ(own->arena().free_count(), own->arena().size());
    for (const size_t size : sizes) {
      const auto back = peer.receive();
      ASSERT_TRUE(back);
      EXPECT_EQ(*back, std::vector<uint8_t>(size, static_cast<uint8_t>(size)));
    }
  }
}

TEST_P(LoopUdpTest, DsAndEcnArriveAsTheyWereSent) {
  for (const Family family : {Family::v4, Family::v6}) {
    auto own = make();
    Recorder handler(*own);
    auto other = open_udp(0, 0);
    ASSERT_TRUE(other);
    own->add_udp(1, family == Family::v4 ? sockets.v4.get() : sockets.v6.get());
    own->add_udp(2, family == Family::v4 ? other->v4.get() : other->v6.get());
    const std::vector<uint8_t> wanted{0x00, 0x88, 0x01, 0x02, 0x03, 0xb8, 0x00};
    std::vector<uint8_t> seen;
    const std::vector<uint8_t> payload(32, 7);
    for (const uint8_t ds : wanted) {
      UdpSend send;
      send.data = payload.data();  // no slab: the loop copies
      send.size = 32;
      send.to = loopback(family, other->port);
      send.ds = ds;
      own->send(1, send);
    }
    handler.udp = [&](Tag tag, std::span<UdpReceived> received) {
      EXPECT_EQ(tag, 2U);
      for (const UdpReceived& one : received) seen.push_back(one.ds);
    };
    handler.done = [&] { return seen.size() == wanted.size(); };
    handler.run();
    EXPECT_EQ(seen, wanted);
  }
}

TEST_P(LoopUdpTest, AChosenSourceIsTheSourceAndIsSeenAsTheDestinationOnTheWayIn) {
  ASSERT_TRUE(ip("-4 addr add 127.0.0.77/8 dev lo") || ip("-4 addr replace 127.0.0.77/8 dev lo"));
  ASSERT_TRUE(add_loopback_v6("fd00:77::1"));
  struct Case {
    Family family;
    const char* source;
  };
  for (const Case& test : {Case{Family::v4, "127.0.0.77"}, Case{Family::v6, "fd00:77::1"}}) {
    auto own = make();
    Recorder handler(*own);
    const PlainSocket peer(test.family);
    own->add_udp(1, test.family == Family::v4 ? sockets.v4.get() : sockets.v6.get());
    std::vector<UdpReceived> seen;
    ASSERT_TRUE(peer.send(numbered(1, 32), {address(test.source), sockets.port, 0}));
    handler.udp = [&](Tag, std::span<UdpReceived> received) {
      for (UdpReceived& one : received) {
        const bool from_peer = one.from.port != sockets.port;
        EXPECT_EQ(one.to.address, from_peer ? address(test.source) : loopback(test.family, 0).address);
        EXPECT_NE(one.to.interface_index, 0U);
        UdpSend send;
        send.data = one.data;
        send.size = one.size;
        send.to = loopback(test.family, sockets.port);  // to ourselves, to see the source
        send.from = {address(test.source), 0};
        if (from_peer) own->send(1, send);
        seen.push_back(one);
      }
    };
    handler.done = [&] { return seen.size() == 2; };
    handler.run();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[1].from, (Endpoint{address(test.source), sockets.port, 0}));
    seen.clear();
  }
}

TEST_P(LoopUdpTest, LinkLocalPeersAreAnsweredThroughTheirZone) {
  ASSERT_TRUE(ip("link add hu-ll0 type veth peer name hu-ll1"));
  ASSERT_TRUE(ip("link set hu-ll0 addrgenmode none up") && ip("link set hu-ll1 addrgenmode none up"));
  ASSERT_TRUE(ip("addr add fe80::1/64 dev hu-ll0 nodad") && ip("addr add fe80::2/64 dev hu-ll1 nodad"));
  Recorder handler(*loop);
  std::vector<UdpReceived> seen;
  UdpSend send;
  const auto payload = numbered(1, 32);
  send.data = payload.data();
  send.size = 32;
  send.from = {address("fe80::1"), if_nametoindex("hu-ll0")};
  send.to = {address("fe80::2"), sockets.port, if_nametoindex("hu-ll0")};
  loop->send(6, send);
  handler.udp = [&](Tag, std::span<UdpReceived> received) {
    for (const UdpReceived& one : received) seen.push_back(one);
  };
  handler.send_failed = [&](Tag, UdpSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  handler.done = [&] { return !seen.empty(); };
  handler.run();
  ip("link del hu-ll0");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].from.address, address("fe80::1"));
  EXPECT_EQ(seen[0].to.address, address("fe80::2"));
  EXPECT_NE(seen[0].from.scope_id, 0U);
  seen.clear();
}

TEST_P(LoopUdpTest, AFloodArrivesInBatchesAndInOrder) {
  const PlainSocket peer(Family::v4);
  constexpr uint32_t kCount = 200;
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(peer.send(numbered(i, 100), loopback(Family::v4, sockets.port)));
  }
  Recorder handler(*loop);
  uint32_t next = 0, calls = 0;
  handler.udp = [&](Tag, std::span<UdpReceived> received) {
    ++calls;
    EXPECT_LE(received.size(), 64U);
    for (const UdpReceived& one : received) EXPECT_EQ(number_of(one.data), next++);
  };
  handler.done = [&] { return next == kCount; };
  handler.run();
  EXPECT_LT(calls, kCount / 4);
  EXPECT_EQ(loop->counters().udp_receives, kCount);
}

TEST_P(LoopUdpTest, AnEmptyDatagramAndOneOfAnotherSizeAreDelivered) {
  const PlainSocket peer(Family::v6);
  ASSERT_TRUE(peer.send({}, loopback(Family::v6, sockets.port)));
  ASSERT_TRUE(peer.send({1, 2, 3}, loopback(Family::v6, sockets.port)));
  std::vector<uint32_t> sizes;
  Recorder handler(*loop);
  handler.udp = [&](Tag, std::span<UdpReceived> received) {
    for (const UdpReceived& one : received) sizes.push_back(one.size);
  };
  handler.done = [&] { return sizes.size() == 2; };
  handler.run();
  EXPECT_EQ(sizes, (std::vector<uint32_t>{0, 3}));
}

}  // namespace
}  // namespace hats::transport::test
