// What `check` says (formats.md 7: the overheads and MTUs of its table, declared again here).
#include <gtest/gtest.h>

#include "core/config/explain.hpp"

namespace hats::config {
namespace {

TEST(ExplainTest, OverheadsAreThoseOfTheTable) {
  EXPECT_EQ(wireguard_overhead(Family::v4), 60u);
  EXPECT_EQ(wireguard_overhead(Family::v6), 80u);
  EXPECT_EQ(best_mtu(1500, Family::v4), 1440u);
  EXPECT_EQ(best_mtu(1500, Family::v6), 1420u);
  EXPECT_EQ(best_mtu(1492, Family::v6), 1412u);
}

TEST(ExplainTest, TheGuidesMtuIsWarnedOfWithBothNumbersAndTheBetterValue) {
  EXPECT_EQ(mtu_warning(1468, 1500, Family::v4),
            "mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids fragmentation");
  EXPECT_EQ(mtu_warning(1440, 1500, Family::v4), "");
  EXPECT_NE(mtu_warning(1440, 1500, Family::v6).find("1420 avoids"), std::string::npos);
}

TEST(ExplainTest, AFileIsExplainedWithoutItsSecrets) {
  const std::string secret = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
  const auto config = parse_wg_quick(
      "[Interface]\nAddress = 10.0.0.1/30\nPrivateKey = " + secret +
      "\nMTU = 1468\nTable = off\nPostUp = ip route add 10.1.0.0/16 dev %i\n[Peer]\n"
      "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = 0.0.0.0/0, ::/0\n"
      "Endpoint = peer.example:51821\nPersistentKeepalive = 25\n");
  ASSERT_TRUE(config);
  const std::string text = explain(*config, "hats0", {{{*IpAddress::parse("192.0.2.2"), 51821, 0}, 1500}});
  for (const char* expected :
       {"interface hats0: WireGuard\n", "10.0.0.1/30", "Table = off", "line 6: ip route add",
        "peer.example:51821", "resolved in the background", "every 25 s", "0.0.0.0/0, ::/0",
        "1440 avoids fragmentation", "any free one"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
  }
  EXPECT_EQ(text.find(secret), std::string::npos);
}

}  // namespace
}  // namespace hats::config
