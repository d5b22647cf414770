// What GRO did to packets before we received them (formats.md 5.5). "Segmentation and coalescing keep every
// byte": inner segments, merged as Linux merges them, through a node, cut again.
#include "core/packet/cut.hpp"
#include "tests/unit/core/encap_gro_reference.hpp"
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using packet::Offload;
using packet::testing::random_bytes;
using packet::testing::segments;
using testing::Bytes;
using testing::Gre;
using testing::merge_like_gro;
using testing::of_kind;
using testing::OneTunnel;
using testing::Shape;

constexpr size_t kEveryLink = 1'280;  // bytes that a link must carry

// A tunnel of each sort, and what its packets have before the inner one.
enum class Sort : uint8_t { gre, gre_key, gre_checksum, sit, ipip, gre6 };
constexpr std::array kSorts = {Sort::gre, Sort::gre_key, Sort::gre_checksum,
                               Sort::sit, Sort::ipip,    Sort::gre6};

TunnelConfig config_of(Sort sort) {
  TunnelConfig config = sort == Sort::gre6   ? testing::over_v6()
                        : sort == Sort::sit  ? of_kind(Kind::sit)
                        : sort == Sort::ipip ? of_kind(Kind::ipip)
                                             : of_kind(Kind::gre);
  if (sort == Sort::gre_key) config.in_key = 77;
  config.in_checksum = sort == Sort::gre_checksum;
  return config;
}

bool carries(Sort sort, bool v4) {
  return sort == Sort::sit ? !v4 : sort == Sort::ipip ? v4 : true;
}

// `merged` as the kernel hands it on: with GRE's checksum that of the first part.
std::vector<testing::Delivered> receive(OneTunnel& t, Sort sort, const Bytes& merged, const Bytes& first) {
  const bool v4 = merged[0] >> 4 == 4;
  Gre gre{.protocol = v4 ? 0x0800u : 0x86ddu};
  switch (sort) {
    case Sort::sit:
      return t.sit(merged);
    case Sort::ipip:
      return t.ipip(merged);
    case Sort::gre6:
      return t.gre6(gre, merged);
    case Sort::gre_key:
      gre.key = 77;
      break;
    case Sort::gre_checksum: {
      gre.checksum = true;
      const Bytes of_first = gre.packet(first);
      Bytes packet = gre.packet(merged);
      std::copy_n(of_first.begin() + 4, 2, packet.begin() + 4);
      return t.receive({testing::OuterV4{}.packet(packet)});
    }
    case Sort::gre:
      break;
  }
  return t.gre(gre, merged);
}

std::vector<Bytes> cut_all(const testing::Delivered& delivered) {
  Bytes bytes = delivered.bytes;
  packet::HeadArena heads(512);
  std::vector<packet::Piece> pieces;
  EXPECT_EQ(packet::cut(bytes, 0, delivered.packet.offload, heads, pieces), packet::CutResult::ok);
  std::vector<Bytes> out;
  for (const packet::Piece& piece : pieces) {
    if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
    out.emplace_back(piece.data, piece.data + piece.size);
  }
  return out;
}

Bytes payload_of(const std::vector<Bytes>& packets, size_t head) {
  Bytes out;
  for (const Bytes& p : packets) out.insert(out.end(), p.begin() + static_cast<long>(head), p.end());
  return out;
}

Shape tcp_shape(std::mt19937& rng, bool v4) {
  Shape s = packet::testing::random_shape(rng);
  s.v4 = v4;
  s.tcp = true;
  s.ip_options = s.extension = 0;
  s.tos &= 0xfc;
  s.flags = 0x10;
  return s;
}

class MergedInboundTest : public ::testing::TestWithParam<std::tuple<Sort, size_t>> {};

