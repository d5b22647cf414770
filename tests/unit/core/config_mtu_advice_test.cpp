// MTU truth (formats.md 7): its tables, re-typed.
#include <gtest/gtest.h>

#include <array>

#include "core/config/mtu_advice.hpp"
#include "tests/unit/core/config_ip_tunnel_support.hpp"
#include "tests/unit/core/config_real_tunnels.hpp"

namespace hats::config {
namespace {

using encap::Kind;

Encapsulation wireguard(Family outer) {
  return {.outer = outer};
}

struct Fields {
  bool key = false, checksum = false, sequence = false, limit = false;
};

encap::TunnelConfig tunnel(Kind kind, Family outer = Family::v4, Fields fields = {}) {
  encap::TunnelConfig out;
  out.kind = kind;
  out.remote = *IpAddress::parse(outer == Family::v6 ? "2001:db8::2" : "192.0.2.2");
  if (fields.key) out.out_key = 7;
  out.out_checksum = fields.checksum;
  out.out_sequence = fields.sequence;
  if (!fields.limit) out.encapsulation_limit.reset();
  return out;
}

Encapsulation of(Kind kind, Family outer = Family::v4, Fields fields = {}) {
  return encapsulation_of(tunnel(kind, outer, fields));
}

/// The sum of the numbers that begin each part of "20 IPv4 + 4 GRE".
uint32_t sum_of(const std::string& parts) {
  uint32_t sum = 0;
  for (size_t at = 0; at != std::string::npos; at = parts.find(" + ", at)) {
    if (at != 0) at += 3;
    sum += static_cast<uint32_t>(std::stoul(parts.substr(at)));
  }
  return sum;
}

TEST(MtuAdviceTest, OverheadAndBestMtuAreThoseOfTheTable) {
  const struct {
    Encapsulation tunnel;
    uint32_t overhead, at_1500;
  } rows[] = {
      {wireguard(Family::v4), 60, 1440},
      {wireguard(Family::v6), 80, 1420},
      {of(Kind::gre), 24, 1476},
      {of(Kind::gre, Family::v4, {.key = true}), 28, 1472},
      {of(Kind::gre, Family::v4, {.key = true, .checksum = true}), 32, 1468},
      {of(Kind::gre, Family::v4, {.key = true, .sequence = true}), 32, 1468},
      {of(Kind::gre, Family::v4, {.key = true, .checksum = true, .sequence = true}), 36, 1464},
      {of(Kind::sit), 20, 1480},
      {of(Kind::ipip), 20, 1480},
      {of(Kind::gre, Family::v6), 44, 1456},
      {of(Kind::gre, Family::v6, {.limit = true}), 52, 1448},
      {of(Kind::gre, Family::v6, {.key = true, .limit = true}), 56, 1444},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(overhead(row.tunnel), row.overhead) << overhead_parts(row.tunnel);
    EXPECT_EQ(sum_of(overhead_parts(row.tunnel)), row.overhead) << overhead_parts(row.tunnel);
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
  EXPECT_EQ(mtu_warning(of(Kind::gre, Family::v6), 1472, 1500),
            "mtu 1472 needs 1516-byte packets on a 1500-byte path; 1456 avoids fragmentation");
  EXPECT_EQ(
      mtu_warning(wireguard(Family::v6), 1280, 1280),
      "mtu 1280 needs 1360-byte packets on a 1280-byte path; 1200 avoids fragmentation, but is too small for "
      "IPv6 in the tunnel");
  EXPECT_EQ(mtu_warning(wireguard(Family::v4), 1280, 100),
            "mtu 1280 needs 1340-byte packets on a 100-byte path; no MTU avoids fragmentation there");
}

TEST(MtuAdviceTest, TheGuideIsRightForSitAndForKeyedGre) {
  const uint32_t sit = guide_figure(of(Kind::sit))->mtu;
  EXPECT_EQ(sit, 1480u);
  EXPECT_EQ(best_mtu(of(Kind::sit), 1500), sit);
  EXPECT_EQ(guide_figure(of(Kind::gre))->mtu, 1472u);
  EXPECT_EQ(best_mtu(of(Kind::gre, Family::v4, {.key = true}), 1500), 1472u);
  EXPECT_EQ(guide_figure(wireguard(Family::v4))->mtu, 1468u);
  EXPECT_EQ(guide_figure(wireguard(Family::v4))->overhead, 32u);
  EXPECT_FALSE(guide_figure(of(Kind::ipip)));
}

TEST(MtuAdviceTest, EveryTunnelGetsTheMtuOfTheKernelsDevice) {
  for (const test::RealTunnel& real : test::kRealTunnels) {
    if (real.mtu == 0) continue;  // made on another underlay
    EXPECT_EQ(default_mtu(test::added("t1 " + std::string(real.words)), std::nullopt), real.mtu)
        << real.words;
    EXPECT_EQ(default_mtu(test::added("t1 " + std::string(real.words)), 1500), real.mtu) << real.words;
  }
  // as it was on links of these sizes
  const struct {
    encap::TunnelConfig tunnel;
    uint32_t link, mtu;
  } rows[] = {
      {tunnel(Kind::gre), 1300, 1276},    {tunnel(Kind::gre), 1290, 1266},  {tunnel(Kind::gre), 9000, 8976},
      {tunnel(Kind::sit), 1300, 1280},    {tunnel(Kind::sit), 1290, 1280},  {tunnel(Kind::sit), 9000, 8980},
      {tunnel(Kind::ipip), 1290, 1270},   {tunnel(Kind::ipip), 9000, 8980}, {tunnel(Kind::gre), 65536, 65511},
      {tunnel(Kind::ipip), 65536, 65515},
  };
  for (const auto& row : rows) EXPECT_EQ(default_mtu(row.tunnel, row.link), row.mtu) << row.link;
  for (const uint32_t link : {1300, 1320, 1332})
    EXPECT_EQ(default_mtu(tunnel(Kind::gre, Family::v6, {.limit = true}), link), 1280u);
  EXPECT_EQ(default_mtu(tunnel(Kind::gre, Family::v6, {.limit = true}), 1333), 1281u);
  EXPECT_EQ(default_mtu(tunnel(Kind::gre), 40), 68u);
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
