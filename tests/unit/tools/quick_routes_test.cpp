// HostSetup's routes and rules, alone and beside stock wg-quick over wireguard-go on the same file.
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tools/quick_world.hpp"
#include "tools/hatsd-user/quick/command.hpp"

namespace hats::app::testing {
namespace {

class HostRoutesTest : public QuickWorld {
 protected:
  std::string up(HostSetup& host, const std::string& conf) {
    const auto done = host.up(device);
    return done ? "" : done.error().text(conf);
  }
  void down(HostSetup& host) {
    host.before_delete(&device);
    delete_device();
    host.after_delete();
  }
};

TEST_F(HostRoutesTest, ADefaultRouteTakesTheFirstFreeTableAndMarksTheDevice) {
  sh("ip -6 route add 2001:db8:1::/48 dev up0 table 51820");
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\n", peer("0.0.0.0/0"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  EXPECT_EQ(device.fwmark, 51821U);
  EXPECT_EQ(sh("ip rule"),
            "0:\tfrom all lookup local\n32764:\tfrom all lookup main suppress_prefixlength 0\n"
            "32765:\tnot from all fwmark 0xca6d lookup 51821\n32766:\tfrom all lookup main\n"
            "32767:\tfrom all lookup default\n");
  EXPECT_EQ(sh("ip route get 203.0.113.9").find("203.0.113.9 dev wgq table 51821"), 0U);
  EXPECT_EQ(sh("ip route get 203.0.113.9 mark 51821").find("203.0.113.9 via 192.0.2.254 dev up0"), 0U);
  down(host);
}

TEST_F(HostRoutesTest, AnExplicitMarkNamesTheTable) {
  make_device();
  const auto conf = file("Address = fd09::1/64\nFwMark = 0x77\n", peer("::/0"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  EXPECT_EQ(device.calls, std::vector<std::string>{"configure"});
  EXPECT_EQ(sh("ip -6 route show table 119").find("default dev wgq"), 0U);
  EXPECT_EQ(sh("ip rule | grep -c ."), "3\n") << "IPv4 is not touched";
  down(host);
}

TEST_F(HostRoutesTest, TableOffMakesNeitherRouteNorRuleNorMarkNorFilter) {
  make_device();
  const std::string before =
      sh("ip rule; ip -6 rule; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark");
  const auto conf = file("Address = 10.9.0.1/24\nTable = off\n", peer("0.0.0.0/0, ::/0, 10.50.0.0/16"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  EXPECT_EQ(sh("ip rule; ip -6 rule; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark"),
            before);
  EXPECT_EQ(sh("ip route show dev wgq").find("10.9.0.0/24"), 0U) << "the connected route stays";
  EXPECT_EQ(sh("ip route show dev wgq | wc -l"), "1\n");
  EXPECT_EQ(device.fwmark, 0U);
}

TEST_F(HostRoutesTest, OfTwoDefaultRoutesTheFirstToGoLeavesTheOtherWhole) {
  const std::string before = state();
  make_device();
  make_device("wgr");
  const auto conf = file("Address = 10.9.0.1/24\n", peer("0.0.0.0/0"));
  auto first = setup(conf);
  ASSERT_EQ(up(first, conf), "");
  MemoryDevice other;
  HostSetup second(parse(conf), "wgr", conf, options());
  ASSERT_TRUE(second.up(other));
  EXPECT_EQ(other.fwmark, 51821U);
  down(first);
  EXPECT_EQ(sh("ip rule | grep -c -e 'lookup 51821' -e suppress_prefixlength"), "2\n");
  EXPECT_EQ(sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark"), "1\n");
  EXPECT_EQ(sh("nft list tables"), "table ip hatsd-user-wgr\n");
  second.before_delete(&other);
  delete_device("wgr");
  second.after_delete();
  EXPECT_EQ(state(), before);
}

TEST_F(HostRoutesTest, AReadOnlySysctlIsAWarning) {
  sh("mount --bind -o ro /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\n", peer("0.0.0.0/0"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("src_valid_mark"), std::string::npos);
  down(host);
  EXPECT_EQ(warnings.size(), 1U);
}

TEST_F(HostRoutesTest, WithoutNftIptablesDoesIt) {
  if (!find_program("iptables-restore")) GTEST_SKIP() << "SKIPPED: no iptables";
  program("nft", "echo 'Operation not supported' >&2; exit 1\n");
  const std::string before = sh("iptables-save | grep -v '^#'; ip6tables-save | grep -v '^#'", false);
  make_device();
  const auto conf = file("Address = 10.9.0.1/24, fd09::1/64\n", peer("0.0.0.0/0, ::/0"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  const auto rules = sh("iptables-save; ip6tables-save");
  EXPECT_NE(rules.find("-d 10.9.0.1/32 ! -i wgq"), std::string::npos) << rules;
  EXPECT_NE(rules.find("-d fd09::1/128 ! -i wgq"), std::string::npos) << rules;
  down(host);
  EXPECT_EQ(sh("iptables-save | grep -e '^-A'; ip6tables-save | grep -e '^-A'", false), "") << before;
}

TEST_F(HostRoutesTest, WithoutAnyFilterToolTheDefaultRouteIsRefusedAndUndone) {
  for (const char* tool : {"nft", "iptables-restore", "ip6tables-restore"}) program(tool, "exit 9\n");
  const auto conf = file("Address = 10.9.0.1/24\n", peer("0.0.0.0/0"));
  const std::string before = sh("ip rule");
  make_device();
  auto host = setup(conf);
  const auto error = up(host, conf);
  EXPECT_NE(error.find("needs a packet filter"), std::string::npos) << error;
  EXPECT_EQ(sh("ip rule"), before);
}

TEST_F(HostRoutesTest, TheFilterDropsPacketsToTheTunnelsAddressFromElsewhere) {
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\n", peer("0.0.0.0/0"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  const auto rules = sh("nft list ruleset");
  EXPECT_NE(rules.find("iifname != \"wgq\" ip daddr 10.9.0.1 fib saddr type != local drop"),
            std::string::npos)
      << rules;
  EXPECT_NE(rules.find("ct mark set meta mark"), std::string::npos) << rules;
  EXPECT_NE(rules.find("meta mark set ct mark"), std::string::npos) << rules;
  down(host);
  EXPECT_EQ(sh("nft list ruleset"), "");
}

TEST_F(HostRoutesTest, TensOfThousandsOfAllowedIpsAreRouted) {
  std::string allowed = "10.0.0.0/32";
  for (int i = 1; i < 20'000; ++i) {
    allowed += ", 10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) + "." +
               std::to_string(i % 256) + "/32";
  }
  make_device();
  const auto conf = file("", peer(allowed));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  EXPECT_EQ(sh("ip route show dev wgq | wc -l"), "20000\n");
}

// ---- reload ----

TEST_F(HostRoutesTest, ReloadAppliesTheDifferenceAndTouchesNothingElse) {
  make_device();
  auto conf = file("Address = 10.9.0.1/24, 10.8.0.1/24\n", peer("10.50.0.0/16, 10.51.0.0/16"));
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  sh("(exec ip -o monitor address route link) >" + path("events") + " 2>&1 & echo $! >" + path("pid") +
     "; sleep 0.3");
  conf = file("Address = 10.9.0.1/24, 10.7.0.1/24\nMTU = 1300\nPostDown = echo new >" + path("down") + "\n",
              peer("10.50.0.0/16, 10.52.0.0/16"));
  const auto done = host.reload(parse(conf), device);
  ASSERT_TRUE(done) << done.error().text(conf);
  sh("sleep 0.3; kill $(cat " + path("pid") + ")");
  const auto events = read(path("events"));
  for (const char* untouched : {"10.9.0.1", "10.50.0.0"}) {
    EXPECT_EQ(events.find(untouched), std::string::npos) << events;
  }
  EXPECT_EQ(sh("ip -br -4 addr show dev wgq | tr -s ' ' | cut -d' ' -f3-"), "10.9.0.1/24 10.7.0.1/24 \n");
  EXPECT_EQ(sh("ip route show dev wgq | awk '{print $1}' | tr '\\n' ' '"),
            "10.7.0.0/24 10.9.0.0/24 10.50.0.0/16 10.52.0.0/16 ");
  EXPECT_EQ(sh("cat /sys/class/net/wgq/mtu"), "1300\n");
  down(host);
  EXPECT_EQ(read(path("down")), "new\n");
}

TEST_F(HostRoutesTest, ReloadForgetsWarningsThatAreNoLongerTrueAndKeepsTheOthers) {
  make_device();
  const auto conf_with = [&](const std::string& lines) {
    return file("Table = off\n" + lines, peer("10.1.0.0/16", "192.0.2.9:1"));
  };
  const auto told = [&](size_t i) { return i < device.standing.size() ? device.standing[i] : ""; };
  auto conf = conf_with("MTU = 1468\nDNS = example.org\n");
  auto host = setup(conf);
  ASSERT_EQ(up(host, conf), "");
  ASSERT_EQ(device.standing.size(), 2U);
  EXPECT_TRUE(told(0).contains(conf + ":4: MTU: mtu 1468")) << told(0);
  EXPECT_TRUE(told(1).contains("search domains without a server")) << told(1);
  conf = conf_with("# longer\nMTU = 1468\nDNS = example.org\n");
  ASSERT_TRUE(host.reload(parse(conf), device));
  ASSERT_EQ(device.standing.size(), 2U) << "no twins";
  EXPECT_TRUE(told(0).contains("search domains without a server")) << told(0);
  EXPECT_TRUE(told(1).contains(conf + ":5: MTU: mtu 1468")) << told(1);
  conf = conf_with("MTU = 1450\n");
  ASSERT_TRUE(host.reload(parse(conf), device));
  ASSERT_EQ(device.standing.size(), 1U);
  EXPECT_TRUE(told(0).contains(conf + ":4: MTU: mtu 1450")) << told(0);
  sh("ip link set wgq mtu 1400");
  ASSERT_TRUE(host.reload(parse(conf), device));
  EXPECT_EQ(device.standing.size(), 0U) << "the operator has given the link an MTU that fits";
  down(host);
}

TEST_F(HostRoutesTest, ReloadBetweenDefaultRouteTableAndOffLeavesNoTrace) {
  const std::string before = state();
  make_device();
  const auto off = file("Table = off\n", peer("0.0.0.0/0, ::/0"));
  auto host = setup(off);
  ASSERT_EQ(up(host, off), "");
  for (const char* lines : {"", "Table = 77\n", "Table = off\n", "FwMark = 99\n", ""}) {
    SCOPED_TRACE(lines);
    const auto conf = file(lines, peer("0.0.0.0/0, ::/0"));
    const auto done = host.reload(parse(conf), device);
    ASSERT_TRUE(done) << done.error().text(conf);
    const std::string text = lines;
    EXPECT_EQ(sh("ip rule | grep -c fwmark", false), text.starts_with("Table") ? "0\n" : "1\n");
    EXPECT_EQ(sh("ip -6 rule | grep -c suppress", false), text.starts_with("Table") ? "0\n" : "1\n");
    const std::string table = text == "FwMark = 99\n" ? "99" : text == "Table = 77\n" ? "77" : "51820";
    EXPECT_EQ(sh("ip route show table " + table + " | grep -c 'default dev wgq'", false),
              text == "Table = off\n" ? "0\n" : "1\n");
  }
  down(host);
  EXPECT_EQ(state(), before);
}

// ---- Beside stock wg-quick ----

class BesideWgQuickTest : public HostRoutesTest {
 protected:
  void SetUp() override {
    HostRoutesTest::SetUp();
    if (IsSkipped()) return;
    for (const char* tool : {"wg-quick", "wireguard-go", "wg", "nft"}) {
      if (!find_program(tool)) GTEST_SKIP() << "SKIPPED: no " << tool;
    }
    if (std::filesystem::exists("/sys/module/wireguard"))
      GTEST_SKIP() << "SKIPPED: the kernel has the wireguard module";
  }

  /// What both must agree on; names of ours are made theirs, and values of the moment are left out.
  std::string picture(const char* when) {
    // An IPv6 address is tentative for a moment, even without duplicate address detection.
    sh("for i in $(seq 100); do ip -6 addr show dev wgq tentative 2>/dev/null | grep -q . || break; sleep "
       "0.05; done",
       false);
    return sh("ip -o addr show dev wgq; cat /sys/class/net/wgq/mtu; ip route show table all; ip -6 route "
              "show table all;"
              " ip rule; ip -6 rule; nft list ruleset ip; nft list ruleset ip6; cat "
              "/proc/sys/net/ipv4/conf/all/src_valid_mark",
              false) +
           when;
  }
  static std::string normal(const std::string& text) {
    Command sed{
        .words = {"sed", "-e", "s/hatsd-user-/wg-quick-/", "-e", "s/^[0-9]*: wgq/wgq/", "-e", "/ff00::/d"},
        .input = text,
        .capture = true,
        .interrupt_fd = -1};
    const auto done = run_command(sed);
    // Routes are compared as a set: the order within a table is the order of creation for equal prefixes.
    return done ? done->output : "";
  }

  void compare(const std::string& lines, const std::string& peers) {
    const auto conf = file(lines, peers);
    const auto start = normal(picture("start"));
    sh("WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up " + conf);
    const auto theirs = normal(picture("up"));
    const auto their_mark = sh("wg show wgq fwmark");
    sh("wg-quick down " + conf);
    sh("while ip link show dev wgq; do sleep 0.05; done");
    sh("echo 0 >/proc/sys/net/ipv4/conf/all/src_valid_mark");
    ASSERT_EQ(normal(picture("start")), start);

    make_device();
    auto host = setup(conf);
    ASSERT_EQ(up(host, conf), "");
    EXPECT_EQ(normal(picture("up")), theirs);
    EXPECT_EQ(device.fwmark == 0 ? 0 : device.fwmark,
              their_mark == "off\n" ? 0 : std::stoul(their_mark, nullptr, 0));
    down(host);
    EXPECT_EQ(normal(picture("start")), start);
    device.fwmark = 0;
  }
};

TEST_F(BesideWgQuickTest, ADefaultRouteOfBothFamiliesIsMadeAlike) {
  compare("Address = 10.9.0.1/24, fd09::1/64\n", peer("0.0.0.0/0, ::/0", "192.0.2.9:51820"));
}

TEST_F(BesideWgQuickTest, ADefaultRouteWithMoreSpecificOnesAndAMarkIsMadeAlike) {
  compare("Address = 10.9.0.1/32\nFwMark = 0x1234\n",
          peer("0.0.0.0/0, 10.50.0.0/16", "192.0.2.9:51820", 'A') +
              peer("10.50.1.0/24, fd50::/32", "[2001:db8::9]:1", 'B'));
}

TEST_F(BesideWgQuickTest, TableOffIsMadeAlike) {
  compare("Address = 10.9.0.1/24, fe80::9/64\nTable = off\n", peer("0.0.0.0/0, ::/0", "192.0.2.9:51820"));
}

TEST_F(BesideWgQuickTest, ATableOfItsOwnIsMadeAlike) {
  compare("Address = 10.9.0.1/24\nTable = 1234\n", peer("0.0.0.0/0, ::/0, 10.50.0.0/16, 10.9.0.0/24"));
  compare("Address = 10.9.0.1/24\nTable = main\n", peer("10.50.0.0/16, fd50::/32"));
}

TEST_F(BesideWgQuickTest, ManyAllowedIpsCoveredOnesIncludedAreMadeAlike) {
  std::string allowed = "10.9.0.7/32, fd09::7, 10.9.0.0/16";
  for (int i = 0; i < 120; ++i) {
    allowed += ", 10." + std::to_string(100 + i % 40) + "." + std::to_string(i) + ".0/" +
               std::to_string(17 + i % 16);
    allowed +=
        ", fd" + std::to_string(10 + i % 80) + ":" + std::to_string(i) + "::/" + std::to_string(33 + i % 96);
  }
  compare("Address = 10.9.0.1/24, fd09::1/64\n", peer(allowed, "192.0.2.9:51820"));
}

TEST_F(BesideWgQuickTest, TheGuidesFileIsMadeAlike) {
  compare("Address    = 10.9.0.1/30\nListenPort = 51871\n# routing daemon\nTable = off\n",
          peer("0.0.0.0/0, ::/0", "192.0.2.9:51820") + "PersistentKeepalive = 25\n");
}

TEST_F(BesideWgQuickTest, AnMtuOfTheFileAndOfTheRouteAreMadeAlike) {
  compare("Address = 10.9.0.1/24\nMTU = 1468\n", peer("10.50.0.0/16", "192.0.2.9:51820"));
  sh("ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1400");
  compare("Address = 10.9.0.1/24\n", peer("10.50.0.0/16", "198.51.100.9:51820"));
  compare("Address = 10.9.0.1/24\n", peer("10.50.0.0/16"));
}

}  // namespace
}  // namespace hats::app::testing
