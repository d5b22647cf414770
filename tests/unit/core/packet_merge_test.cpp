#include "core/packet/merge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/packet/cut.hpp"
#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

struct Write {
  Offload offload;
  Bytes bytes;
  uint32_t packets = 0;
};

std::vector<Write> merge_all(std::vector<Bytes> packets, const MergeLimits& limits = {}) {
  std::vector<ByteSpan> spans(packets.begin(), packets.end());
  MergedWrites merged;
  merge(spans, limits, merged);
  std::vector<Write> out;
  for (const TunWritePlan& plan : merged.writes) {
    Write write{plan.offload, {}, plan.count};
    for (uint32_t i = 0; i < plan.count; ++i) {
      const Fragment& f = merged.fragments.at(plan.first + i);
      write.bytes.insert(write.bytes.end(), f.data, f.data + f.size);
    }
    EXPECT_EQ(write.bytes.size(), plan.bytes);
    out.push_back(std::move(write));
  }
  return out;
}

std::vector<Bytes> cut_all(std::vector<Write> writes) {
  std::vector<Bytes> out;
  for (Write& write : writes) {
    if (write.packets == 1) {
      out.push_back(write.bytes);
      continue;
    }
    HeadArena heads(kMaxMergedPackets);
    std::vector<Piece> pieces;
    EXPECT_EQ(cut(write.bytes, 0, write.offload, heads, pieces), CutResult::ok);
    EXPECT_EQ(pieces.size(), write.packets);
    for (const Piece& piece : pieces) {
      if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
      out.emplace_back(piece.data, piece.data + piece.size);
    }
  }
  return out;
}

// What a queue that refuses every merged write gets instead.
std::vector<Bytes> unmerge_all(std::vector<Bytes> packets) {
  std::vector<ByteSpan> spans(packets.begin(), packets.end());
  MergedWrites merged;
  merge(spans, {}, merged);
  std::vector<Fragment> whole;
  for (const TunWritePlan& plan : merged.writes) unmerge(plan, merged, whole);
  std::vector<Bytes> out;
  for (const Fragment& f : whole) out.emplace_back(f.data, f.data + f.size);
  return out;
}

std::vector<Bytes> stream(const Shape& s, size_t size, size_t segment) {
  return segments(s, Bytes(size, 0x5a), segment);
}

// The wire bytes of a merged write, made without the product: pseudo-header sum in the checksum field.
void expect_partial(const Write& write, const Shape& s) {
  Bytes expected = write.bytes;
  seal(expected, s, true);
  EXPECT_EQ(write.bytes, expected);
  EXPECT_TRUE(write.offload.needs_checksum);
  EXPECT_EQ(write.offload.checksum_start, s.transport());
  EXPECT_EQ(write.offload.checksum_offset, s.tcp ? 16 : 6);
  EXPECT_EQ(write.offload.header_size, s.head());
}

TEST(MergeTest, SegmentsOfOneFlowBecomeOneWriteOfEachKind) {
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      Shape s;
      s.v4 = v4;
      s.tcp = tcp;
      s.options = tcp ? 12 : 0;
      const auto writes = merge_all(stream(s, 4'500, 1'000));
      ASSERT_EQ(writes.size(), 1u);
      EXPECT_EQ(writes[0].packets, 5u);
      EXPECT_EQ(writes[0].bytes.size(), s.head() + 4'500);
      EXPECT_EQ(writes[0].offload.segment_size, 1'000);
      EXPECT_EQ(writes[0].offload.kind, !tcp ? Offload::Kind::udp
                                        : v4 ? Offload::Kind::tcp4
                                             : Offload::Kind::tcp6);
      expect_partial(writes[0], s);
      EXPECT_EQ(cut_all(writes), stream(s, 4'500, 1'000));
    }
  }
}