// Once the flow has been seen to send one packet by itself, the same bytes come out.
TEST_P(MergedInboundTest, EveryByteIsKept) {
  const auto [sort, mss] = GetParam();
  std::mt19937 rng(static_cast<unsigned>(mss));
  for (int round = 0; round < 40; ++round) {
    for (const bool v4 : {true, false}) {
      if (!carries(sort, v4)) continue;
      Shape s = tcp_shape(rng, v4);
      const auto mtu = static_cast<uint32_t>(s.head() + mss + rng() % 80);
      OneTunnel t(config_of(sort), mtu);
      // GRO is seen at work first: here on a flow of its own.
      Shape other = s;
      ++other.source_port;
      const auto first_flow = segments(other, random_bytes(rng, 3 * mss), mss);
      ASSERT_EQ(receive(t, sort, merge_like_gro(first_flow, other), first_flow[0]).size(), 1u);
      const auto single = segments(s, random_bytes(rng, mss), mss);
      const auto alone = receive(t, sort, single[0], single[0]);
      ASSERT_EQ(alone.size(), 1u);
      ASSERT_EQ(alone[0].bytes, single[0]);
      ASSERT_EQ(alone[0].packet.offload.kind, Offload::Kind::none);

      s.sequence += static_cast<uint32_t>(mss);
      s.flags = 0x18;
      const size_t count = 2 + rng() % (60'000 / mss - 2);
      const auto parts = segments(s, random_bytes(rng, (count - 1) * mss + 1 + rng() % mss), mss);
      const Bytes merged = merge_like_gro(parts, s);
      const auto out = receive(t, sort, merged, parts[0]);
      ASSERT_EQ(out.size(), 1u);
      if (merged.size() <= mtu) {
        Bytes whole = merged;
        packet::testing::seal(whole, s);
        ASSERT_EQ(out[0].bytes, whole);
        ASSERT_EQ(out[0].packet.offload.kind, Offload::Kind::none);
      } else {
        ASSERT_EQ(out[0].bytes, merged);
        ASSERT_TRUE(cut_all(out[0]) == parts) << "round " << round;
      }
      ASSERT_EQ(t.all_drops(), 0u);
      ASSERT_EQ(t.status().counters.merged, 2u);
    }
  }
}

// Of a flow that nothing is known of, the payload comes out, in packets that every link carries.
TEST_P(MergedInboundTest, AnUnknownFlowIsCutForEveryLink) {
  const auto [sort, mss] = GetParam();
  std::mt19937 rng(static_cast<unsigned>(mss) + 1);
  for (const bool v4 : {true, false}) {
    if (!carries(sort, v4)) continue;
    const Shape s = tcp_shape(rng, v4);
    for (const uint32_t mtu : {576u, 1'279u, 1'280u, 1'476u, 9'000u}) {
      OneTunnel t(config_of(sort), mtu);
      const Bytes payload = random_bytes(rng, 30'000 + rng() % 100);
      const auto parts = segments(s, payload, mss);
      const auto out = receive(t, sort, merge_like_gro(parts, s), parts[0]);
      ASSERT_EQ(out.size(), 1u);
      ASSERT_NE(out[0].packet.offload.kind, Offload::Kind::none);
      const auto pieces = cut_all(out[0]);
      for (const Bytes& p : pieces) ASSERT_LE(p.size(), std::min<size_t>(mtu, kEveryLink));
      ASSERT_TRUE(payload_of(pieces, s.head()) == payload);
    }
  }
}

TEST_P(MergedInboundTest, NotLargerThanTheInterfaceItIsOnePacket) {
  const auto [sort, mss] = GetParam();
  std::mt19937 rng(static_cast<unsigned>(mss) + 2);
  for (const bool v4 : {true, false}) {
    if (!carries(sort, v4)) continue;
    const Shape s = tcp_shape(rng, v4);
    const auto parts = segments(s, random_bytes(rng, 3 * mss), mss);
    Bytes whole = merge_like_gro(parts, s);
    OneTunnel t(config_of(sort), static_cast<uint32_t>(whole.size()));
    const auto out = receive(t, sort, whole, parts[0]);
    packet::testing::seal(whole, s);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].bytes, whole);
    EXPECT_EQ(out[0].packet.offload.kind, Offload::Kind::none);
    EXPECT_EQ(t.status().counters.merged, 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(AllTunnels, MergedInboundTest,
                         ::testing::Combine(::testing::ValuesIn(kSorts),
                                            ::testing::Values(300u, 536u, 1'400u)));

TEST(MergedInboundRulesTest, AGenuinePacketAboveTheMtuGoesThroughAsItIs) {
  OneTunnel t({}, 1'280);
  const Bytes inner = testing::inner_v4(8'000);
  const auto out = t.gre({}, inner);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, inner);
  EXPECT_EQ(out[0].packet.offload.kind, Offload::Kind::none);
  EXPECT_EQ(t.status().counters.merged, 0u);
}

TEST(MergedInboundRulesTest, AWrongTcpChecksumIsNotRepaired) {
  OneTunnel t;
  Bytes inner = testing::inner_v4();
  inner[36] ^= 1;
  const auto out = t.gre({}, inner);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, inner);
}

TEST(MergedInboundRulesTest, AWrongGreChecksumIsForgivenOnlyToMergedPackets) {
  OneTunnel t;
  Bytes inner = testing::inner_v4();
  inner[36] ^= 1;  // wrong, but not the pseudo-header's sum
  const Bytes good = Gre{.checksum = true}.packet(inner);
  Bytes bad = good;
  bad.back() ^= 1;
  EXPECT_EQ(t.receive({testing::OuterV4{}.packet(good)}).size(), 1u);
  EXPECT_TRUE(t.receive({testing::OuterV4{}.packet(bad)}).empty());
  EXPECT_EQ(t.drops(DropReason::rx_checksum_bad), 1u);
}

TEST(MergedInboundRulesTest, CongestionOnTheWayIsMarkedInTheMergedPacket) {
  OneTunnel t;
  Shape s;
  s.tos = 2;  // ECT(0)
  const auto parts = segments(s, Bytes(5'000, 7), 1'000);
  const auto out = t.gre({}, merge_like_gro(parts, s), {.tos = 3});
  ASSERT_EQ(out.size(), 1u);
  for (const Bytes& p : cut_all(out[0])) EXPECT_EQ(p[1], 3);
}

TEST(MergedInboundRulesTest, AnUnfinishedUdpPacketIsFinishedIfItFitsAndElseLeftAlone) {
  Shape s;
  s.tcp = false;
  OneTunnel t({}, 1'000);
  const Bytes small = packet::testing::build(s, Bytes(500, 7), true);
  auto out = t.gre({}, small);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, packet::testing::build(s, Bytes(500, 7)));
  const Bytes large = packet::testing::build(s, Bytes(3'000, 7), true);
  out = t.gre({}, large);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, large);
  EXPECT_EQ(out[0].packet.offload.kind, Offload::Kind::none);
}

TEST(MergedInboundRulesTest, WhatCannotBeCutIsOneWholePacket) {
  Shape s;
  s.v4 = false;
  s.extension = 72;
  s.options = 40;  // more headers than packet::cut takes
  OneTunnel t({}, 1'280);
  const auto out = t.gre({.protocol = 0x86dd}, packet::testing::build(s, Bytes(5'000, 7), true));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, packet::testing::build(s, Bytes(5'000, 7)));
  EXPECT_EQ(out[0].packet.offload.kind, Offload::Kind::none);
}

}  // namespace
}  // namespace hats::encap
