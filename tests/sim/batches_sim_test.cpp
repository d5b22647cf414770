// Several batches planned before the first is committed (DESIGN.md 4): what happens between is heeded at the
// commit, and order, numbers and keys stay right.
#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "tests/sim/paper.hpp"
#include "tests/sim/seeds.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

using Drop = wg::DropReason;

/// Packets on their way out, with the memory they lie in.
struct Outgoing {
  std::vector<Bytes> packets;
  Bytes slab = Bytes(65'536);
  wg::OutboundBatch batch;
  bool sealed = false;
};

struct Incoming {
  std::vector<Bytes> datagrams;
  wg::InboundBatch batch;
};

class BatchesTest : public testing::Test {
 protected:
  void SetUp() override {
    world.connect_all();
    for (size_t peer = 1; peer < 3; ++peer) {
      world.send(0, peer);
      world.advance(seconds(1));
      world.send(peer, 0);
      world.advance(seconds(1));
    }
    forget();
  }
  void forget() {
    world.trace.clear();
    for (size_t i = 0; i < world.size(); ++i) world.node(i).delivered.clear();
  }

  std::unique_ptr<Outgoing> plan(size_t from, std::vector<Bytes> packets) {
    auto out = std::make_unique<Outgoing>();
    out->packets = std::move(packets);
    std::vector<packet::Piece> pieces;
    for (Bytes& bytes : out->packets) {
      const auto size = static_cast<uint32_t>(bytes.size());
      bytes.resize(size + 16);
      pieces.push_back({.data = bytes.data(), .size = size, .room = 16});
    }
    out->batch.lend(out->slab);
    EXPECT_EQ(world.device(from).plan_outbound(world.now(), pieces, out->batch), pieces.size());
    return out;
  }
  std::unique_ptr<Outgoing> plan(size_t from, size_t to, std::initializer_list<uint32_t> marks) {
    std::vector<Bytes> packets;
    for (const uint32_t mark : marks) packets.push_back(World::packet(from, to, mark));
    return plan(from, std::move(packets));
  }
  void work(Outgoing& out) {
    wg::Device::work(out.batch, *aead);
    out.sealed = true;
  }
  /// Commits, and returns the datagrams that may be sent.
  std::vector<Datagram> commit(size_t from, Outgoing& out) {
    world.device(from).commit_outbound(world.now(), out.batch);
    std::vector<Datagram> datagrams;
    for (const wg::DatagramRun& run : out.batch.runs) {
      for (uint32_t at = 0; at < run.size; at += run.segment_size) {
        const uint8_t* begin = run.data + at;
        const uint32_t size = std::min(run.segment_size, run.size - at);
        datagrams.push_back({world.node(from).address, run.to, run.ds, Bytes(begin, begin + size), run.from});
      }
    }
    out.batch.clear();
    return datagrams;
  }
  std::vector<Datagram> seal(size_t from, Outgoing& out) {
    work(out);
    return commit(from, out);
  }

  std::unique_ptr<Incoming> plan(size_t to, const std::vector<Datagram>& datagrams) {
    auto in = std::make_unique<Incoming>();
    std::vector<wg::Received> received;
    for (const Datagram& one : datagrams) in->datagrams.push_back(one.bytes);
    for (size_t i = 0; i < datagrams.size(); ++i) {
      received.push_back({.bytes = in->datagrams[i],
                          .from = datagrams[i].from,
                          .to = {datagrams[i].to.address, 1},
                          .ds = datagrams[i].ds});
    }
    world.device(to).plan_inbound(world.now(), received, in->batch);
    return in;
  }
  void work(Incoming& in) { wg::Device::work(in.batch, *aead); }
  /// Commits, and returns the marks of what is delivered.
  std::vector<uint32_t> commit(size_t to, Incoming& in) {
    std::vector<wg::InnerPacket> inner;
    world.device(to).commit_inbound(world.now(), in.batch, inner);
    in.batch.clear();
    std::vector<uint32_t> marks;
    for (const auto& one : inner) marks.push_back(World::mark_of(Bytes(one.data, one.data + one.size)));
    return marks;
  }
  std::vector<uint32_t> open(size_t to, Incoming& in) {
    work(in);
    return commit(to, in);
  }