TEST(MergeTest, ASinglePacketGoesOutAsItCame) {
  Shape s;
  Bytes bad = build(s, Bytes(100, 1));
  bad.back() ^= 0x40;
  for (const Bytes& packet : {build(s, Bytes(100, 1)), bad, Bytes{}, Bytes{0x45}, Bytes(40, 0x60)}) {
    const auto writes = merge_all({packet});
    ASSERT_EQ(writes.size(), 1u);
    EXPECT_EQ(writes[0].bytes, packet);
    EXPECT_EQ(writes[0].offload.kind, Offload::Kind::none);
    EXPECT_FALSE(writes[0].offload.needs_checksum);
  }
}

TEST(MergeTest, NoWrongPacketIsRepaired) {
  std::mt19937 rng(1);
  for (int round = 0; round < 2'000; ++round) {
    Shape s;
    s.v4 = rng() % 2;
    s.tcp = rng() % 2;
    auto packets = stream(s, 5'000, 1'000);
    Bytes& victim = packets[rng() % packets.size()];
    victim[rng() % victim.size()] ^= static_cast<uint8_t>(1u << rng() % 8);
    const auto before = packets;
    // Every byte that went in comes out again, the wrong ones too.
    auto after = cut_all(merge_all(packets));
    auto sorted = before;
    std::ranges::sort(sorted);
    std::ranges::sort(after);
    ASSERT_TRUE(after == sorted) << "round " << round;
  }
}

TEST(MergeTest, UdpWithoutAChecksumIsNotMerged) {
  Shape s;
  s.tcp = false;
  auto packets = stream(s, 3'000, 1'000);
  for (Bytes& p : packets) testing::put16(p, s.checksum_at(), 0);
  EXPECT_EQ(merge_all(packets).size(), 3u);
}

TEST(MergeTest, PacketsThatDifferInTheirHeadersStayApart) {
  const auto differs = [](bool v4, bool tcp, auto change) {
    Shape s;
    s.v4 = v4;
    s.tcp = tcp;
    s.options = tcp ? 12 : 0;
    const Bytes first = build(s, Bytes(1'000, 1));
    ++s.id;
    s.sequence += 1'000;
    change(s);
    const Bytes second = build(s, Bytes(1'000, 2));
    return merge_all({first, second}).size() == 2;
  };
  const auto same = [](Shape&) {};
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      EXPECT_FALSE(differs(v4, tcp, same));
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { s.tos ^= 3; })) << "ECN";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { s.tos ^= 0x40; })) << "DSCP";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { --s.ttl; })) << "TTL";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { ++s.host; })) << "address";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { ++s.source_port; })) << "port";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { ++s.destination_port; })) << "port";
      EXPECT_TRUE(differs(v4, tcp, [](Shape& s) { s.tcp = !s.tcp, s.options = 0; })) << "protocol";
    }
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { ++s.acknowledgement; }));
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { ++s.window; }));
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { ++s.option_byte; }));
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { s.options = 8; }));
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { ++s.sequence; }));
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { --s.sequence; }));
    for (const uint8_t flag : {0x02, 0x04, 0x20, 0x40, 0x80}) {
      EXPECT_TRUE(differs(v4, true, [&](Shape& s) { s.flags |= flag; })) << int{flag};
    }
    EXPECT_TRUE(differs(v4, true, [](Shape& s) { s.flags = 0; })) << "no ACK";
    for (const uint8_t ending : {0x01, 0x08, 0x09}) {
      EXPECT_FALSE(differs(v4, true, [&](Shape& s) { s.flags |= ending; })) << "FIN and PSH end a write";
    }
  }
  EXPECT_TRUE(differs(true, true, [](Shape& s) { s.dont_fragment = false; }));
  EXPECT_TRUE(differs(true, true, [](Shape& s) { ++s.id; }));
}

TEST(MergeTest, IdentificationsCountUpOrWithDfStayEqual) {
  for (const bool dont_fragment : {true, false}) {
    Shape s;
    s.tcp = false;
    s.dont_fragment = dont_fragment;
    s.id = 0;
    const Bytes packet = build(s, Bytes(500, 1));
    EXPECT_EQ(merge_all({packet, packet, packet}).size(), dont_fragment ? 1u : 3u);
    ++s.id;
    const Bytes second = build(s, Bytes(500, 1));
    EXPECT_EQ(merge_all({packet, second}).size(), 1u);
    EXPECT_EQ(merge_all({packet, second, second}).size(), 2u);
    EXPECT_EQ(merge_all({packet, packet, second}).size(), 2u);
  }
}

