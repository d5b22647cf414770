#include "core/packet/cut.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

Offload offload_of(const Shape& s, size_t segment) {
  Offload out;
  out.kind = !s.tcp ? Offload::Kind::udp : s.v4 ? Offload::Kind::tcp4 : Offload::Kind::tcp6;
  out.needs_checksum = true;
  out.checksum_start = static_cast<uint16_t>(s.transport());
  out.checksum_offset = s.tcp ? 16 : 6;
  out.segment_size = static_cast<uint16_t>(segment);
  return out;
}

// Uses the pieces as sending does: in order, each header copied into place only when its turn has come.
std::vector<Bytes> use(const std::vector<Piece>& pieces) {
  std::vector<Bytes> out;
  for (const Piece& piece : pieces) {
    if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
    out.emplace_back(piece.data, piece.data + piece.size);
  }
  return out;
}

TEST(CutTest, SegmentsAreThoseOfTheReferenceSegmenter) {
  std::mt19937 rng(1);
  HeadArena heads(70'000);
  for (int round = 0; round < 3'000; ++round) {
    const Shape s = testing::random_shape(rng);
    const size_t most = 65'535 - s.head();
    const size_t size = rng() % 8 == 0 ? 1 + rng() % most : 1 + rng() % 9'000;
    const size_t segment = rng() % 8 == 0 ? 1 + rng() % 60 : 1 + rng() % 3'000;
    const Bytes payload = testing::random_bytes(rng, size);
    Bytes packet = build(s, payload, true);
    std::vector<Piece> pieces;
    heads.clear();
    ASSERT_EQ(cut(packet, 33, offload_of(s, segment), heads, pieces), CutResult::ok);
    for (size_t i = 0; i + 1 < pieces.size(); ++i) ASSERT_EQ(pieces[i].room, 0u);
    ASSERT_EQ(pieces.back().room, 33u);
    ASSERT_EQ(use(pieces), segments(s, payload, segment))
        << "v4 " << s.v4 << " tcp " << s.tcp << " size " << size << " segment " << segment;
  }
}

TEST(CutTest, HeadersCanBeReadBeforeTheyAreInPlace) {
  std::mt19937 rng(2);
  HeadArena heads(64);
  Shape s;
  s.options = 12;
  const Bytes payload = testing::random_bytes(rng, 5'000);
  Bytes packet = build(s, payload, true);
  std::vector<Piece> pieces;
  ASSERT_EQ(cut(packet, 0, offload_of(s, 1'000), heads, pieces), CutResult::ok);
  const auto expected = segments(s, payload, 1'000);
  ASSERT_EQ(pieces.size(), expected.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const ByteView header = pieces[i].header();
    EXPECT_TRUE(
        std::equal(header.begin(), header.begin() + static_cast<long>(s.head()), expected[i].begin()));
  }
}

TEST(CutTest, APartialChecksumOfASinglePacketIsFinished) {
  std::mt19937 rng(3);
  HeadArena heads(4);
  for (int round = 0; round < 500; ++round) {
    const Shape s = testing::random_shape(rng);
    const Bytes payload = testing::random_bytes(rng, rng() % 1'500);
    Bytes packet = build(s, payload, true);
    Offload offload = offload_of(s, 0);
    offload.kind = Offload::Kind::none;
    std::vector<Piece> pieces;
    ASSERT_EQ(cut(packet, 7, offload, heads, pieces), CutResult::ok);
    ASSERT_EQ(pieces.size(), 1u);
    EXPECT_EQ(pieces[0].room, 7u);
    EXPECT_EQ(pieces[0].head_size, 0u);
    EXPECT_EQ(use(pieces)[0], build(s, payload));
  }
}

TEST(CutTest, AFinishedChecksumOfZeroIsWrittenAsAllOnes) {
  Shape s;
  s.tcp = false;
  HeadArena heads(4);
  // Payloads of one word: some value makes the sum come out as zero.
  for (unsigned word = 0; word < 65'536; ++word) {
    const Bytes payload = {static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word)};
    Bytes packet = build(s, payload, true);
    Offload offload = offload_of(s, 0);
    offload.kind = Offload::Kind::none;
    std::vector<Piece> pieces;
    ASSERT_EQ(cut(packet, 0, offload, heads, pieces), CutResult::ok);
    ASSERT_NE(testing::get16(packet, s.checksum_at()), 0u);
  }
}

TEST(CutTest, AWholeChecksumIsLeftAsItIsEvenIfWrong) {
  Shape s;
  HeadArena heads(4);
  Bytes packet = build(s, Bytes(100, 7));
  packet.back() ^= 1;
  const Bytes before = packet;
  std::vector<Piece> pieces;
  ASSERT_EQ(cut(packet, 0, {}, heads, pieces), CutResult::ok);
  EXPECT_EQ(use(pieces)[0], before);
}

TEST(CutTest, BytesBehindTheIpLengthBecomeRoom) {
  Shape s;
  HeadArena heads(4);
  Bytes packet = build(s, Bytes(100, 7));
  packet.resize(packet.size() + 11);
  std::vector<Piece> pieces;
  ASSERT_EQ(cut(packet, 5, {}, heads, pieces), CutResult::ok);
  EXPECT_EQ(pieces[0].size, packet.size() - 11);
  EXPECT_EQ(pieces[0].room, 16u);
}

TEST(CutTest, AFullArenaChangesNothingAndTheCallCanBeRepeated) {
  std::mt19937 rng(4);
  Shape s;
  const Bytes payload = testing::random_bytes(rng, 5'000);
  Bytes packet = build(s, payload, true);
  const Bytes before = packet;
  HeadArena heads(5);
  ASSERT_NE(heads.take(), nullptr);
  ASSERT_NE(heads.take(), nullptr);
  std::vector<Piece> pieces;
  ASSERT_EQ(cut(packet, 0, offload_of(s, 1'000), heads, pieces), CutResult::arena_full);
  EXPECT_TRUE(pieces.empty());
  EXPECT_EQ(packet, before);
  EXPECT_EQ(heads.left(), 3u);
  heads.clear();
  ASSERT_EQ(cut(packet, 0, offload_of(s, 1'000), heads, pieces), CutResult::ok);
  EXPECT_EQ(use(pieces), segments(s, payload, 1'000));
}

TEST(CutTest, WhatCanNeverFitTheArenaIsMalformed) {
  Shape s;
  Bytes packet = build(s, Bytes(5'000, 1), true);
  HeadArena heads(3);
  std::vector<Piece> pieces;
  EXPECT_EQ(cut(packet, 0, offload_of(s, 1'000), heads, pieces), CutResult::malformed);
}

TEST(CutTest, OffloadsThatDoNotFitTheBytesAreRefusedAndChangeNothing) {
  const auto refused = [](Bytes packet, const Offload& offload) {
    const Bytes before = packet;
    HeadArena heads(100);
    std::vector<Piece> pieces;
    const bool right = cut(packet, 0, offload, heads, pieces) == CutResult::malformed && pieces.empty();
    return right && packet == before && heads.left() == 100;
  };
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      Shape s;
      s.v4 = v4;
      s.tcp = tcp;
      const Bytes good = build(s, Bytes(3'000, 1), true);
      const Offload offload = offload_of(s, 1'000);
      Offload o = offload;
      o.segment_size = 0;
      EXPECT_TRUE(refused(good, o));
      o = offload;
      o.needs_checksum = false;
      EXPECT_TRUE(refused(good, o));
      o = offload;
      ++o.checksum_start;
      EXPECT_TRUE(refused(good, o));
      o = offload;
      ++o.checksum_offset;
      EXPECT_TRUE(refused(good, o));
      o = offload;
      o.kind = tcp ? Offload::Kind::udp : v4 ? Offload::Kind::tcp4 : Offload::Kind::tcp6;
      EXPECT_TRUE(refused(good, o));
      if (tcp) {
        o.kind = v4 ? Offload::Kind::tcp6 : Offload::Kind::tcp4;
        EXPECT_TRUE(refused(good, o));
        Bytes header = good;
        header[s.transport() + 12] = 0x40;  // a TCP header of 16 bytes
        EXPECT_TRUE(refused(header, offload));
      }
      Bytes longer = good;
      longer.push_back(0);
      EXPECT_TRUE(refused(longer, offload));
      Bytes shorter = good;
      shorter.pop_back();
      EXPECT_TRUE(refused(shorter, offload));
      for (size_t size = 0; size < s.head(); ++size) {
        EXPECT_TRUE(refused(Bytes(good.begin(), good.begin() + static_cast<long>(size)), offload));
      }
    }
  }
  Shape s;
  Bytes fragment = build(s, Bytes(3'000, 1), true);
  fragment[6] = 0x20;
  EXPECT_TRUE(refused(fragment, offload_of(s, 1'000)));
  Offload beyond;
  beyond.needs_checksum = true;
  beyond.checksum_start = 3'030;
  beyond.checksum_offset = 16;
  EXPECT_TRUE(refused(build(s, Bytes(3'000, 1), true), beyond));
  s.v4 = false;
  s.extension = 96;  // 40 + 96 + 20 is more than an arena head holds
  EXPECT_TRUE(refused(build(s, Bytes(3'000, 1), true), offload_of(s, 1'000)));
}

}  // namespace
}  // namespace hats::packet