  void remove_peer(size_t node, size_t peer) {
    wg::DeviceUpdate update;
    update.peers.emplace_back();
    update.peers[0].public_key = world.node(peer).public_key;
    update.peers[0].remove = true;
    world.apply(node, update);
  }
  [[nodiscard]] uint64_t dropped(size_t node, Drop reason) { return world.device(node).drops()[reason]; }

  using Marks = std::vector<uint32_t>;
  World world{61, 3};
  std::unique_ptr<crypto::Aead> aead = crypto::make_aead(crypto::AeadChoice::sodium);
};

uint64_t counter_of(const Datagram& datagram) {
  return load_le64(&datagram.bytes[8]);
}

TEST_F(BatchesTest, BatchesAreNumberedInTheOrderOfTheirPlansWhoeverSealsFirst) {
  const auto a = plan(0, 1, {1, 2, 3}), b = plan(0, 1, {4, 5}), c = plan(0, 1, {6});
  work(*c);
  work(*a);
  work(*b);
  std::vector<Datagram> sent;
  for (Outgoing* one : {a.get(), b.get(), c.get()}) {
    for (Datagram& datagram : commit(0, *one)) sent.push_back(std::move(datagram));
  }
  ASSERT_EQ(sent.size(), 6U);
  for (size_t i = 1; i < sent.size(); ++i) EXPECT_EQ(counter_of(sent[i]), counter_of(sent[0]) + i);
  world.inject(1, sent);
  ASSERT_EQ(world.node(1).delivered.size(), 6U);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(World::mark_of(world.node(1).delivered[i]), i + 1);
}

TEST_F(BatchesTest, ReceivesAreDeliveredOnceAndInTheOrderOfTheirPlansWhoeverOpensFirst) {
  const auto sent = seal(0, *plan(0, 1, {1, 2, 3, 4}));
  const auto a = plan(1, {sent[0], sent[1]}), b = plan(1, {sent[1], sent[2]}), c = plan(1, {sent[3]});
  work(*c);
  work(*b);
  work(*a);
  EXPECT_EQ(commit(1, *a), (Marks{1, 2}));
  EXPECT_EQ(commit(1, *b), (Marks{3}));
  EXPECT_EQ(commit(1, *c), (Marks{4}));
  EXPECT_EQ(dropped(1, Drop::rx_replayed), 1U);
}

TEST_F(BatchesTest, TheEndpointIsThatOfTheLastBatch) {
  auto sent = seal(0, *plan(0, 1, {1, 2}));
  sent[0].from.port = 1'111;
  sent[1].from.port = 2'222;
  const auto a = plan(1, {sent[0]}), b = plan(1, {sent[1]});
  work(*b);
  work(*a);
  (void)commit(1, *a);
  EXPECT_EQ(world.peer(1, 0).endpoint.port, 1'111);
  (void)commit(1, *b);
  EXPECT_EQ(world.peer(1, 0).endpoint.port, 2'222);
}

TEST_F(BatchesTest, ABatchUnderTheOldKeyIsSentAndTakenAfterARekey) {
  const auto a = plan(0, 1, {1});
  world.advance(paper::kRekeyAfterTime);
  world.send(0, 1, 2);  // asks for a new key
  world.advance(seconds(2));
  const auto b = plan(0, 1, {3});
  const auto old_ones = seal(0, *a), new_ones = seal(0, *b);
  ASSERT_EQ(old_ones.size(), 1U);
  ASSERT_EQ(new_ones.size(), 1U);
  EXPECT_NE(load_le32(&old_ones[0].bytes[4]), load_le32(&new_ones[0].bytes[4])) << "there was no rekey";
  const auto in_a = plan(1, old_ones), in_b = plan(1, new_ones);
  EXPECT_EQ(open(1, *in_a), (Marks{1}));
  EXPECT_EQ(open(1, *in_b), (Marks{3}));
}

TEST_F(BatchesTest, TwoBatchesUnderANewKeyConfirmItOnce) {
  world.advance(paper::kRekeyAfterTime);
  // Until the initiator has the response, nothing under the new key reaches the responder.
  world.filter = [](const Datagram& datagram) { return kind_of(datagram.bytes) != Kind::keepalive; };
  world.send(0, 1, 1);
  world.advance(seconds(2));
  const auto sent = seal(0, *plan(0, 1, {2, 3}));
  const auto a = plan(1, {sent[0]}), b = plan(1, {sent[1]});
  const auto before = plan(1, 0, {4});
  work(*b);
  work(*a);
  EXPECT_EQ(commit(1, *a), (Marks{2}));
  const auto after = plan(1, 0, {5});
  EXPECT_EQ(commit(1, *b), (Marks{3}));
  const auto last = plan(1, 0, {6});
  const auto index = [&](const Datagram& datagram) { return load_le32(&datagram.bytes[4]); };
  const auto x = seal(1, *before), y = seal(1, *after), z = seal(1, *last);
  ASSERT_EQ(x.size() * y.size() * z.size(), 1U);
  EXPECT_NE(index(x[0]), index(y[0])) << "the first packet under the new key confirms it";
  EXPECT_EQ(index(y[0]), index(z[0]));
  world.inject(0, {x[0], y[0], z[0]});
  EXPECT_EQ(world.node(0).delivered.size(), 3U);
}

TEST_F(BatchesTest, NothingOfAPeerThatWasRemovedIsSentDeliveredOrCounted) {
  const auto sent = seal(1, *plan(1, 0, {1, 2}));
  const auto in = plan(0, sent);
  const auto out = plan(0, {World::packet(0, 1, 3), World::packet(0, 2, 4)});
  work(*in);
  work(*out);
  remove_peer(0, 1);
  world.introduce(0, 1);  // in the same slot
  EXPECT_EQ(commit(0, *in), Marks{});
  const auto left = commit(0, *out);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].to, world.node(2).address);
  EXPECT_EQ(world.peer(0, 1).tx_bytes, 0U);
  EXPECT_EQ(world.peer(0, 1).rx_bytes, 0U);
  EXPECT_EQ(dropped(0, Drop::rx_unknown_index), 2U);
}

TEST_F(BatchesTest, NothingIsSentOrDeliveredAfterTheLinkWentDownEvenIfItCameUpAgain) {
  for (const bool up_again : {false, true}) {
    const auto sent = seal(1, *plan(1, 0, {1}));
    const auto in = plan(0, sent);
    const auto out = plan(0, 1, {2});
    const uint64_t tx = world.peer(0, 1).tx_bytes, rx = world.peer(0, 1).rx_bytes;
    world.set_up(0, false);
    if (up_again) world.device(0).set_up(world.now(), true);
    EXPECT_EQ(open(0, *in), Marks{});
    EXPECT_TRUE(seal(0, *out).empty());
    EXPECT_EQ(world.peer(0, 1).tx_bytes, tx);
    EXPECT_EQ(world.peer(0, 1).rx_bytes, rx);
    EXPECT_EQ(world.device(0).next_deadline(), std::nullopt) << "a timer was armed";
    world.set_up(0, true);
    world.send(0, 1, 9);
    world.advance(seconds(6));
    world.send(1, 0, 9);
    world.advance(seconds(6));
  }
}

TEST_F(BatchesTest, NothingIsSentOrDeliveredUnderKeysThatWereErased) {
  const auto in = plan(0, seal(1, *plan(1, 0, {1})));
  const auto out = plan(0, 1, {2});
  world.advance(paper::kEraseKeysAfter + seconds(30));
  EXPECT_EQ(open(0, *in), Marks{});
  EXPECT_TRUE(seal(0, *out).empty());
}

TEST_F(BatchesTest, WhatWasPlannedBeforeOurPrivateKeyChangedIsSentAndNothingMoreUnderThatSession) {
  const auto a = plan(0, 1, {1});
  wg::DeviceUpdate update;
  update.private_key = world.node(2).private_key.copy();
  world.device(0).apply(world.now(), update);
  const auto b = plan(0, 1, {2});
  EXPECT_EQ(seal(0, *a).size(), 1U);
  EXPECT_TRUE(seal(0, *b).empty()) << "it is staged";
}

/// Host 0 sends to host 1; plans, work and commits of the two come in any order, with peers and links that
/// come and go between.
class Interleaving : public BatchesTest {
 public:
  explicit Interleaving(uint64_t seed) : rng_(seed) { SetUp(); }
  void TestBody() override {}
  void turn() {
    const uint64_t what = rng_.below(64);
    if (what == 0) {
      world.set_up(rng_.below(2), false);
    } else if (what == 1) {
      remove_peer(0, 1);
      world.introduce(0, 1);
    } else if (what < 8) {
      for (size_t i = 0; i < 2; ++i) world.set_up(i, true);
      world.advance(seconds(static_cast<int64_t>(rng_.below(12))));
    } else if (what < 22) {
      plan_out();
    } else if (what < 36) {
      commit_out();
    } else if (what < 50) {
      plan_in();
    } else {
      commit_in();
    }
    for (size_t i = 0; i < 2; ++i) world.drain(i);
  }
  size_t delivered = 0;

