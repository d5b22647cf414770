// The life of a loop: posts and stop from other threads, deadlines, descriptors that come and go, the end.
#include <atomic>
#include <cstring>
#include <thread>

#include "support.hpp"

namespace hats::transport::test {
namespace {

class LoopLifeTest : public LoopTest {};
HATS_ALL_BACKENDS(LoopLifeTest);

TEST_P(LoopLifeTest, FunctionsPostedByOtherThreadsRunInOrderOnTheLoopsThread) {
  constexpr int kThreads = 3, kPosts = 2'000;
  std::vector<std::vector<int>> seen(kThreads);  // touched by the loop's thread only
  const auto loop_thread = std::this_thread::get_id();
  int total = 0;
  Recorder handler(*loop);
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop->post([&, t, i] {
          EXPECT_EQ(std::this_thread::get_id(), loop_thread);
          seen[t].push_back(i);
          ++total;
        });
      }
    });
  }
  handler.done = [&] { return total == kThreads * kPosts; };
  handler.run();
  threads.clear();
  for (const auto& one : seen) {
    ASSERT_EQ(one.size(), size_t{kPosts});
    for (int i = 0; i < kPosts; ++i) EXPECT_EQ(one[i], i);
  }
}

TEST_P(LoopLifeTest, StopFromAnotherThreadEndsAnIdleLoop) {
  Recorder handler(*loop);
  std::atomic<bool> running = false;
  loop->post([&] { running = true; });
  const std::jthread stopper([&] {
    while (!running) std::this_thread::yield();
    loop->stop();
  });
  handler.run();
}

TEST_P(LoopLifeTest, ALoopRunsOnAThreadThatDidNotMakeIt) {
  auto sockets = open_udp(0, 0);
  ASSERT_TRUE(sockets);
  loop->add_udp(1, sockets->v4.get());
  const PlainSocket peer(Family::v4);
  std::jthread worker([&] {
    Recorder handler(*loop);
    handler.udp = [&](Tag tag, std::span<UdpReceived> received) {
      for (UdpReceived& one : received) {
        UdpSend send;
        send.slab = one.slab;
        send.data = one.data;
        send.size = one.size;
        send.to = one.from;
        loop->send(tag, std::move(send));
      }
    };
    handler.run();
  });
  ASSERT_TRUE(peer.send(numbered(9, 100), loopback(Family::v4, sockets->port)));
  EXPECT_EQ(peer.receive(), numbered(9, 100));
  loop->stop();
  worker.join();
}

TEST_P(LoopLifeTest, TheDeadlineIsKeptExactlyAndAnEarlierOneReplacesALaterOne) {
  Recorder handler(*loop);
  const BootTime start = boot_now();
  // Each deadline is asked for after the one before has passed; the second is moved forward by a post.
  std::vector<BootTime> wanted{start + milliseconds(30), start + milliseconds(60), start + milliseconds(61)};
  size_t next = 0;
  std::vector<Duration> late;
  handler.deadline = [&]() -> std::optional<BootTime> {
    return next < wanted.size() ? std::optional(wanted[next]) : std::nullopt;
  };
  handler.wake = [&](Now now) {
    while (next < wanted.size() && now.boot >= wanted[next]) late.push_back(now.boot - wanted[next++]);
  };
  handler.done = [&] { return next == wanted.size(); };
  handler.run();
  ASSERT_EQ(late.size(), 3U);
  for (const Duration delay : late) {
    EXPECT_GE(delay.ns, 0);
    EXPECT_LT(delay.ns, milliseconds(25).ns);  // what a busy two-core machine may take to run us
  }
}

TEST_P(LoopLifeTest, ADeadlineMovedForwardIsMet) {
  Recorder handler(*loop);
  std::optional<BootTime> deadline = boot_now() + seconds(8);
  handler.deadline = [&] { return deadline; };
  bool moved = false;
  loop->post([&] {
    deadline = boot_now() + milliseconds(20);
    moved = true;
  });
  BootTime met{};
  handler.wake = [&](Now now) {
    if (moved && now.boot >= *deadline) met = now.boot;
  };
  handler.done = [&] { return met.ns != 0; };
  const BootTime start = boot_now();
  handler.run();
  EXPECT_LT((met - start).ns, seconds(2).ns);
}

TEST_P(LoopLifeTest, AnIdleLoopSleeps) {
  Recorder handler(*loop);
  const BootTime end = boot_now() + milliseconds(100);
  handler.deadline = [&] { return end; };
  handler.done = [&] { return boot_now() >= end; };
  handler.run();
  EXPECT_LE(loop->counters().wakeups, 5U);
}

