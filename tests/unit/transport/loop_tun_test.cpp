// TUN through the loop: real devices, and socketpairs where the device is not the point.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

class LoopTunTest : public LoopTest {
 protected:
  // A packet-keeping pair: [0] for the loop, [1] for the test.
  static std::array<UniqueFd, 2> make_pair_of_sockets() {
    std::array<int, 2> fds{};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    for (const int fd : fds) {
      const int size = 4 << 20;
      setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    }
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
  }
  static std::vector<uint8_t> read_one(int fd) {
    std::vector<uint8_t> out(70'000);
    const ssize_t size = recv(fd, out.data(), out.size(), MSG_DONTWAIT);
    out.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return out;
  }
};

HATS_ALL_BACKENDS(LoopTunTest);

TEST_P(LoopTunTest, PacketsOfTheStackAreReadAndAnswersAreDelivered) {
  const UniqueFd tun = open_tun("hu-t0");
  if (!tun) GTEST_SKIP() << "no /dev/net/tun";
  loop->add_tun(1, tun.get());
  const PlainSocket local(Family::v4);
  constexpr uint32_t kCount = 100;
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(local.send(numbered(i, 4 + i * 13), {address("10.99.0.2"), 7, 0}));
  }
  uint32_t next = 0;
  Recorder handler(*loop);
  handler.tun = [&](Tag tag, std::span<TunRead> reads) {
    EXPECT_LE(reads.size(), 64U);
    for (const TunRead& read : reads) {
      if (read.data[0] >> 4 != 4 || read.data[9] != 17) continue;
      EXPECT_GE(read.room, 31U);  // padding and tag
      EXPECT_GE(read.data - read.slab.bytes().data(), ptrdiff_t{kSlabHeadroom});
      EXPECT_LE(read.data + read.size + read.room, read.slab.bytes().data() + read.slab.bytes().size());
      const std::vector<uint8_t> payload(read.data + 28, read.data + read.size);
      EXPECT_EQ(payload, numbered(next, 4 + next * 13));
      ++next;
      const auto answer = udp_packet(7, local.port(), payload);
      const std::array<iovec, 2> parts{iovec{const_cast<uint8_t*>(answer.data()), 20},
                                       iovec{const_cast<uint8_t*>(answer.data()) + 20, answer.size() - 20}};
      EXPECT_EQ(loop->write(tag, {parts, {&read.slab, 1}}), 0);
    }
  };
  handler.done = [&] { return next == kCount; };
  handler.run();
  EXPECT_EQ(loop->counters().tun_writes, kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    const auto got = local.receive();
    ASSERT_TRUE(got) << i;
    EXPECT_EQ(*got, numbered(i, 4 + i * 13));
  }
}

TEST_P(LoopTunTest, PacketsOfAllSizesKeepTheirBytesAndTheirOrder) {
  auto ends = make_pair_of_sockets();
  loop->add_tun(1, ends[0].get());
  std::vector<size_t> sizes;
  uint64_t seed = 12'345;
  for (int i = 0; i < 400; ++i) {
    seed = seed * 6'364'136'223'846'793'005U + 1;
    const uint64_t pick = seed >> 33;
    sizes.push_back(pick % 4 == 0 ? 4 + pick % 65'500 : pick % 4 == 1 ? 2'040 + pick % 20 : 4 + pick % 1'500);
  }
  size_t sent = 0, seen = 0;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    for (; sent < sizes.size(); ++sent) {
      const auto bytes = numbered(static_cast<uint32_t>(sent), sizes[sent]);
      if (::send(ends[1].get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) break;
    }
  };
  handler.tun = [&](Tag, std::span<TunRead> reads) {
    // All leases of a batch are alive together: nothing may lie over anything else.
    for (const TunRead& read : reads) {
      ASSERT_LT(seen, sizes.size());
      EXPECT_EQ(std::vector<uint8_t>(read.data, read.data + read.size),
                numbered(static_cast<uint32_t>(seen), sizes[seen]));
      ++seen;
    }
    for (const TunRead& read : reads) std::memset(read.data - 200, 0xee, 200);       // headers go here
    for (const TunRead& read : reads) std::memset(read.data + read.size, 0xdd, 31);  // padding and tag here
  };
  handler.backlog = [&] { return sent < sizes.size(); };
  handler.done = [&] { return seen == sizes.size(); };
  handler.run();
  EXPECT_EQ(seen, sizes.size());
}

TEST_P(LoopTunTest, SmallReadsThatAreHeldDoNotLieOverLaterOnes) {
  auto ends = make_pair_of_sockets();
  loop->add_tun(1, ends[0].get());
  constexpr uint32_t kCount = 150;
  uint32_t sent = 0;
  std::vector<TunRead> held;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    for (int i = 0; i < 10 && sent < kCount; ++i, ++sent) {
      const auto bytes = numbered(sent, 900);
      ASSERT_GT(::send(ends[1].get(), bytes.data(), bytes.size(), 0), 0);
    }
  };
  handler.tun = [&](Tag, std::span<TunRead> reads) {
    for (TunRead& read : reads) held.push_back(std::move(read));
    if (held.size() <= 40) return;
    held.erase(held.begin(), held.begin() + 10);
  };
  handler.backlog = [&] { return sent < kCount; };
  uint32_t last = 0;
  handler.done = [&] {
    for (const TunRead& read : held) {
      last = number_of(read.data);
      EXPECT_EQ(std::vector<uint8_t>(read.data, read.data + read.size), numbered(last, 900));
    }
    return last == kCount - 1;
  };
  handler.run();
  held.clear();
}

