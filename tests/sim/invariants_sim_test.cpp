// What must hold whatever happens: random traffic on random networks, over many seeds.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/sim/paper.hpp"
#include "tests/sim/seeds.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

using Drop = wg::DropReason;

/// Everything about a device but counters and tokens: what a bad datagram must not change.
std::string digest(const wg::Device& device) {
  std::string out;
  const auto deadline = device.next_deadline();
  out += deadline ? std::to_string(deadline->ns) : "never";
  for (const auto& peer : device.snapshot().peers) {
    out += ' ' + peer.endpoint.text() + ' ' + std::to_string(peer.last_handshake_s) + '.' +
           std::to_string(peer.last_handshake_ns) + ' ' + std::to_string(peer.tx_bytes) + ' ' +
           std::to_string(peer.rx_bytes) + ' ' + std::to_string(peer.allowed_ips.size());
  }
  for (const auto& peer : device.peer_status()) {
    out += ' ' + peer.source.address.text() + ' ' + std::to_string(peer.attempts);
  }
  out += device.has_handshakes() ? " handshakes" : "";
  out += device.has_pending() ? " pending" : "";
  return out;
}

/// Two hosts on a network with faults drawn from the seed, talking at random times.
class Chaos {
 public:
  explicit Chaos(uint64_t seed) : rng_(seed ^ 0x5eed), world(seed) {
    world.network.loss = static_cast<double>(rng_.below(30)) / 100;
    world.network.duplication = static_cast<double>(rng_.below(20)) / 100;
    world.network.delay = milliseconds(static_cast<int64_t>(1 + rng_.below(80)));
    world.network.jitter = milliseconds(static_cast<int64_t>(rng_.below(120)));
    for (size_t i = 0; i < 2; ++i) {
      if (rng_.one_in(3)) keepalive_[i] = static_cast<uint16_t>(1 + rng_.below(40));
    }
    world.connect_all();
    for (size_t i = 0; i < 2; ++i) {
      if (keepalive_[i] != 0) world.set_keepalive(i, 1 - i, keepalive_[i]);
    }
  }
  /// One thing happens, then a random time passes.
  void turn() {
    const size_t who = rng_.below(2);
    switch (rng_.below(12)) {
      case 0:  // NAT rebinding; of one side only, or the two might lose each other for good
        world.node(0).address.port = static_cast<uint16_t>(1'024 + rng_.below(60'000));
        break;
      case 1:
        world.set_up(who, false);
        world.advance(milliseconds(100));
        world.set_up(who, true);
        break;
      case 2:
        world.set_keepalive(who, 1 - who, static_cast<uint16_t>(rng_.below(30)));
        break;
      default: {
        std::vector<Bytes> packets;
        for (uint64_t n = 1 + rng_.below(20); n > 0; --n) {
          packets.push_back(World::packet(who, 1 - who, next_mark++, 24 + rng_.below(1'396)));
        }
        world.send(who, packets);
        break;
      }
    }
    static constexpr int64_t kWaitsMs[] = {5, 50, 500, 3'000, 20'000, 130'000};
    world.advance(milliseconds(1 + static_cast<int64_t>(rng_.below(kWaitsMs[rng_.below(6)]))));
  }
  void turns(int count) {
    while (count-- > 0) turn();
  }

 private:
  test::SeededRng rng_;
  std::array<uint16_t, 2> keepalive_{};

 public:
  World world;
  uint32_t next_mark = 1;
};

TEST(InvariantsTest, NoNonceIsUsedTwiceUnderAKey) {
  for_seeds(300, [](uint64_t seed) {
    Chaos chaos(seed);
    chaos.turns(40);
    // A receiver index names one keypair of the receiver: with it and the sender, the key.
    std::set<std::tuple<size_t, uint32_t, uint64_t>> seen;
    for (const Sent& sent : chaos.world.trace) {
      if (sent.kind != Kind::data && sent.kind != Kind::keepalive) continue;
      const uint8_t* bytes = sent.datagram.bytes.data();
      EXPECT_TRUE(seen.emplace(sent.node, load_le32(bytes + 4), load_le64(bytes + 8)).second);
    }
    EXPECT_GT(seen.size(), 0U);
  });
}

TEST(InvariantsTest, NoPacketIsDeliveredTwiceNorChangedNorInvented) {
  for_seeds(300, [](uint64_t seed) {
    Chaos chaos(seed);
    for (int i = 0; i < 40; ++i) {
      chaos.turn();
      // Someone repeats old datagrams to both.
      if (i % 8 != 7) continue;
      const std::vector<Sent> trace = chaos.world.trace;
      for (size_t j = trace.size() > 60 ? trace.size() - 60 : 0; j < trace.size(); ++j) {
        chaos.world.inject(1 - trace[j].node, trace[j].datagram);
      }
    }
    for (size_t node = 0; node < 2; ++node) {
      std::set<uint32_t> seen;
      for (const Bytes& packet : chaos.world.node(node).delivered) {
        const uint32_t mark = World::mark_of(packet);
        EXPECT_TRUE(seen.insert(mark).second);
        EXPECT_EQ(packet, World::packet(1 - node, node, mark, packet.size()));
      }
    }
  });
}

TEST(InvariantsTest, AMutatedDatagramChangesNothing) {
  for_seeds(300, [](uint64_t seed) {
    Chaos chaos(seed);
    World& world = chaos.world;
    test::SeededRng rng(seed);
    for (int i = 0; i < 25; ++i) {
      chaos.turn();
      if (world.trace.empty()) continue;
      const Sent sent =
          world.trace[world.trace.size() - 1 - rng.below(std::min<size_t>(world.trace.size(), 20))];
      for (int j = 0; j < 8; ++j) {
        Datagram bad = sent.datagram;
        bad.from.port = 6'666;
        if (rng.one_in(6)) {
          bad.bytes.resize(rng.below(bad.bytes.size()));
        } else {
          bad.bytes[rng.below(bad.bytes.size())] ^= static_cast<uint8_t>(1U << rng.below(8));
        }
        const size_t to = 1 - sent.node;
        // mac2 is not looked at unless we are under load: changing it alone is no mutation.
        const size_t macs = sent.kind == Kind::initiation ? 132 : sent.kind == Kind::response ? 76 : SIZE_MAX;
        if (bad.bytes.size() > macs &&
            std::equal(bad.bytes.begin(), bad.bytes.begin() + static_cast<long>(macs),
                       sent.datagram.bytes.begin())) {
          continue;
        }
        const size_t sent_before = world.trace.size(), delivered = world.node(to).delivered.size();
        const std::string before = digest(world.device(to));
        world.inject(to, bad);
        ASSERT_EQ(digest(world.device(to)), before) << name_of(sent.kind);
        ASSERT_EQ(world.trace.size(), sent_before) << "an answer";
        ASSERT_EQ(world.node(to).delivered.size(), delivered);
      }
    }
  });
}

TEST(InvariantsTest, NoiseFromStrangersChangesNothing) {
  for_seeds(200, [](uint64_t seed) {
    Chaos chaos(seed);
    chaos.turns(5);
    test::SeededRng rng(seed);
    const std::string before = digest(chaos.world.device(0));
    const size_t sent = chaos.world.trace.size();
    for (int i = 0; i < 100; ++i) {
      static constexpr size_t kSizes[] = {0, 1, 4, 32, 64, 92, 148, 1'452};
      Datagram datagram{
          chaos.world.node(1).address, chaos.world.node(0).address, 0, Bytes(kSizes[rng.below(8)]), {}};
      rng.fill(datagram.bytes);
      if (datagram.bytes.size() >= 4) store_le32(datagram.bytes.data(), static_cast<uint32_t>(rng.below(6)));
      chaos.world.inject(0, datagram);
    }
    EXPECT_EQ(digest(chaos.world.device(0)), before);
    EXPECT_EQ(chaos.world.trace.size(), sent);
  });
}

TEST(InvariantsTest, AfterSilenceNobodySendsAndNoKeysRemain) {
  for_seeds(300, [](uint64_t seed) {
    Chaos chaos(seed);
    World& world = chaos.world;
    chaos.turns(20);
    for (size_t i = 0; i < 2; ++i) world.set_keepalive(i, 1 - i, 0);
    world.advance(seconds(200));  // tries to end
    const std::vector<Sent> trace = world.trace;
    world.advance(paper::kEraseKeysAfter + seconds(10));
    EXPECT_EQ(world.trace.size(), trace.size());
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(world.device(i).next_deadline(), std::nullopt);
      const uint64_t before = world.device(i).drops()[Drop::rx_unknown_index];
      size_t data = 0;
      for (const Sent& sent : trace) {
        if (sent.node == i || (sent.kind != Kind::data && sent.kind != Kind::keepalive)) continue;
        world.inject(i, sent.datagram);
        ++data;
      }
      EXPECT_EQ(world.device(i).drops()[Drop::rx_unknown_index], before + data) << "keys are left";
    }
  });
}

TEST(InvariantsTest, InitiationsOfAHostAreNeverCloserThanRekeyTimeout) {
  for_seeds(200, [](uint64_t seed) {
    Chaos chaos(seed);
    test::SeededRng rng(seed);
    for (int i = 0; i < 300; ++i) {
      const size_t who = rng.below(2);
      chaos.world.send(who, 1 - who, chaos.next_mark++);
      chaos.world.advance(milliseconds(static_cast<int64_t>(rng.below(2'000))));
    }
    for (size_t node = 0; node < 2; ++node) {
      const auto times = chaos.world.times(node, Kind::initiation);
      for (size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], paper::kRekeyTimeout);
    }
  });
}

TEST(InvariantsTest, OnAGoodNetworkKeysAreRenewedAtMostEvery120Seconds) {
  for_seeds(100, [](uint64_t seed) {
    World world(seed);
    test::SeededRng rng(seed);
    world.connect_all();
    world.send(0, 1);
    world.advance(seconds(1));
    const BootTime start = world.time();
    while (world.time() - start < seconds(1'200)) {
      const size_t who = rng.below(2);
      world.send(who, 1 - who);
      world.advance(milliseconds(static_cast<int64_t>(1 + rng.below(4'000))));
    }
    std::vector<BootTime> all;
    for (const Sent& sent : world.trace) {
      if (sent.kind == Kind::initiation) all.push_back(sent.at);
    }
    EXPECT_GE(all.size(), 1'200U / 180);
    for (size_t i = 1; i < all.size(); ++i) EXPECT_GE(all[i] - all[i - 1], paper::kRekeyAfterTime);
    EXPECT_EQ(world.node(0).delivered.size() + world.node(1).delivered.size(),
              world.count(0, Kind::data) + world.count(1, Kind::data));
  });
}

TEST(InvariantsTest, PacketsGetThroughAgainOnceTheNetworkIsGood) {
  for_seeds(300, [](uint64_t seed) {
    Chaos chaos(seed);
    World& world = chaos.world;
    chaos.turns(15);
    world.network = {};
    for (int i = 0; i < 40; ++i) {
      world.send(0, 1, chaos.next_mark++);
      world.advance(seconds(1));
    }
    const uint32_t last = chaos.next_mark - 1;
    ASSERT_FALSE(world.node(1).delivered.empty());
    EXPECT_EQ(World::mark_of(world.node(1).delivered.back()), last);
  });
}

TEST(InvariantsTest, TheSameSeedGivesTheSameTrace) {
  for_seeds(30, [](uint64_t seed) {
    Chaos first(seed), second(seed);
    first.turns(20);
    second.turns(20);
    EXPECT_EQ(first.world.trace_text(), second.world.trace_text());
  });
}

TEST(InvariantsTest, PollingAtDeadlinesIsTheSameAsPollingEvery100Milliseconds) {
  for_seeds(60, [](uint64_t seed) {
    Chaos exact(seed), often(seed);
    often.world.extra_poll = milliseconds(100);
    exact.turns(15);
    often.turns(15);
    EXPECT_EQ(exact.world.trace_text(), often.world.trace_text());
  });
}

TEST(InvariantsTest, QueuesStayUnderTheirLimits) {
  for_seeds(20, [](uint64_t seed) {
    World world(seed, 20);
    test::SeededRng rng(seed);
    world.connect_all();
    world.filter = [](Datagram&) { return false; };
    size_t sent = 0;
    for (int i = 0; i < 400; ++i) {
      const size_t to = 1 + rng.below(19);
      std::vector<Bytes> packets;
      for (uint64_t n = rng.below(12); n > 0; --n)
        packets.push_back(World::packet(0, to, 1, 24 + rng.below(20'000)));
      sent += packets.size();
      world.send(0, packets);
    }
    const uint64_t dropped = world.device(0).drops()[Drop::tx_staged_overflow];
    world.filter = nullptr;
    world.advance(seconds(6));
    size_t arrived = 0, bytes = 0;
    for (size_t i = 1; i < world.size(); ++i) {
      size_t of_peer = 0;
      for (const Bytes& packet : world.node(i).delivered) of_peer += packet.size();
      EXPECT_LE(world.node(i).delivered.size(), paper::kStagedPackets);
      EXPECT_LE(of_peer, paper::kStagedPeerBytes);
      arrived += world.node(i).delivered.size();
      bytes += of_peer;
    }
    EXPECT_LE(bytes, paper::kStagedDeviceBytes);
    EXPECT_EQ(arrived + dropped, sent);
  });
}

}  // namespace
}  // namespace hats::sim