 private:
  void plan_out() {
    std::vector<Bytes> packets;
    for (uint64_t n = 1 + rng_.below(5); n > 0; --n) packets.push_back(World::packet(0, 1, mark_++));
    sealing_.push_back(plan(0, std::move(packets)));
    if (rng_.one_in(2)) work(*sealing_.back());
  }
  void commit_out() {
    if (sealing_.empty()) return;
    Outgoing& first = *sealing_.front();
    if (!first.sealed) work(first);
    for (Datagram& one : commit(0, first)) {
      EXPECT_TRUE(numbers_.emplace(load_le32(&one.bytes[4]), counter_of(one)).second);
      wire_.push_back(std::move(one));
    }
    sealing_.pop_front();
  }
  void plan_in() {
    std::vector<Datagram> some;
    for (uint64_t n = 1 + rng_.below(6); n > 0 && !wire_.empty(); --n) {
      some.push_back(wire_.front());
      if (!rng_.one_in(8)) wire_.pop_front();  // else it comes once more
    }
    opening_.push_back(plan(1, some));
  }
  void commit_in() {
    if (opening_.empty()) return;
    for (const uint32_t mark : open(1, *opening_.front())) {
      EXPECT_GT(mark, last_);
      last_ = mark;
      ++delivered;
    }
    opening_.pop_front();
  }

  test::SeededRng rng_;
  std::deque<std::unique_ptr<Outgoing>> sealing_;
  std::deque<std::unique_ptr<Incoming>> opening_;
  std::deque<Datagram> wire_;
  std::set<std::pair<uint32_t, uint64_t>> numbers_;  // receiver index (it stands for the key) and counter
  uint32_t mark_ = 100, last_ = 0;
};

TEST(BatchesInvariantsTest, NoNumberIsUsedTwiceAndNothingIsDeliveredTwiceOrOutOfOrder) {
  size_t delivered = 0;
  const size_t seeds = for_seeds(100, [&](uint64_t seed) {
    Interleaving hosts(seed);
    for (int i = 0; i < 400; ++i) hosts.turn();
    delivered += hosts.delivered;
  });
  // A single seed may be one whose peers are removed all the time.
  if (seeds >= 100) {
    EXPECT_GT(delivered, 10 * seeds);
  }
}

}  // namespace
}  // namespace hats::sim
