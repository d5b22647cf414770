// Raw sockets through the loop, on loopback: what arrives and how it looks; order, bounds and failures of
// sends; removal.
#include <sys/socket.h>

#include <cstring>

#include "raw_loop.hpp"

namespace hats::transport::test {
namespace {

const char* loopback_text(Family family) {
  return family == Family::v4 ? "127.0.0.1" : "::1";
}
// Where the payload begins in a receive (RawReceived).
size_t header_size(Family family) {
  return family == Family::v4 ? 20 : 0;
}

HATS_ALL_BACKENDS(LoopRawTest);

TEST_P(LoopRawTest, HeadAndDataArriveBehindOneAnotherInBothFamilies) {
  struct Shape {
    uint32_t head, data;
  };
  const std::vector<Shape> shapes{{0, 1},       {4, 0},        {4, 1},     {16, 1'400},
                                  {152, 9'000}, {152, 60'000}, {8, 65'500}};
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    std::vector<std::vector<uint8_t>> sent, seen;
    Recorder handler(*loop);
    for (const bool leased : {false, true}) {
      for (const Shape& shape : shapes) {
        RawSend send = to(loopback_text(family));
        std::vector<uint8_t> whole = numbered(shape.data, shape.head + shape.data + 4);
        whole.resize(shape.head + shape.data);
        std::copy_n(whole.begin(), shape.head, send.head.begin());
        send.head_size = shape.head;
        send.size = shape.data;
        send.data = whole.data() + shape.head;
        if (leased) {
          send.slab = loop->arena().take();
          ASSERT_TRUE(send.slab);
          std::copy_n(send.data, send.size, send.slab.bytes().data());
          send.data = send.slab.bytes().data();
        }
        loop->send_raw(kSender, std::move(send));
        sent.push_back(std::move(whole));
      }
    }
    handler.raw = [&](Tag tag, std::span<RawReceived> received) {
      EXPECT_EQ(tag, kReceiver);
      for (const RawReceived& one : received) {
        EXPECT_GE(one.data - one.slab.bytes().data(), ptrdiff_t{kSlabHeadroom});
        seen.emplace_back(one.data + header_size(family), one.data + one.size);
      }
    };
    handler.raw_send_failed = [](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
    handler.done = [&] { return seen.size() == sent.size(); };
    handler.run();
    EXPECT_EQ(seen, sent);
  }
}

// What the kernel may fill must leave some of the arena for what the loop copies.
TEST_P(LoopRawTest, PacketsWithoutASlabGoOutWhileAllReceivesHaveTheirs) {
  for (const uint32_t slabs : {24U, 192U}) {
    loop = make(slabs);
    auto made_receiver = open_raw_receiver(Family::v4, kGre);
    auto made_sender = open_raw_sender(Family::v4, kGre, RawMode::fragmentable);
    auto sockets = open_udp(0, 0);
    ASSERT_TRUE(made_receiver && made_sender && sockets);
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    const UniqueFd tun(ends[0]), far(ends[1]);
    loop->add_raw(kReceiver, made_receiver->get());
    loop->add_raw(kSender, made_sender->get());
    loop->add_udp(3, sockets->v4.get());
    loop->add_tun(4, tun.get());
    const auto data = numbered(7, 500);
    uint32_t seen = 0;
    Recorder handler(*loop);
    handler.raw = [&](Tag, std::span<RawReceived> received) {
      if (seen += static_cast<uint32_t>(received.size()); seen >= 100) return;
      RawSend again = to("127.0.0.1");
      again.data = data.data();
      again.size = static_cast<uint32_t>(data.size());
      loop->send_raw(kSender, std::move(again));
    };
    handler.done = [&] { return seen >= 100; };
    RawSend first = to("127.0.0.1");
    first.head_size = 4;
    loop->send_raw(kSender, std::move(first));
    handler.run();
    EXPECT_EQ(loop->counters().sends_dropped, 0U);
    loop.reset();
  }
}

TEST_P(LoopRawTest, AReceiveSaysFromWhereToWhereAndHow) {
  ASSERT_TRUE(add_loopback_v6("fd00:77::2"));
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    const char* source = family == Family::v4 ? "127.0.0.77" : "fd00:77::2";
    RawSend send = to(loopback_text(family));
    send.from.address = address(source);
    send.ttl = 17;
    send.ds = 0xb9;
    send.head_size = 4;
    store_le32(send.head.data(), 0x01020304);
    loop->send_raw(kSender, std::move(send));
    size_t seen = 0;
    Recorder handler(*loop);
    handler.raw = [&](Tag, std::span<RawReceived> received) {
      seen += received.size();
      const RawReceived& one = received[0];
      EXPECT_EQ(one.from, address(source));
      EXPECT_EQ(one.to.address, address(loopback_text(family)));
      EXPECT_EQ(one.to.interface_index, 1U);  // lo
      ASSERT_EQ(one.size, header_size(family) + 4);
      EXPECT_EQ(number_of(one.data + header_size(family)), 0x01020304U);
      if (family == Family::v4) {
        EXPECT_EQ(one.data[0], 0x45);
        EXPECT_EQ(one.data[1], 0xb9);
        EXPECT_EQ(one.data[8], 17);
      } else {
        EXPECT_EQ(one.ds, 0xb9);
        EXPECT_EQ(one.hop_limit, 17);
      }
    };
    handler.done = [&] { return seen != 0; };
    handler.run();
    EXPECT_EQ(seen, 1U);
  }
}

TEST_P(LoopRawTest, TheLargestPacketArrivesWholeAfterReassembly) {
  ASSERT_TRUE(ip("link set lo mtu 1500"));
  for (const Family family : {Family::v4, Family::v6}) {
    add(family);
    const uint32_t most = family == Family::v4 ? 65'515 : 65'535;  // of a payload
    const auto payload = numbered(7, most);
    const Injector injector(family);
    RawSend send = to(loopback_text(family));
    send.data = payload.data();
    send.size = most;
    loop->send_raw(kSender, std::move(send));
    std::vector<uint8_t> seen;
    Recorder handler(*loop);
    handler.raw = [&](Tag, std::span<RawReceived> received) {
      seen.assign(received[0].data + header_size(family), received[0].data + received[0].size);
    };
    handler.raw_send_failed = [](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
    handler.done = [&] { return !seen.empty(); };
    handler.run();
    EXPECT_EQ(seen, payload);
  }
  ASSERT_TRUE(ip("link set lo mtu 65536"));
}

TEST_P(LoopRawTest, AFloodArrivesInBatchesAndInOrder) {
  add(Family::v4);
  constexpr uint32_t kCount = 1'000;
  for (uint32_t i = 0; i < kCount; ++i) send_numbered(i, "127.0.0.1");
  uint32_t next = 0, calls = 0;
  Recorder handler(*loop);
  handler.raw = [&](Tag, std::span<RawReceived> received) {
    ++calls;
    EXPECT_LE(received.size(), 64U);
    for (const RawReceived& one : received) EXPECT_EQ(number_of(one.data + 20), next++);
  };
  handler.done = [&] { return next == kCount; };
  handler.run();
  EXPECT_LT(calls, kCount / 4);
  EXPECT_EQ(loop->counters().raw_receives, kCount);
  EXPECT_EQ(loop->counters().raw_sends, kCount);
}

// A socket whose send buffer is the least there is, over a link that keeps its bytes for a while.
class LoopRawOrderTest : public LoopRawTest {
 protected:
  void SetUp() override {
    LoopRawTest::SetUp();
    if (IsSkipped()) return;
    add(Family::v4);
    const int least = 1;
    setsockopt(sender.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  }
  // Large enough to be a while on its way.
  void send_slow(uint32_t number) {
    const auto bytes = numbered(number, 1'000);
    RawSend send = to("127.0.0.1");
    send.data = bytes.data();
    send.size = 1'000;
    loop->send_raw(kSender, std::move(send));
  }
};
HATS_ALL_BACKENDS(LoopRawOrderTest);

TEST_P(LoopRawOrderTest, SendsStayInOrderWhenTheSocketIsFull) {
  if (!slow_loopback()) GTEST_SKIP() << "no traffic shaper in this kernel";
  constexpr uint32_t kCount = 300;
  uint32_t queued = 0, next = 0;
  Recorder handler(*loop);
  handler.raw_send_failed = [&](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  handler.wake = [&](Now) {
    for (int i = 0; i < 30 && queued < kCount; ++i) send_slow(queued++);
  };
  handler.backlog = [&] { return queued < kCount; };
  handler.raw = [&](Tag, std::span<RawReceived> received) {
    for (const RawReceived& one : received) EXPECT_EQ(number_of(one.data + 20), next++);
  };
  handler.done = [&] { return next == kCount; };
  handler.run();
  fast_loopback();
  // It must have blocked for this to be a test: many more wake-ups than the ten that queued.
  EXPECT_GT(loop->counters().wakeups, 20U);
  EXPECT_EQ(loop->counters().raw_sends, kCount);
}

TEST_P(LoopRawOrderTest, AFullFifoDropsTheNewestAndCountsIt) {
  if (!slow_loopback()) GTEST_SKIP() << "no traffic shaper in this kernel";
  constexpr uint32_t kFifo = 1'024, kSends = 2 * kFifo;
  for (uint32_t i = 0; i < kSends; ++i) send_slow(i);
  const uint64_t dropped = loop->counters().sends_dropped;
  EXPECT_GE(dropped, kFifo / 2);
  fast_loopback();
  uint32_t next = 0;
  Recorder handler(*loop);
  handler.raw = [&](Tag, std::span<RawReceived> received) {
    for (const RawReceived& one : received) EXPECT_EQ(number_of(one.data + 20), next++);
  };
  handler.done = [&] { return next + dropped >= kSends; };
  handler.run();
  EXPECT_EQ(next, kSends - dropped);
}

TEST_P(LoopRawTest, StopFlushesWhatIsQueued) {
  add(Family::v4);
  const auto other = open_raw_receiver(Family::v4, kGre);
  ASSERT_TRUE(other);
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    for (uint32_t i = 0; i < 20; ++i) send_numbered(i, "127.0.0.1");
    loop->stop();
  };
  handler.run();
  for (uint32_t i = 0; i < 20; ++i) {
    const auto got = receive_raw(other->get(), 1'000);
    ASSERT_TRUE(got);
    EXPECT_EQ(number_of(got->data() + 20), i);
  }
}

TEST_P(LoopRawTest, ARefusedPacketIsToldAndTheOthersGo) {
  ASSERT_TRUE(ip("route replace prohibit 198.18.9.1") && ip("route replace unreachable 198.18.9.2"));
  add(Family::v4);
  send_numbered(1, "192.0.2.99");  // no route
  send_numbered(2, "198.18.9.1");  // as a firewall
  RawSend dead_source = numbered_packet(3, "127.0.0.1");
  dead_source.from.address = address("192.0.2.1");
  loop->send_raw(kSender, std::move(dead_source));
  send_numbered(4, "127.0.0.1");
  send_numbered(5, "198.18.9.2");
  send_numbered(6, "127.0.0.1");
  const auto failures = run_until_sent(6);
  ASSERT_EQ(failures.size(), 4U);
  EXPECT_EQ(failures[0], (std::pair<uint64_t, int>{1, ENETUNREACH}));
  EXPECT_EQ(failures[1], (std::pair<uint64_t, int>{2, EACCES}));
  EXPECT_EQ(failures[2].first, 3U);
  EXPECT_TRUE(failures[2].second == EINVAL || failures[2].second == ENETUNREACH) << failures[2].second;
  EXPECT_EQ(failures[3], (std::pair<uint64_t, int>{5, EHOSTUNREACH}));
  EXPECT_EQ(loop->counters().raw_sends, 2U);
  EXPECT_EQ(loop->counters().sends_dropped, 0U);
}

TEST_P(LoopRawTest, APacketSentInsteadOfARefusedOneCannotGoOnForEver) {
  add(Family::v4);
  send_numbered(1, "192.0.2.99");
  int calls = 0;
  Recorder handler(*loop);
  handler.raw_send_failed = [&](Tag, const RawSend& failed, int) {
    ++calls;
    loop->send_raw(kSender, failed);
  };
  handler.done = [&] { return loop->counters().sends_dropped == 1; };
  handler.run();
  EXPECT_GE(calls, 1);
  EXPECT_LE(calls, 10);
}

TEST_P(LoopRawTest, WhatCannotBeAPacketIsDroppedAndCounted) {
  add(Family::v4);
  loop->send_raw(kSender, RawSend{});  // to nowhere
  RawSend large_head = to("127.0.0.1");
  large_head.head_size = kRawHeadSize + 1;
  loop->send_raw(kSender, std::move(large_head));
  RawSend large = to("127.0.0.1");
  large.size = kSlabSize + 1;
  loop->send_raw(kSender, std::move(large));
  send_numbered(1, "127.0.0.1");
  loop->send_raw(77, numbered_packet(1, "127.0.0.1"));  // no such tag
  EXPECT_EQ(run_until_sent(1).size(), 0U);
  EXPECT_EQ(loop->counters().sends_dropped, 4U);
}

TEST_P(LoopRawTest, RemovingASocketWhileTrafficFlowsEndsItAtOnce) {
  add(Family::v4);
  const auto other = open_raw_receiver(Family::v4, kGre);
  ASSERT_TRUE(other);
  loop->add_raw(3, other->get());
  bool removed = false;
  uint32_t after = 0, sent = 0;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    for (int i = 0; i < 100; ++i, ++sent) send_numbered(sent, "127.0.0.1");
  };
  handler.backlog = [&] { return after < 200; };
  handler.raw = [&](Tag tag, std::span<RawReceived> received) {
    EXPECT_TRUE(tag == 3 || !removed);
    if (tag == kReceiver && !removed) {
      removed = true;
      send_numbered(0, "127.0.0.1");
      loop->remove(kReceiver);
      loop->remove(kSender);  // with what it has queued
      receiver = {};
      auto again = open_raw_sender(Family::v4, kGre, RawMode::fragmentable);
      ASSERT_TRUE(again);
      sender = std::move(*again);
      loop->add_raw(kSender, sender.get());
    }
    if (removed) after += static_cast<uint32_t>(received.size());
  };
  handler.raw_send_failed = [&](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
  handler.done = [&] { return after >= 200; };
  handler.run();
  EXPECT_TRUE(removed);
}

TEST_P(LoopRawTest, ALeaseIsHeldUntilThePacketIsOut) {
  if (!slow_loopback()) GTEST_SKIP() << "no traffic shaper in this kernel";
  add(Family::v4);
  const int least = 1;
  setsockopt(sender.get(), SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  std::vector<uint32_t> seen;
  for (uint32_t i = 0; i < 20; ++i) {
    RawSend send = to("127.0.0.1");
    send.slab = loop->arena().take();
    ASSERT_TRUE(send.slab);
    send.data = send.slab.bytes().data();
    send.size = 2'000;
    store_le32(send.slab.bytes().data(), i);
    loop->send_raw(kSender, std::move(send));
  }
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    // Whoever takes a slab now must not get one that still waits to be sent.
    std::vector<Lease> taken;
    while (loop->arena().free_count() > 100) {
      taken.push_back(loop->arena().take());
      store_le32(taken.back().bytes().data(), 0xdead);
    }
  };
  handler.raw = [&](Tag, std::span<RawReceived> received) {
    for (const RawReceived& one : received) seen.push_back(number_of(one.data + 20));
  };
  handler.done = [&] { return seen.size() == 20; };
  handler.run();
  fast_loopback();
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(seen[i], i);
}

// GRO can make packets that no slab holds where an operator allows it ("BIG TCP"). A local socket of
// datagrams stands for such a receiver here.
TEST_P(LoopRawTest, WhatIsLargerThanASlabIsDroppedAndCounted) {
  std::array<int, 2> pair{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd near(pair[0]), far(pair[1]);
  const std::vector<uint8_t> large(100'000);
  ASSERT_EQ(::send(far.get(), large.data(), large.size(), 0), ssize_t{100'000});
  loop->add_raw(9, near.get());
  Recorder handler(*loop);
  handler.raw = [](Tag, std::span<RawReceived>) { ADD_FAILURE(); };
  handler.done = [&] { return loop->counters().raw_truncated == 1; };
  handler.run();
}

}  // namespace
}  // namespace hats::transport::test