TEST_P(LoopTunTest, ADeletedDeviceIsReportedOnceAndRemoved) {
  const UniqueFd tun = open_tun("hu-t1");
  if (!tun) GTEST_SKIP() << "no /dev/net/tun";
  loop->add_tun(7, tun.get());
  bool deleted = false;
  std::vector<std::pair<Tag, int>> closed;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    if (deleted) return;
    deleted = true;
    ASSERT_TRUE(ip("link del hu-t1"));
  };
  handler.backlog = [&] { return !deleted; };
  handler.tun_closed = [&](Tag tag, int error) { closed.push_back({tag, error}); };
  handler.done = [&] { return !closed.empty(); };
  handler.run();
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].first, 7U);
  EXPECT_EQ(closed[0].second, EBADFD);
}

TEST_P(LoopTunTest, ADeviceThatIsDownTakesNoWritesAndComesBackWithUp) {
  const UniqueFd tun = open_tun("hu-t2");
  if (!tun) GTEST_SKIP() << "no /dev/net/tun";
  loop->add_tun(1, tun.get());
  const PlainSocket local(Family::v4);
  auto packet = udp_packet(7, local.port(), numbered(5, 40));
  const std::array<iovec, 1> parts{iovec{packet.data(), packet.size()}};
  int reported = 0, turn = 0;
  bool read_again = false;
  Recorder handler(*loop);
  handler.write_failed = [&](Tag, int) { ++reported; };
  handler.wake = [&](Now) {
    if (++turn == 1) {
      ASSERT_TRUE(ip("link set hu-t2 down"));
      EXPECT_EQ(loop->write(1, {parts, {}}), EIO);
      ASSERT_TRUE(ip("link set hu-t2 up"));
      ASSERT_TRUE(local.send(numbered(6, 40), {address("10.99.0.2"), 7, 0}));
      EXPECT_EQ(loop->write(1, {parts, {}}), 0);
    }
  };
  handler.backlog = [&] { return turn == 0; };
  handler.tun = [&](Tag, std::span<TunRead> reads) {
    for (const TunRead& read : reads) {
      read_again = read_again || (read.size == 68 && number_of(read.data + 28) == 6);
    }
  };
  handler.done = [&] { return read_again; };
  handler.run();
  EXPECT_EQ(reported, 0);
  EXPECT_EQ(local.receive(), numbered(5, 40));
}

TEST_P(LoopTunTest, AWriteThatTheDeviceRefusesIsReportedAfterTheCallback) {
  const UniqueFd tun = open_tun("hu-t3");
  if (!tun) GTEST_SKIP() << "no /dev/net/tun";
  loop->add_tun(1, tun.get());
  std::vector<uint8_t> nonsense(40, 0xff);  // no IP version has this first nibble
  const std::array<iovec, 1> parts{iovec{nonsense.data(), nonsense.size()}};
  std::vector<std::pair<Tag, int>> reported;
  bool written = false;
  Recorder handler(*loop);
  handler.wake = [&](Now) {
    if (written) return;
    written = true;
    EXPECT_EQ(loop->write(1, {parts, {}}), EINVAL);
    EXPECT_TRUE(reported.empty());
  };
  handler.backlog = [] { return true; };
  handler.write_failed = [&](Tag tag, int error) { reported.push_back({tag, error}); };
  handler.done = [&] { return written && !reported.empty(); };
  handler.run();
  EXPECT_EQ(reported, (std::vector<std::pair<Tag, int>>{{1, EINVAL}}));
}

TEST_P(LoopTunTest, AnEmptyArenaOnlyDelaysReads) {
  constexpr uint32_t kSlabs = 24;
  loop = make(kSlabs);
  auto ends = make_pair_of_sockets();
  auto sockets = open_udp(0, 0);
  ASSERT_TRUE(sockets);
  loop->add_tun(1, ends[0].get());
  loop->add_udp(2, sockets->v4.get());
  const PlainSocket peer(Family::v4);
  std::vector<Lease> hoard;
  uint32_t reads_seen = 0, received_seen = 0, turn = 0;
  constexpr uint32_t kCount = 60;
  for (uint32_t i = 0; i < kCount; ++i) {
    const auto bytes = numbered(i, 3'000);
    ASSERT_GT(::send(ends[1].get(), bytes.data(), bytes.size(), 0), 0);
    ASSERT_TRUE(peer.send(bytes, loopback(Family::v4, sockets->port)));
  }
  Recorder handler(*loop);
  handler.tun = [&](Tag, std::span<TunRead> reads) {
    for (TunRead& read : reads) {
      EXPECT_EQ(number_of(read.data), reads_seen++);
      hoard.push_back(std::move(read.slab));
    }
  };
  handler.udp = [&](Tag, std::span<UdpReceived> received) {
    for (UdpReceived& one : received) {
      EXPECT_EQ(number_of(one.data), received_seen++);
      hoard.push_back(std::move(one.slab));
    }
  };
  handler.wake = [&](Now) {
    // What is hoarded is let go by a later wake-up that comes from elsewhere.
    if (++turn % 3 == 0) hoard.clear();
  };
  handler.deadline = [&]() -> std::optional<BootTime> { return boot_now() + milliseconds(2); };
  handler.done = [&] { return reads_seen == kCount && received_seen == kCount; };
  handler.run();
  hoard.clear();
  EXPECT_EQ(reads_seen, kCount);
  EXPECT_EQ(received_seen, kCount);
  EXPECT_GT(loop->counters().receive_no_buffers, 0U);
}

}  // namespace
}  // namespace hats::transport::test