TEST_P(LoopLifeTest, ABacklogIsPolledNotWaitedFor) {
  Recorder handler(*loop);
  int left = 50;
  handler.backlog = [&] { return left > 0; };
  handler.wake = [&](Now) { --left; };
  handler.done = [&] { return left == 0; };
  const BootTime start = boot_now();
  handler.run();
  EXPECT_LT((boot_now() - start).ns, seconds(1).ns);
}

// A socket is removed by its own callback while a flood arrives; the port is free at once.
TEST_P(LoopLifeTest, ASocketRemovedUnderTrafficIsFreeAtOnceAndOthersGoOn) {
  constexpr int kRounds = 30;
  auto stays = open_udp(0, 0);
  ASSERT_TRUE(stays);
  loop->add_udp(1, stays->v4.get());
  const PlainSocket peer(Family::v4);
  std::optional<UdpSockets> goes;
  uint16_t port = 0;
  int rounds = 0;
  uint32_t received_by_stays = 0, sent_to_stays = 0;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    if (!goes) {
      auto made = open_udp(port, 0);
      ASSERT_TRUE(made) << "round " << rounds << ": " << std::strerror(made.error());
      goes = std::move(*made);
      port = goes->port;
      loop->add_udp(2, goes->v4.get());
    }
    for (int i = 0; i < 5; ++i) {
      peer.send(numbered(1, 200), loopback(Family::v4, port));
      if (peer.send(numbered(sent_to_stays, 200), loopback(Family::v4, stays->port))) ++sent_to_stays;
    }
  };
  handler.udp = [&](Tag tag, std::span<UdpReceived> received) {
    if (tag == 1) {
      for (const UdpReceived& one : received) EXPECT_EQ(number_of(one.data), received_by_stays++);
      return;
    }
    ASSERT_EQ(tag, 2U);
    loop->remove(2);
    goes.reset();  // closes
    ++rounds;
  };
  handler.backlog = [] { return true; };
  handler.done = [&] { return rounds >= kRounds; };
  handler.run();
  EXPECT_EQ(rounds, kRounds);
  EXPECT_GT(received_by_stays, 0U);
}

TEST_P(LoopLifeTest, ATunRemovedByAPostCanBeClosedAndItsNameUsedAgain) {
  UniqueFd tun = open_tun("hu-t4");
  if (!tun) GTEST_SKIP() << "no /dev/net/tun";
  loop->add_tun(1, tun.get());
  const PlainSocket local(Family::v4);
  int rounds = 0;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    ASSERT_TRUE(local.send(numbered(1, 100), {address("10.99.0.2"), 7, 0}));
    if (rounds >= 5) return;
    loop->post([&] {
      loop->remove(1);
      tun.reset();
      EXPECT_FALSE(ip("link show hu-t4 >/dev/null")) << "the device outlived its last descriptor";
      tun = open_tun("hu-t4");
      ASSERT_TRUE(tun);
      loop->add_tun(1, tun.get());
      ++rounds;
    });
  };
  handler.backlog = [&] { return true; };
  uint32_t reads_after = 0;
  handler.tun = [&](Tag, std::span<TunRead> reads) {
    if (rounds >= 5) reads_after += static_cast<uint32_t>(reads.size());
  };
  handler.done = [&] { return rounds >= 5 && reads_after > 0; };
  handler.run();
}

TEST_P(LoopLifeTest, ThePortIsFreeWhenTheLoopHasEnded) {
  uint16_t port = 0;
  for (int round = 0; round < 20; ++round) {
    auto own = make();
    auto sockets = open_udp(port, 0);
    ASSERT_TRUE(sockets) << "round " << round << ": " << std::strerror(sockets.error());
    port = sockets->port;
    own->add_udp(1, sockets->v4.get());
    own->add_udp(2, sockets->v6.get());
    const PlainSocket peer(Family::v4);
    ASSERT_TRUE(peer.send(numbered(1, 100), loopback(Family::v4, port)));
    Recorder handler(*own);
    bool seen = false;
    handler.udp = [&](Tag, std::span<UdpReceived>) { seen = true; };
    handler.done = [&] { return seen; };
    handler.run();
    EXPECT_EQ(own->arena().free_count(), own->arena().size());
  }
}

TEST_P(LoopLifeTest, SendsAndWritesToUnknownTagsAreRefused) {
  const auto bytes = numbered(1, 64);
  UdpSend send;
  send.data = bytes.data();
  send.size = 64;
  send.to = loopback(Family::v4, 9);
  loop->send(99, send);
  EXPECT_EQ(loop->counters().sends_dropped, 1U);
  EXPECT_EQ(loop->write(99, {}), EBADF);
  loop->remove(99);
  Recorder handler(*loop);
  loop->stop();
  handler.run();
}

}  // namespace
}  // namespace hats::transport::test