TEST(MergeTest, AShortPacketEndsAWriteAndALongerOneStartsAnother) {
  Shape s;
  s.tcp = false;
  const auto sizes = [&](const std::vector<size_t>& payloads) {
    std::vector<Bytes> packets;
    Shape each = s;
    for (const size_t size : payloads) {
      packets.push_back(build(each, Bytes(size, 1)));
      ++each.id;
    }
    std::vector<uint32_t> out;
    for (const Write& w : merge_all(packets)) out.push_back(w.packets);
    return out;
  };
  using Counts = std::vector<uint32_t>;
  EXPECT_EQ(sizes({100, 100, 100}), Counts({3}));
  EXPECT_EQ(sizes({100, 100, 50, 100}), Counts({3, 1}));
  EXPECT_EQ(sizes({100, 101, 101}), Counts({1, 2}));
  EXPECT_EQ(sizes({100, 0, 100}), Counts({1, 1, 1}));
  EXPECT_EQ(sizes(std::vector<size_t>(65, 10)), Counts({64, 1}));
  EXPECT_EQ(sizes(std::vector<size_t>(3, 30'000)), Counts({2, 1}));
}

TEST(MergeTest, PshAndFinEndAWriteAndAreKept) {
  for (const uint8_t ending : {0x08, 0x01}) {
    Shape s;
    std::vector<Bytes> packets;
    for (int i = 0; i < 6; ++i) {
      s.flags = i == 2 ? static_cast<uint8_t>(0x10 | ending) : 0x10;
      packets.push_back(build(s, Bytes(1'000, 1)));
      s.sequence += 1'000;
      ++s.id;
    }
    const auto writes = merge_all(packets);
    ASSERT_EQ(writes.size(), 2u);
    EXPECT_EQ(writes[0].packets, 3u);
    EXPECT_EQ(cut_all(writes), packets);
  }
}

TEST(MergeTest, ManyInterleavedFlowsEachBecomeOneWrite) {
  std::vector<std::vector<Bytes>> flows;
  for (int i = 0; i < 200; ++i) {
    Shape s;
    s.v4 = i % 2;
    s.tcp = i % 3 != 0;
    s.host = static_cast<uint8_t>(i);
    s.source_port = static_cast<uint16_t>(1000 + i);
    flows.push_back(stream(s, 8'000, 1'000));
  }
  std::vector<Bytes> packets;
  for (size_t n = 0; n < 8; ++n) {
    for (const auto& flow : flows) packets.push_back(flow[n]);
  }
  const auto writes = merge_all(packets);
  // Collisions in the table may cost a flow its merging, never more than a few.
  EXPECT_GE(writes.size(), 200u);
  EXPECT_LE(writes.size(), 215u);
}

TEST(MergeTest, NothingOvertakesWhatIsNeitherTcpNorUdp) {
  Shape s;
  const auto data = stream(s, 4'000, 1'000);
  Bytes icmp = build(s, Bytes(60, 1));
  icmp[9] = 1;
  Bytes fragment = data[0];
  fragment[6] |= 0x20;
  for (const Bytes& other : {icmp, fragment, Bytes{1, 2, 3}}) {
    const auto writes = merge_all({data[0], data[1], other, data[2], data[3]});
    ASSERT_EQ(writes.size(), 3u);
    EXPECT_EQ(writes[1].bytes, other);
  }
}

TEST(MergeTest, APureAckKeepsItsPlaceInItsFlowAndLetsOthersBe) {
  Shape s;
  const auto data = stream(s, 4'000, 1'000);
  Shape ack_shape = s;
  ack_shape.sequence += 2'000;
  const Bytes own_ack = build(ack_shape, {});
  auto writes = merge_all({data[0], data[1], own_ack, data[2], data[3]});
  ASSERT_EQ(writes.size(), 3u);
  EXPECT_EQ(writes[1].bytes, own_ack);
  ack_shape.host = 9;
  writes = merge_all({data[0], data[1], build(ack_shape, {}), data[2], data[3]});
  EXPECT_EQ(writes.size(), 2u);
}

TEST(MergeTest, LimitsTurnEachLaneOff) {
  Shape tcp;
  Shape udp;
  udp.tcp = false;
  auto packets = stream(tcp, 3'000, 1'000);
  for (const Bytes& p : stream(udp, 3'000, 1'000)) packets.push_back(p);
  EXPECT_EQ(merge_all(packets, {.tcp = true, .udp = true}).size(), 2u);
  EXPECT_EQ(merge_all(packets, {.tcp = false, .udp = true}).size(), 4u);
  EXPECT_EQ(merge_all(packets, {.tcp = true, .udp = false}).size(), 4u);
  EXPECT_EQ(merge_all(packets, {.tcp = false, .udp = false}).size(), 6u);
}

TEST(MergeTest, ABatchCanBeRepeatedOnTheSameStorageWithoutTraces) {
  Shape s;
  MergedWrites merged;
  for (int i = 0; i < 1'000; ++i) {
    auto packets = stream(s, 3'000, 1'000);
    std::vector<ByteSpan> spans(packets.begin(), packets.end());
    merged.clear();
    merge(spans, {}, merged);
    ASSERT_EQ(merged.writes.size(), 1u);
    ASSERT_EQ(merged.fragments.size(), 3u);
  }
}

// Flow by flow, what comes out of merging and cutting is what went in, in the same order; a packet's
// identification alone may differ where DF says that it means nothing.
TEST(MergeTest, MergeThenCutIsTheIdentityFlowByFlow) {
  std::mt19937 rng(7);
  for (int round = 0; round < 1'500; ++round) {
    std::vector<Shape> flows;
    for (unsigned i = 0; i < 1 + rng() % 6; ++i) {
      Shape s = testing::random_shape(rng);
      s.flags = 0x10;
      s.host = static_cast<uint8_t>(i);
      flows.push_back(s);
    }
    std::vector<Bytes> packets;
    const size_t segment = 1 + rng() % 1'400;
    for (unsigned i = 0; i < rng() % 120; ++i) {
      Shape& s = flows[rng() % flows.size()];
      Shape now = s;
      const unsigned oddity = rng() % 40;
      if (oddity == 0) now.flags = static_cast<uint8_t>(rng());
      if (oddity == 1) now.tos ^= 1;
      if (oddity == 2) now.flags |= 8;
      const size_t size = oddity == 3 ? rng() % (segment + 20) : segment;
      packets.push_back(build(now, testing::random_bytes(rng, size)));
      if (oddity == 4)
        packets.back()[now.transport() + rng() % (packets.back().size() - now.transport())] ^= 4;
      s.sequence += static_cast<uint32_t>(size);
      if (!s.dont_fragment || oddity == 5 || s.source_port % 2 == 0) ++s.id;
    }
    const auto normal = [](Bytes p) {
      if (!p.empty() && p[0] >> 4 == 4 && p.size() >= 20 && (p[6] & 0x40) != 0) {
        testing::put16(p, 4, 0);
        testing::put16(p, 10, 0);
      }
      return p;
    };
    const auto by_flow = [&](const std::vector<Bytes>& list) {
      std::map<uint8_t, std::vector<Bytes>> out;  // the host byte is the flow
      for (const Bytes& p : list) {
        const size_t at = p[0] >> 4 == 4 ? 15 : 23;
        out[p.size() > at ? p[at] : 255].push_back(normal(p));
      }
      return out;
    };
    ASSERT_TRUE(by_flow(cut_all(merge_all(packets))) == by_flow(packets)) << "round " << round;
    std::vector<Bytes> unmerged = unmerge_all(packets);
    ASSERT_TRUE(by_flow(unmerged) == by_flow(packets)) << "round " << round;
    std::ranges::sort(unmerged);
    std::ranges::sort(packets);
    ASSERT_TRUE(unmerged == packets) << "identifications too, round " << round;
  }
}

}  // namespace
}  // namespace hats::packet
