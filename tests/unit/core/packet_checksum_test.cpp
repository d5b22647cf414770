#include "core/packet/checksum.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;

TEST(ChecksumTest, EveryLengthAndAlignmentEqualsTheBytewiseSum) {
  std::mt19937 rng(1);
  const Bytes bytes = testing::random_bytes(rng, 3'000);
  for (size_t from = 0; from < 3; ++from) {
    for (size_t size = 0; size + from <= bytes.size(); ++size) {
      ASSERT_EQ(fold(sum_of(ByteView(bytes).subspan(from, size))), testing::naive_sum(&bytes[from], size))
          << from << " " << size;
    }
  }
}

TEST(ChecksumTest, AllOnesDoNotOverflow) {
  const Bytes bytes(65'535, 0xff);
  for (const size_t size : {1, 2, 7, 127, 128, 1'419, 1'420, 65'534, 65'535}) {
    EXPECT_EQ(fold(sum_of(ByteView(bytes).first(size))), testing::naive_sum(bytes.data(), size)) << size;
  }
  Sum sum;
  unsigned naive = 0;
  for (int i = 0; i < 100; ++i) {
    sum += sum_of(ByteView(bytes).first(65'534));
    naive = testing::naive_sum(bytes.data(), 65'534, naive);
  }
  EXPECT_EQ(fold(sum), naive);
}

TEST(ChecksumTest, TheExampleOfRfc1071) {
  const Bytes bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(fold(sum_of(bytes)), 0xddf2);
  EXPECT_EQ(finish(sum_of(bytes)), 0x220d);
}

TEST(ChecksumTest, NumbersCountAsTheyLieInThePacket) {
  std::mt19937 rng(2);
  for (int i = 0; i < 1'000; ++i) {
    Bytes bytes(4);
    const auto number = static_cast<uint32_t>(rng());
    testing::put32(bytes, 0, number);
    EXPECT_EQ(fold(sum_of_number(number)), testing::naive_sum(bytes.data(), 4));
  }
}

TEST(ChecksumTest, ThePseudoHeaderIsThatOfTheRfcs) {
  for (const bool v4 : {true, false}) {
    for (const bool tcp : {true, false}) {
      testing::Shape s;
      s.v4 = v4;
      s.tcp = tcp;
      const Bytes p = build(s, Bytes(100, 9));
      const ByteView addresses = v4 ? ByteView(p).subspan(12, 8) : ByteView(p).subspan(8, 32);
      const auto length = static_cast<uint32_t>(p.size() - s.transport());
      EXPECT_EQ(fold(pseudo_header_sum(addresses, tcp ? 6 : 17, length)), testing::pseudo_sum(p, s));
    }
  }
}

// RFC 1624 4: the older formula fails at these; and any change of any word.
TEST(ChecksumTest, AnIncrementalUpdateEqualsANewSum) {
  EXPECT_EQ(update_checksum(0xdd2f, 0x5555, 0x3285), 0x0000);
  std::mt19937 rng(3);
  for (int i = 0; i < 20'000; ++i) {
    Bytes header = testing::random_bytes(rng, 20);
    testing::put16(header, 10, 0);
    testing::put16(header, 10, testing::naive_sum(header.data(), 20) ^ 0xffff);
    const size_t at = rng() % 5 * 2;
    const unsigned before = testing::get16(header, at);
    const unsigned after = rng() % 4 == 0 ? (rng() % 2 ? 0xffff : 0) : rng() & 0xffff;
    testing::put16(header, at, after);
    const unsigned updated = update_checksum(static_cast<uint16_t>(testing::get16(header, 10)),
                                             static_cast<uint16_t>(before), static_cast<uint16_t>(after));
    testing::put16(header, 10, updated);
    EXPECT_EQ(testing::naive_sum(header.data(), 20), 0xffffu);
  }
}

}  // namespace
}  // namespace hats::packet
