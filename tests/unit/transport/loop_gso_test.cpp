// UDP_SEGMENT and GRO: runs in, runs out, and the paths that refuse them.
#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

class LoopGsoTest : public LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    auto made = open_udp(0, 0);
    ASSERT_TRUE(made);
    sockets = std::move(*made);
    if (!udp_features(sockets).gso) GTEST_SKIP() << "no UDP_SEGMENT in this kernel";
    loop->add_udp(4, sockets.v4.get());
    loop->add_udp(6, sockets.v6.get());
  }

  // Queues a run of `count` datagrams of `size` bytes (the last `last` bytes), numbered from `first`.
  void send_run(Tag tag, const Endpoint& to, uint32_t first, uint32_t count, uint32_t size, uint32_t last) {
    UdpSend send;
    send.slab = loop->arena().take();
    ASSERT_TRUE(send.slab);
    uint8_t* place = send.slab.bytes().data();
    send.data = place;
    for (uint32_t i = 0; i < count; ++i) {
      const auto bytes = numbered(first + i, i + 1 == count ? last : size);
      std::memcpy(place + size_t{i} * size, bytes.data(), bytes.size());
    }
    send.size = (count - 1) * size + last;
    send.segment_size = size;
    send.to = to;
    loop->send(tag, std::move(send));
  }

  // What arrives at a plain socket is the run's datagrams, each for itself, in order.
  static void expect_run(const PlainSocket& peer, uint32_t first, uint32_t count, uint32_t size,
                         uint32_t last) {
    for (uint32_t i = 0; i < count; ++i) {
      ASSERT_EQ(peer.receive(), numbered(first + i, i + 1 == count ? last : size))
          << "datagram " << first + i;
    }
  }

  UdpSockets sockets;
};

HATS_ALL_BACKENDS(LoopGsoTest);

