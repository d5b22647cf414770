// MTU truth (formats.md 7): its tables, re-typed.
#include <gtest/gtest.h>

#include <array>

#include "core/config/mtu_advice.hpp"

namespace hats::config {
namespace {

using Kind = Encapsulation::Kind;

Encapsulation wireguard(Family outer) {
  return {.kind = Kind::wireguard, .outer = outer};
}

TEST(MtuAdviceTest, OverheadAndBestMtuAreThoseOfTheTable) {
  const struct {
    Encapsulation tunnel;
    uint32_t overhead, at_1500;
  } rows[] = {
      {wireguard(Family::v4), 60, 1440},
      {wireguard(Family::v6), 80, 1420},
      {{.kind = Kind::gre}, 24, 1476},
      {{.kind = Kind::gre, .key = true}, 28, 1472},
      {{.kind = Kind::gre, .key = true, .checksum = true}, 32, 1468},
      {{.kind = Kind::gre, .key = true, .sequence = true}, 32, 1468},
      {{.kind = Kind::gre, .key = true, .checksum = true, .sequence = true}, 36, 1464},
      {{.kind = Kind::sit}, 20, 1480},
      {{.kind = Kind::gre, .outer = Family::v6}, 44, 1456},
      {{.kind = Kind::gre, .outer = Family::v6, .encapsulation_limit = true}, 52, 1448},
      {{.kind = Kind::gre, .outer = Family::v6, .key = true, .encapsulation_limit = true}, 56, 1444},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(overhead(row.tunnel), row.overhead) << overhead_parts(row.tunnel);
    EXPECT_EQ(best_mtu(row.tunnel, 1500), row.at_1500) << overhead_parts(row.tunnel);
    EXPECT_EQ(best_mtu(row.tunnel, 1492), row.at_1500 - 8) << overhead_parts(row.tunnel);  // PPPoE
    EXPECT_FALSE(mtu_warning(row.tunnel, row.at_1500, 1500));
    EXPECT_TRUE(mtu_warning(row.tunnel, row.at_1500 + 1, 1500));
  }
}

TEST(MtuAdviceTest, OneLineGivesBothNumbersAndTheBetterValue) {
  EXPECT_EQ(mtu_warning(wireguard(Family::v4), 1468, 1500),
            "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation");
  EXPECT_EQ(mtu_warning(wireguard(Family::v6), 1468, 1500),
            "mtu 1468 needs 1548-byte packets on a 1500-byte path; 1420 avoids fragmentation");
  EXPECT_EQ(mtu_warning({.kind = Kind::gre, .outer = Family::v6}, 1472, 1500),
            "mtu 1472 needs 1516-byte packets on a 1500-byte path; 1456 avoids fragmentation");
  EXPECT_EQ(
      mtu_warning(wireguard(Family::v6), 1280, 1280),
      "mtu 1280 needs 1360-byte packets on a 1280-byte path; 1200 avoids fragmentation, but is too small for "
      "IPv6 in the tunnel");
  EXPECT_EQ(mtu_warning(wireguard(Family::v4), 1280, 100),
            "mtu 1280 needs 1340-byte packets on a 100-byte path; no MTU avoids fragmentation there");
}

TEST(MtuAdviceTest, TheGuideIsRightForSitAndForKeyedGre) {
  const uint32_t sit = guide_figure(Kind::sit).mtu;
  EXPECT_EQ(sit, 1480u);
  EXPECT_EQ(best_mtu({.kind = Kind::sit}, 1500), sit);
  EXPECT_EQ(guide_figure(Kind::gre).mtu, 1472u);
  EXPECT_EQ(best_mtu({.kind = Kind::gre, .key = true}, 1500), 1472u);
  EXPECT_EQ(guide_figure(Kind::wireguard).mtu, 1468u);
  EXPECT_EQ(guide_figure(Kind::wireguard).overhead, 32u);
}

TEST(MtuAdviceTest, WithoutAnMtuWgQuickTakesTheSmallestPathLessEighty) {
  EXPECT_EQ(wg_quick_default_mtu(std::array<uint32_t, 1>{1500}, std::nullopt), 1420u);
  EXPECT_EQ(wg_quick_default_mtu(std::array<uint32_t, 3>{9000, 1492, 1500}, 1400), 1412u);
  EXPECT_EQ(wg_quick_default_mtu({}, 1400), 1320u);
  EXPECT_EQ(wg_quick_default_mtu({}, std::nullopt), 1420u);
  EXPECT_EQ(wg_quick_default_mtu(std::array<uint32_t, 1>{100}, std::nullopt), 68u);
}

}  // namespace
}  // namespace hats::config
