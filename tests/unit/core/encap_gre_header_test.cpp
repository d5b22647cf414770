// The GRE header against one written byte by byte (RFC 2784 2, RFC 2890 2).
#include "core/encap/gre_header.hpp"

#include "tests/support/seeded_rng.hpp"
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using testing::Bytes;
using testing::Gre;

Gre random_gre(test::SeededRng& rng) {
  Gre out;
  out.protocol = static_cast<unsigned>(rng.below(65'536));
  out.checksum = rng.one_in(2);
  if (rng.one_in(2)) out.key = rng.one_in(4) ? 0 : static_cast<uint32_t>(rng.below(UINT64_C(1) << 32));
  if (rng.one_in(2)) out.sequence = static_cast<uint32_t>(rng.below(UINT64_C(1) << 32));
  return out;
}

TEST(GreHeaderTest, WhatIsWrittenIsWhatTheRfcDraws) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  for (int round = 0; round < 2'000; ++round) {
    Gre gre = random_gre(rng);
    Bytes written(kGreMaxHeader, 0xee);
    const size_t size = write_gre_header(written.data(), {.protocol = static_cast<uint16_t>(gre.protocol),
                                                          .has_checksum = gre.checksum,
                                                          .key = gre.key,
                                                          .sequence = gre.sequence});
    written.resize(size);
    Bytes expected = gre.packet({});
    if (gre.checksum) packet::testing::put16(expected, 4, 0);  // work() fills it in
    ASSERT_EQ(written, expected);
    ASSERT_EQ(size, gre_header_size(gre.checksum, gre.key.has_value(), gre.sequence.has_value()));
  }
}

TEST(GreHeaderTest, WhatIsReadIsWhatWasWrittenAndNoByteLess) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  for (int round = 0; round < 2'000; ++round) {
    const Gre gre = random_gre(rng);
    if (gre.protocol == 0x883e) continue;
    const Bytes bytes = gre.packet({});
    const auto header = parse_gre_header(bytes, Family::v4);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->protocol, gre.protocol);
    EXPECT_EQ(header->has_checksum, gre.checksum);
    EXPECT_EQ(header->key, gre.key);
    EXPECT_EQ(header->sequence, gre.sequence);
    EXPECT_EQ(header->size, bytes.size());
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(parse_gre_header(ByteView(bytes).first(size), Family::v4)) << size;
    }
  }
}

TEST(GreHeaderTest, EveryFlagIsKnownForbiddenOrIgnored) {
  Bytes bytes(16, 0);
  bytes[2] = 8;
  for (unsigned flags = 0; flags < 65'536; ++flags) {
    packet::testing::put16(bytes, 0, flags);
    const bool version = (flags & 0x0007) != 0;    // RFC 2784 2.4
    const bool forbidden = (flags & 0x4c00) != 0;  // RFC 2784 2.3: bits 1, 4 and 5; 2 and 3 are RFC 2890's
    const auto header = parse_gre_header(bytes, Family::v4);
    ASSERT_EQ(header.has_value(), !version && !forbidden) << flags;
    if (!header) continue;
    ASSERT_EQ(header->has_checksum, (flags & 0x8000) != 0);
    ASSERT_EQ(header->key.has_value(), (flags & 0x2000) != 0);
    ASSERT_EQ(header->sequence.has_value(), (flags & 0x1000) != 0);
  }
}

TEST(GreHeaderTest, WccpIsIpBehindFourBytesOrNone) {
  Gre gre{.protocol = 0x883e};
  const Bytes version_1 = gre.packet({0x45, 0, 0, 0}), version_2 = gre.packet({0x00, 1, 2, 3, 0x45});
  EXPECT_EQ(parse_gre_header(version_1, Family::v4)->size, 4u);
  EXPECT_EQ(parse_gre_header(version_1, Family::v4)->protocol, 0x0800);
  EXPECT_EQ(parse_gre_header(version_2, Family::v4)->size, 8u);
  EXPECT_EQ(parse_gre_header(version_2, Family::v6)->protocol, 0x86dd);
  EXPECT_FALSE(parse_gre_header(ByteView(version_2).first(7), Family::v4));
  gre.key = 1;  // with flags it is a protocol like any other
  EXPECT_EQ(parse_gre_header(gre.packet({0x00, 1, 2, 3}), Family::v4)->protocol, 0x883e);
}

TEST(GreHeaderTest, TheFlagsOfAQuoteSayWhereTheKeyIs) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  for (int round = 0; round < 500; ++round) {
    const Gre gre = random_gre(rng);
    const Bytes bytes = gre.packet({});
    const auto flags = read_gre_flags(ByteView(bytes).first(4));
    ASSERT_TRUE(flags);
    EXPECT_EQ(flags->protocol, gre.protocol);
    EXPECT_EQ(flags->size, bytes.size());
    EXPECT_EQ(flags->has_key, gre.key.has_value());
    if (gre.key) {
      EXPECT_EQ(packet::testing::get32(bytes, flags->key_at), *gre.key);
    }
  }
  EXPECT_FALSE(read_gre_flags(Bytes{0x20, 0, 8}));
  EXPECT_FALSE(read_gre_flags(Bytes{0x20, 1, 8, 0}));
}

TEST(GreHeaderTest, TheChecksumCoversHeaderAndPayloadOfAnyLength) {
  const Gre gre{.checksum = true, .key = 7};
  for (size_t size = 0; size < 70; ++size) {
    Bytes bytes = gre.packet(Bytes(size, 0x5a));
    EXPECT_TRUE(gre_checksum_good(bytes)) << size;
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] ^= 0x10;
      EXPECT_FALSE(gre_checksum_good(bytes)) << size << ' ' << i;
      bytes[i] ^= 0x10;
    }
  }
}

}  // namespace
}  // namespace hats::encap