TEST_P(LoopGsoTest, ARunLeavesAsOneSendAndArrivesAsItsDatagrams) {
  for (const Family family : {Family::v4, Family::v6}) {
    auto own = make();
    loop.swap(own);
    loop->add_udp(1, family == Family::v4 ? sockets.v4.get() : sockets.v6.get());
    const PlainSocket peer(family);
    send_run(1, loopback(family, peer.port()), 0, 44, 1'452, 100);
    Recorder handler(*loop);
    handler.done = [&] { return loop->counters().udp_sends == 1; };
    handler.run();
    EXPECT_EQ(loop->counters().udp_datagrams_sent, 44U);
    EXPECT_EQ(loop->counters().gso_fallbacks, 0U);
    expect_run(peer, 0, 44, 1'452, 100);
    loop.swap(own);
  }
}

TEST_P(LoopGsoTest, ARunThatGroHasMergedTellsItsSegmentSize) {
  if (!udp_features(sockets).gro) GTEST_SKIP() << "no UDP_GRO in this kernel";
  for (const Family family : {Family::v4, Family::v6}) {
    auto own = make();
    loop.swap(own);
    loop->add_udp(1, family == Family::v4 ? sockets.v4.get() : sockets.v6.get());
    send_run(1, loopback(family, sockets.port), 0, 40, 1'452, 700);
    uint32_t next = 0;
    size_t merged = 0;
    Recorder handler(*loop);
    handler.udp = [&](Tag, std::span<UdpReceived> received) {
      for (const UdpReceived& one : received) {
        const uint32_t step = one.segment_size ? one.segment_size : one.size;
        if (one.segment_size != 0) ++merged;
        for (uint32_t at = 0; at < one.size; at += step) {
          const auto wanted = numbered(next, next == 39 ? 700 : 1'452);
          EXPECT_EQ(std::vector<uint8_t>(one.data + at, one.data + std::min(at + step, one.size)), wanted);
          ++next;
        }
      }
    };
    handler.done = [&] { return next >= 40; };
    handler.run();
    EXPECT_EQ(next, 40U);
    EXPECT_GE(merged, 1U);  // loopback keeps a run whole
    loop.swap(own);
  }
}

// DESIGN.md 9: a UDP_SEGMENT send with segments larger than the route's MTU is EMSGSIZE, where the plain
// datagram is fragmented and arrives.
TEST_P(LoopGsoTest, APathTooNarrowForTheSegmentsGetsSingleDatagramsAndOtherPathsKeepGso) {
  ASSERT_TRUE(ip("link add hu-gso0 mtu 1280 type veth peer name hu-gso1 mtu 1280"));
  ASSERT_TRUE(ip("netns add hu-loop-gso") && ip("link set hu-gso1 netns hu-loop-gso"));
  ASSERT_TRUE(ip("addr add 10.98.0.1/24 dev hu-gso0") && ip("link set hu-gso0 up"));
  ASSERT_TRUE(ip("-n hu-loop-gso link set hu-gso1 up") &&
              ip("-n hu-loop-gso addr add 10.98.0.2/24 dev hu-gso1"));
  // What leaves for .2 comes back from there to us: the peer's namespace forwards it to a socket of ours.
  ASSERT_TRUE(ip("netns exec hu-loop-gso sysctl -qw net.ipv4.ip_forward=1"));
  ASSERT_TRUE(ip("-n hu-loop-gso route add 10.97.0.1/32 via 10.98.0.1"));
  ASSERT_TRUE(ip("addr add 10.97.0.1/32 dev lo"));
  const PlainSocket near(Family::v4);
  const PlainSocket narrow(Family::v4);
  Recorder handler(*loop);
  handler.send_failed = [&](Tag, UdpSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  send_run(4, {address("10.98.0.2"), 9'999, 0}, 0, 20, 1'452, 1'452);
  send_run(4, loopback(Family::v4, near.port()), 100, 20, 1'452, 1'452);
  send_run(4, {address("10.98.0.2"), 9'999, 0}, 20, 20, 1'452, 33);
  send_run(4, {address("10.98.0.2"), 9'999, 0}, 40, 20, 1'000, 1'000);  // small enough for the path
  handler.done = [&] { return loop->counters().udp_sends == 4; };
  handler.run();
  EXPECT_EQ(loop->counters().udp_datagrams_sent, 80U);
  EXPECT_EQ(loop->counters().gso_fallbacks, 1U);
  expect_run(near, 100, 20, 1'452, 1'452);
  ip("addr del 10.97.0.1/32 dev lo");
  ip("link del hu-gso0");
  ip("netns del hu-loop-gso");
}

TEST_P(LoopGsoTest, OversizedSegmentsArriveFragmentedOverLoopback) {
  ASSERT_TRUE(ip("link set lo mtu 1280"));
  const PlainSocket peer(Family::v4);
  const PlainSocket peer6(Family::v6);
  send_run(4, loopback(Family::v4, peer.port()), 0, 30, 1'452, 10);
  send_run(6, loopback(Family::v6, peer6.port()), 0, 30, 1'452, 10);
  Recorder handler(*loop);
  handler.send_failed = [&](Tag, UdpSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  handler.done = [&] { return loop->counters().udp_sends == 2; };
  handler.run();
  EXPECT_EQ(loop->counters().gso_fallbacks, 2U);
  expect_run(peer, 0, 30, 1'452, 10);
  expect_run(peer6, 0, 30, 1'452, 10);
  EXPECT_TRUE(ip("link set lo mtu 65536"));
}

TEST_P(LoopGsoTest, ADeadSourceIsNotBlamedOnGso) {
  const PlainSocket peer(Family::v4);
  UdpSend send;
  send.slab = loop->arena().take();
  send.data = send.slab.bytes().data();
  std::memset(send.slab.bytes().data(), 1, 5'000);
  send.size = 5'000;
  send.segment_size = 1'000;
  send.to = loopback(Family::v4, peer.port());
  send.from = {address("192.0.2.77"), 0};  // not ours
  loop->send(4, std::move(send));
  std::vector<int> errors;
  Recorder handler(*loop);
  handler.send_failed = [&](Tag tag, UdpSend& failed, int error) {
    errors.push_back(error);
    EXPECT_EQ(failed.size, 5'000U);
    failed.from = {};
    loop->send(tag, std::move(failed));
  };
  handler.done = [&] { return loop->counters().udp_sends == 1; };
  handler.run();
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_TRUE(errors[0] == EINVAL || errors[0] == ENETUNREACH) << errors[0];  // the kernel's release decides
  EXPECT_EQ(loop->counters().gso_fallbacks, 0U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(peer.receive(), std::vector<uint8_t>(1'000, 1));
}

}  // namespace
}  // namespace hats::transport::test
