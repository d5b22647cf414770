#include "core/packet/ecn.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

constexpr unsigned kNot = 0, kEct1 = 1, kEct0 = 2, kCe = 3;

struct Row {
  unsigned inner, outer, result;
  bool drop, suspicious;
};
// RFC 6040 4.2, figure 4.
constexpr Row kTable[] = {
    {kNot, kNot, kNot, false, false},    {kNot, kEct0, kNot, false, true},
    {kNot, kEct1, kNot, false, true},    {kNot, kCe, kNot, true, true},
    {kEct0, kNot, kEct0, false, false},  {kEct0, kEct0, kEct0, false, false},
    {kEct0, kEct1, kEct1, false, false}, {kEct0, kCe, kCe, false, false},
    {kEct1, kNot, kEct1, false, false},  {kEct1, kEct0, kEct1, false, false},
    {kEct1, kEct1, kEct1, false, false}, {kEct1, kCe, kCe, false, false},
    {kCe, kNot, kCe, false, false},      {kCe, kEct0, kCe, false, false},
    {kCe, kEct1, kCe, false, true},      {kCe, kCe, kCe, false, false},
};

TEST(EcnTest, DecapsulationFollowsTheTableOfRfc6040) {
  for (const Row& row : kTable) {
    const EcnVerdict verdict = decapsulate_ecn(static_cast<Ecn>(row.inner), static_cast<Ecn>(row.outer));
    EXPECT_EQ(static_cast<unsigned>(verdict.ecn), row.result) << row.inner << " " << row.outer;
    EXPECT_EQ(verdict.drop, row.drop) << row.inner << " " << row.outer;
    EXPECT_EQ(verdict.suspicious, row.suspicious) << row.inner << " " << row.outer;
  }
}

TEST(EcnTest, DecapsulationChangesNothingButTheFieldAndMendsTheHeaderChecksum) {
  std::mt19937 rng(1);
  for (const bool v4 : {true, false}) {
    for (const Row& row : kTable) {
      for (unsigned dscp = 0; dscp < 64; ++dscp) {
        Shape s = testing::random_shape(rng);
        s.v4 = v4;
        s.extension = s.ip_options = 0;
        s.tos = static_cast<uint8_t>(dscp << 2 | row.inner);
        Bytes packet = build(s, Bytes(8, 1));
        const auto verdict = apply_outer_ecn(packet.data(), static_cast<uint8_t>(rng() << 2 | row.outer));
        EXPECT_EQ(verdict.drop, row.drop);
        s.tos = static_cast<uint8_t>(dscp << 2 | row.result);
        EXPECT_TRUE(packet == build(s, Bytes(8, 1))) << v4 << " " << row.inner << " " << row.outer;
      }
    }
  }
}

TEST(EcnTest, EncapsulationCopiesTheFieldCeToo) {
  for (unsigned inner = 0; inner < 256; ++inner) {
    EXPECT_EQ(encapsulate_ecn(0, static_cast<uint8_t>(inner)), inner & 3);
    EXPECT_EQ(encapsulate_ecn(0x88, static_cast<uint8_t>(inner)), 0x88 | (inner & 3));
    EXPECT_EQ(encapsulate_ecn(0x8b, static_cast<uint8_t>(inner)), 0x88 | (inner & 3));
  }
}

}  // namespace
}  // namespace hats::packet
