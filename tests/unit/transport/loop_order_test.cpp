// The FIFO of a socket: order under EAGAIN, its bound, failures told and sent again.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

// A socket whose send buffer is the least there is, over a link whose queue drains slowly enough for EAGAIN.
class LoopOrderTest : public LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    auto made = open_udp(0, 0);
    ASSERT_TRUE(made);
    sockets = std::move(*made);
    const int least = 1;
    setsockopt(sockets.v4.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    loop->add_udp(4, sockets.v4.get());
  }
  void send_numbered(uint32_t number, uint32_t size, const Endpoint& to) {
    const auto bytes = numbered(number, size);
    UdpSend send;
    send.data = bytes.data();
    send.size = size;
    send.to = to;
    send.cookie = number;
    loop->send(4, std::move(send));
  }

  UdpSockets sockets;
};

HATS_ALL_BACKENDS(LoopOrderTest);

TEST_P(LoopOrderTest, SendsStayInOrderWhenTheSocketIsFull) {
  if (!slow_loopback()) GTEST_SKIP() << "no traffic shaper in this kernel";
  const PlainSocket peer(Family::v4);
  constexpr uint32_t kCount = 300;
  uint32_t queued = 0;
  Recorder handler(*loop);
  handler.send_failed = [&](Tag, UdpSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  handler.wake = [&](Now) {
    for (int i = 0; i < 30 && queued < kCount; ++i) {
      send_numbered(queued++, 1'000, loopback(Family::v4, peer.port()));
    }
  };
  handler.backlog = [&] { return queued < kCount; };
  handler.done = [&] { return loop->counters().udp_sends == kCount; };
  handler.run();
  // It must have blocked for this to be a test: many more wake-ups than the ten that queued.
  EXPECT_GT(loop->counters().wakeups, 20U);
  fast_loopback();
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(peer.receive_number(), i);
  }
}

TEST_P(LoopOrderTest, AFullFifoDropsTheNewestAndCountsIt) {
  if (!slow_loopback()) GTEST_SKIP() << "no traffic shaper in this kernel";
  constexpr uint32_t kFifo = 1'024, kSends = 2 * kFifo;
  const PlainSocket peer(Family::v4);
  for (uint32_t i = 0; i < kSends; ++i) send_numbered(i, 1'000, loopback(Family::v4, peer.port()));
  EXPECT_GE(loop->counters().sends_dropped, kFifo / 2);
  const uint64_t dropped = loop->counters().sends_dropped;
  fast_loopback();
  Recorder handler(*loop);
  handler.done = [&] { return loop->counters().udp_sends + dropped == kSends; };
  handler.run();
  uint32_t next = 0;
  for (uint32_t got = 0; (got = peer.receive_number(100)) != PlainSocket::kNoNumber;) EXPECT_EQ(got, next++);
  EXPECT_EQ(next, kSends - dropped);
}

TEST_P(LoopOrderTest, StopFlushesWhatIsQueued) {
  const PlainSocket peer(Family::v4);
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    for (uint32_t i = 0; i < 20; ++i) send_numbered(i, 100, loopback(Family::v4, peer.port()));
    loop->stop();
  };
  loop->post([] {});
  handler.run();
  for (uint32_t i = 0; i < 20; ++i) {
    ASSERT_EQ(peer.receive_number(), i);
  }
}

TEST_P(LoopOrderTest, ADeadSourceIsReportedAndThePacketSentAgainAtOnce) {
  const PlainSocket peer(Family::v4);
  const auto payload = numbered(42, 64);
  UdpSend send;
  send.data = payload.data();
  send.size = 64;
  send.to = loopback(Family::v4, peer.port());
  send.from = {address("192.0.2.1"), 0};
  send.ds = 0x88;
  send.cookie = 4'711;
  loop->send(4, send);
  int calls = 0;
  Recorder handler(*loop);
  handler.send_failed = [&](Tag tag, UdpSend& failed, int error) {
    ++calls;
    EXPECT_EQ(tag, 4U);
    EXPECT_TRUE(error == EINVAL || error == ENETUNREACH) << error;  // the kernel's release decides
    EXPECT_EQ(failed.cookie, 4'711U);
    failed.from = {};
    loop->send(tag, std::move(failed));
  };
  handler.done = [&] { return loop->counters().udp_sends == 1; };
  handler.run();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(peer.receive(), payload);
}

TEST_P(LoopOrderTest, ASendThatKeepsFailingIsGivenUp) {
  const auto payload = numbered(1, 64);
  UdpSend send;
  send.data = payload.data();
  send.size = 64;
  send.to = {address("127.0.0.1"), 9, 0};
  send.from = {address("192.0.2.1"), 0};
  loop->send(4, send);
  int calls = 0;
  Recorder handler(*loop);
  handler.send_failed = [&](Tag tag, UdpSend& failed, int) {
    ++calls;
    loop->send(tag, std::move(failed));
  };
  handler.done = [&] { return loop->counters().sends_dropped == 1; };
  handler.run();
  EXPECT_GE(calls, 1);
  EXPECT_LE(calls, 10);
}

TEST_P(LoopOrderTest, NoRouteIsReportedAndOthersGoOn) {
  const PlainSocket peer(Family::v4);
  send_numbered(1, 64, {address("203.0.113.1"), 9, 0});
  send_numbered(2, 64, loopback(Family::v4, peer.port()));
  std::vector<std::pair<uint64_t, int>> failures;
  Recorder handler(*loop);
  handler.send_failed = [&](Tag, UdpSend& failed, int error) { failures.push_back({failed.cookie, error}); };
  handler.done = [&] { return loop->counters().udp_sends == 1; };
  handler.run();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0], (std::pair<uint64_t, int>{1, ENETUNREACH}));
  EXPECT_EQ(peer.receive_number(), 2U);
}

}  // namespace
}  // namespace hats::transport::test
