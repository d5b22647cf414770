#include "core/encap/merged_packet.hpp"

#include <gtest/gtest.h>

#include "core/packet/cut.hpp"
#include "tests/unit/core/encap_gro_reference.hpp"

namespace hats::encap {
namespace {

using packet::IpView;
using packet::Offload;
using packet::testing::random_bytes;
using packet::testing::random_shape;
using packet::testing::segments;
using testing::Bytes;
using testing::merge_like_gro;
using testing::Shape;

bool unfinished(const Bytes& packet) {
  const auto ip = IpView::parse(packet);
  if (!ip) return false;
  const auto where = find_checksum(*ip);
  return where && is_unfinished(*ip, *where);
}

Offload describe(const Bytes& packet, uint32_t mtu, uint32_t segment) {
  const auto ip = IpView::parse(packet);
  return describe_merged(*ip, *find_checksum(*ip), mtu, segment);
}

std::vector<Bytes> cut_all(Bytes packet, const Offload& offload) {
  packet::HeadArena heads(512);
  std::vector<packet::Piece> pieces;
  EXPECT_EQ(packet::cut(packet, 0, offload, heads, pieces), packet::CutResult::ok);
  std::vector<Bytes> out;
  for (const packet::Piece& piece : pieces) {
    if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
    out.emplace_back(piece.data, piece.data + piece.size);
  }
  return out;
}

TEST(MergedPacketTest, AWholePacketIsNeverTakenForAMergedOne) {
  std::mt19937 rng(1);
  for (int round = 0; round < 20'000; ++round) {
    ASSERT_FALSE(unfinished(packet::testing::build(random_shape(rng), random_bytes(rng, rng() % 200))));
  }
}

TEST(MergedPacketTest, AWrongChecksumIsNotAnUnfinishedOne) {
  std::mt19937 rng(2);
  for (int round = 0; round < 20'000; ++round) {
    const Shape s = random_shape(rng);
    Bytes p = packet::testing::build(s, random_bytes(rng, 1 + rng() % 200));
    p.back() ^= static_cast<uint8_t>(1 + rng() % 255);
    // By chance a wrong checksum is the pseudo-header's sum.
    if (packet::testing::get16(p, s.checksum_at()) == packet::testing::pseudo_sum(p, s)) continue;
    ASSERT_FALSE(unfinished(p));
  }
}

TEST(MergedPacketTest, AnUnfinishedPacketIsFoundAndFinished) {
  std::mt19937 rng(3);
  for (int round = 0; round < 20'000; ++round) {
    const Shape s = random_shape(rng);
    const Bytes payload = random_bytes(rng, rng() % 300);
    Bytes p = packet::testing::build(s, payload, true);
    const Bytes whole = packet::testing::build(s, payload);
    // By chance the pseudo-header's sum is the right checksum: then nothing is to be finished.
    if (p == whole) continue;
    const auto ip = IpView::parse(p);
    const auto where = find_checksum(*ip);
    ASSERT_TRUE(where && is_unfinished(*ip, *where));
    ASSERT_EQ(size_t{where->start} + where->field, s.checksum_at());
    finish_checksum(p, *where);
    // 0 and 0xffff are the same sum; UDP's 0 would mean none.
    if (packet::testing::get16(whole, s.checksum_at()) == 0) packet::testing::put16(p, s.checksum_at(), 0);
    ASSERT_EQ(p, whole);
  }
}

TEST(MergedPacketTest, AWrongIpv4HeaderChecksumIsNotRepaired) {
  Shape s;
  Bytes p = packet::testing::build(s, Bytes(100, 1), true);
  ASSERT_TRUE(unfinished(p));
  p[10] ^= 1;
  EXPECT_FALSE(unfinished(p));
}

TEST(MergedPacketTest, FragmentsAndOtherProtocolsAreLeftAlone) {
  Shape s;
  Bytes fragment = packet::testing::build(s, Bytes(100, 1), true);
  fragment[6] = 0x20;  // more fragments
  packet::testing::seal(fragment, s, true);
  EXPECT_FALSE(unfinished(fragment));
  Bytes icmp = packet::testing::build(s, Bytes(100, 1), true);
  icmp[9] = 1;
  packet::testing::seal(icmp, s, true);
  EXPECT_FALSE(unfinished(icmp));
  Shape six;
  six.v4 = false;
  Bytes v6_fragment = packet::testing::build(six, Bytes(100, 1), true);
  v6_fragment[6] = 44;
  EXPECT_FALSE(unfinished(v6_fragment));
}

TEST(MergedPacketTest, HeadersThatAreNotWholeAreLeftAlone) {
  std::mt19937 rng(4);
  for (int round = 0; round < 50'000; ++round) {
    Bytes p = packet::testing::build(random_shape(rng), random_bytes(rng, rng() % 40), rng() % 2);
    p.resize(rng() % (p.size() + 1));
    if (p.size() > 20) p[rng() % p.size()] = static_cast<uint8_t>(rng());
    const Bytes exact = p;  // ASan sees a read behind it
    unfinished(exact);
  }
}

// "Segmentation and coalescing keep every byte": segments, merged as the kernel does, cut again.
TEST(MergedPacketTest, WhatGroMergedIsCutIntoTheSameBytes) {
  std::mt19937 rng(5);
  for (int round = 0; round < 600; ++round) {
    Shape s = random_shape(rng);
    s.tcp = true;
    s.ip_options = 0;  // GRO merges no IPv4 options
    s.flags &= 0xff - 0x80;
    const size_t mss = std::array{300u, 536u, 1'220u, 1'400u}[rng() % 4];
    const Bytes payload = random_bytes(rng, mss + 1 + rng() % (60'000 - mss));
    const auto parts = segments(s, payload, mss);
    const Bytes merged = merge_like_gro(parts, s);
    ASSERT_TRUE(unfinished(merged));
    const auto mtu = static_cast<uint32_t>(s.head() + mss + rng() % 100);
    const Offload offload = describe(merged, mtu, static_cast<uint32_t>(mss));
    ASSERT_EQ(offload.kind, s.v4 ? Offload::Kind::tcp4 : Offload::Kind::tcp6);
    ASSERT_EQ(offload.header_size, s.head());
    ASSERT_TRUE(cut_all(merged, offload) == parts) << "round " << round;
  }
}

TEST(MergedPacketTest, NoSegmentIsLargerThanTheInterface) {
  Shape s;
  const Bytes merged = merge_like_gro(segments(s, Bytes(20'000, 7), 1'400), s);
  const Offload offload = describe(merged, 1'280, 1'400);
  EXPECT_EQ(offload.segment_size, 1'240);
  for (const Bytes& p : cut_all(merged, offload)) EXPECT_LE(p.size(), 1'280u);
}

TEST(MergedPacketTest, CwrOfTheFirstSegmentIsDescribed) {
  Shape s;
  s.flags = 0x90;
  const auto parts = segments(s, Bytes(5'000, 7), 1'000);
  const Bytes merged = merge_like_gro(parts, s);
  const Offload offload = describe(merged, 1'400, 1'000);
  EXPECT_TRUE(offload.ecn);
  EXPECT_EQ(cut_all(merged, offload), parts);
}

TEST(MergedPacketTest, WhatTheKernelNeverMergesIsNotCut) {
  for (const uint8_t flag : {0x02, 0x04, 0x20}) {
    Shape s;
    s.flags = 0x10 | flag;
    EXPECT_EQ(describe(packet::testing::build(s, Bytes(3'000, 1), true), 1'400, 1'000).kind,
              Offload::Kind::none);
  }
  Shape udp;
  udp.tcp = false;
  EXPECT_EQ(describe(packet::testing::build(udp, Bytes(3'000, 1), true), 1'400, 1'000).kind,
            Offload::Kind::none);
  Shape long_head;
  long_head.v4 = false;
  long_head.extension = 72;
  long_head.options = 40;
  EXPECT_EQ(describe(packet::testing::build(long_head, Bytes(3'000, 1), true), 1'400, 1'000).kind,
            Offload::Kind::none);
  EXPECT_EQ(describe(packet::testing::build(Shape{}, Bytes(3'000, 1), true), 40, 1'000).kind,
            Offload::Kind::none);
}

class SegmentSizesTest : public ::testing::Test {
 protected:
  void saw(const Shape& s, size_t payload) {
    const Bytes p = packet::testing::build(s, Bytes(payload, 1));
    const auto ip = IpView::parse(p);
    sizes_.saw_single(*ip, *find_checksum(*ip));
  }
  [[nodiscard]] uint32_t guess(const Shape& s) const {
    const Bytes p = packet::testing::build(s, Bytes(9'000, 1), true);
    const auto ip = IpView::parse(p);
    return sizes_.guess(*ip, *find_checksum(*ip));
  }
  SegmentSizes sizes_;
};

TEST_F(SegmentSizesTest, UntilAFlowIsKnownEveryLinkCarriesTheSegments) {
  Shape v4, v6;
  v6.v4 = false;
  v6.options = 12;
  EXPECT_EQ(guess(v4), 1'280u - 40);
  EXPECT_EQ(guess(v6), 1'280u - 72);
}

TEST_F(SegmentSizesTest, AFlowSendsWhatItWasSeenToSend) {
  Shape s, other;
  other.source_port = 4'001;
  saw(s, 1'400);
  EXPECT_EQ(guess(s), 1'400u);
  EXPECT_EQ(guess(other), 1'240u);
  saw(other, 536);
  EXPECT_EQ(guess(s), 1'400u);
  EXPECT_EQ(guess(other), 536u);
}

TEST_F(SegmentSizesTest, TheShortEndOfAMessageSaysNothing) {
  Shape s;
  saw(s, 1'400);
  s.flags |= 0x08;
  saw(s, 100);
  saw(s, 0);
  EXPECT_EQ(guess(s), 1'400u);
}

TEST_F(SegmentSizesTest, ASenderThatLearnedOfANarrowerPathIsFollowed) {
  Shape s;
  saw(s, 1'400);
  saw(s, 1'340);
  EXPECT_EQ(guess(s), 1'340u);
  s.flags |= 0x08;
  saw(s, 1'360);
  EXPECT_EQ(guess(s), 1'360u);
}

}  // namespace
}  // namespace hats::encap
