// The text of `hatsd-user check` for GRE, SIT and IPIP.
#include <gtest/gtest.h>

#include "core/config/explain.hpp"
#include "core/config/netdev.hpp"
#include "core/config/netplan.hpp"
#include "tests/unit/core/config_ip_tunnel_support.hpp"

namespace hats::config {
namespace {

using namespace test;

std::string text_of(const InterfaceConfig& config, std::optional<uint32_t> path_mtu = std::nullopt,
                    const std::string& file = {}) {
  std::string out;
  const ExplainFacts facts{.interface = "hats0", .file = file, .paths = {{std::nullopt, path_mtu}}};
  for (const std::string& line : explain(config, facts)) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    out += line + '\n';
  }
  return out;
}

InterfaceConfig of_words(const std::string& words) {
  auto config = interface_config(accept_words("add hats0 mode " + words));
  EXPECT_TRUE(config) << words;
  return config ? std::move(*config) : InterfaceConfig{};
}

InterfaceConfig of_netdev(const std::string& kind, const std::string& rest, const std::string& network = {}) {
  NetworkdSources sources;
  sources.netdev.push_back(
      {"10-hats0.netdev", "[NetDev]\nName = hats0\nKind = " + kind + "\n\n[Tunnel]\n" + rest});
  if (!network.empty())
    sources.network.push_back({"10-hats0.network", "[Match]\nName = hats0\n\n" + network});
  auto config = parse_networkd(sources);
  EXPECT_TRUE(config) << (config ? "" : config.error().text("F"));
  return config ? std::move(*config) : InterfaceConfig{};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kEnds = " local 192.0.2.1 remote 192.0.2.2";

TEST(ExplainTunnelTest, ALocalAddressThatIsNotHereIsTold) {
  const InterfaceConfig config = of_words("gre" + kEnds + " ttl 255");
  ExplainFacts facts{.interface = "hats0"};
  const auto told = [&] {
    std::string out;
    for (const std::string& line : explain(config, facts)) out += line + '\n';
    return has(out, "the local address 192.0.2.1 is not on this host now");
  };
  EXPECT_FALSE(told());
  facts.local_is_absent = true;
  EXPECT_TRUE(told());
}

TEST(ExplainTunnelTest, TheGuidesGreFileIsToldInFull) {
  const InterfaceConfig config = of_netdev("gre", "Local  = 192.0.2.1\nRemote = 192.0.2.2\nTTL    = 255\n",
                                           "[Network]\nAddress = 10.0.0.1/30\n");
  EXPECT_EQ(
      text_of(config, 1500, "10-hats0.netdev"),
      "interface hats0 (GRE over IPv4), from 10-hats0.netdev\n"
      "  on the wire     IP protocol 47, carries IPv4 and IPv6\n"
      "  local           192.0.2.1\n"
      "  remote          192.0.2.2\n"
      "  key             none\n"
      "  ttl             255\n"
      "  fragmentation   forbidden (DF): senders learn what fits\n"
      "  addresses       10.0.0.1/30\n"
      "  link-local      fe80::5efe:c000:201/64\n"
      "  mtu             1476, the path less the overhead\n"
      "  overhead        24 bytes a packet (20 IPv4 + 4 GRE)\n"
      "  best mtu        1476 on this path of 1500; the peering guide counts 28 bytes and says 1472\n"
      "routes\n"
      "  - those of its addresses alone; set others yourself or with BIRD or FRR\n"
      "what stock tools do otherwise\n"
      "  - systemd-networkd makes such a device only with Independent=yes, or if the .network file of its "
      "underlay says Tunnel=hats0; it is made here in any case\n");
}

TEST(ExplainTunnelTest, TheGuidesIp6greIsExplainedInEveryFormat) {
  const std::string words = text_of(of_words("ip6gre ttl 255" + kEnds), 1500);
  EXPECT_TRUE(has(words, "interface hats0 (GRE over IPv4)\n")) << words;
  EXPECT_TRUE(
      has(words,
          "- `ip tunnel` refuses ip6gre with IPv4 addresses; here it is GRE over IPv4, as the peering "
          "guide has it, and a peer with a kernel's tunnel sets up plain gre\n"))
      << words;
  const std::string netdev = text_of(of_netdev("ip6gre", "Local=192.0.2.1\nRemote=192.0.2.2\nTTL=255\n"));
  EXPECT_TRUE(has(netdev, "- systemd-networkd ignores a .netdev of ip6gre with IPv4 addresses; here it is"))
      << netdev;
  const SourceText yaml{
      "10-hats0.yaml",
      "network:\n  version: 2\n  tunnels:\n    hats0:\n      mode: ip6gre\n      local: 192.0.2.1\n"
      "      remote: 192.0.2.2\n      ttl: 255\n      addresses: [\"2001:db8:f::1/64\"]\n"
      "      routes: [{to: default, via: \"2001:db8:f::2\", metric: 7}]\n"};
  const auto netplan = parse_netplan(std::span(&yaml, 1), "hats0");
  ASSERT_TRUE(netplan) << netplan.error().text("F");
  const std::string told = text_of(*netplan);
  EXPECT_TRUE(has(told, "- netplan stops at ip6gre with IPv4 addresses, and then applies nothing at all; "))
      << told;
  EXPECT_TRUE(has(told, "routes\n  - default (IPv6) via 2001:db8:f::2 metric 7\n")) << told;
  // the kernel's own is no difference
  EXPECT_FALSE(has(text_of(of_words("ip6gre local 2001:db8::1 remote 2001:db8::2")), "refuses"));
}

TEST(ExplainTunnelTest, TheMtuIsJudgedByThePath) {
  InterfaceConfig sit = of_words("sit ttl 255" + kEnds);
  std::string text = text_of(sit, 1500);
  EXPECT_TRUE(has(text, "  mtu             1480, the path less the overhead\n")) << text;
  EXPECT_TRUE(has(text, "1480 on this path of 1500; the peering guide counts 20 bytes and says 1480\n"))
      << text;
  EXPECT_FALSE(has(text, "mtu advice")) << text;
  text = text_of(sit, 1290);
  EXPECT_TRUE(has(text, "  mtu             1280, which IPv6 needs\n")) << text;
  EXPECT_TRUE(has(text, "  mtu advice      mtu 1280 needs 1300-byte packets on a 1290-byte path; ")) << text;
  InterfaceConfig keyed = of_words("gre key 42 csum ttl 255" + kEnds);
  keyed.mtu = 1472;
  text = text_of(keyed, 1500);
  EXPECT_TRUE(has(text, "  mtu             1472, from the file\n")) << text;
  EXPECT_TRUE(has(text, "  overhead        32 bytes a packet (20 IPv4 + 4 GRE + 4 key + 4 checksum)\n"))
      << text;
  EXPECT_TRUE(has(text,
                  "  mtu advice      mtu 1472 needs 1504-byte packets on a 1500-byte path; 1468 avoids "
                  "fragmentation\n"))
      << text;
  text = text_of(of_words("ip6gre local 2001:db8::1 remote 2001:db8::2"));
  EXPECT_TRUE(has(text, "  mtu             1448, the path less the overhead\n")) << text;
  EXPECT_TRUE(has(text, "1448 on a path of 1500; the peering guide counts 28 bytes and says 1472\n")) << text;
  EXPECT_FALSE(has(text_of(of_words("ipip" + kEnds)), "peering guide counts"));
}

TEST(ExplainTunnelTest, EveryOptionIsTold) {
  std::string text = text_of(of_words(
      "gre remote 192.0.2.2 ikey 1 okey 2 iseq ocsum tos inherit/0x28 nopmtudisc dev eth0 keepalive 10 3"));
  for (const char* line :
       {"local           any: packets leave from the address that routing chooses\n",
        "underlay        eth0 alone\n", "key             in 1, out 2\n", "checksum        out alone\n",
        "sequence        in alone; late packets are dropped\n", "ttl             that of the inner packet\n",
        "tos             that of the inner packet, else 0x28\n",
        "fragmentation   allowed, unless the inner packet forbids it\n",
        "keepalive       every 10 s; the carrier goes after 3 without an answer\n",
        "link-local      one for each IPv4 address of this host, as fe80::V4\n",
        "- the kernel's GRE sends no keepalives", "- outer packets have the ttl of the inner ones: "})
    EXPECT_TRUE(has(text, line)) << line << text;
  text = text_of(of_words("gre ttl 255 ignore-df okey 0 seq csum linklocal none tos 4" + kEnds));
  for (const char* line : {"key             in none, out 0\n", "checksum        in and out\n",
                           "sequence        in and out; late packets are dropped\n", "tos             0x04\n",
                           "fragmentation   allowed, also where the inner packet forbids it\n",
                           "link-local      none\n", "- `ip tunnel` has no ignore-df"})
    EXPECT_TRUE(has(text, line)) << line << text;
  EXPECT_FALSE(has(text, "worth knowing")) << text;
  text = text_of(
      of_words("ip6gre local 2001:db8::1 remote 2001:db8::2 encaplimit none tclass inherit flowlabel 0x10 "
               "dscp inherit allow-localremote"));
  for (const char* line :
       {"(GRE over IPv6)", "hop limit       64\n", "traffic class   that of the inner packet\n",
        "encap limit     none\n", "flow label      16\n",
        "dscp            copied to the inner packet on arrival\n",
        "remote          may be an address of this host\n", "44 bytes a packet (40 IPv6 + 4 GRE)",
        "- the kernel draws a link-local address at random each time; this one stays\n"})
    EXPECT_TRUE(has(text, line)) << line << text;
  EXPECT_FALSE(has(text, "fragmentation ")) << text;
}

TEST(ExplainTunnelTest, DfThatStaysInSpiteOfTheFileIsTold) {
  const std::string text =
      text_of(of_netdev("sit", "Local=192.0.2.1\nRemote=192.0.2.2\nTTL=9\nDiscoverPathMTU=no\n"));
  EXPECT_TRUE(has(text, "fragmentation   forbidden (DF)")) << text;
  EXPECT_TRUE(has(text, "DF stays set on outer packets, as with the kernel's")) << text;
}

TEST(ExplainTunnelTest, AddressesThatTheTunnelCannotCarryAreNamed) {
  const std::string tunnel = "Local=192.0.2.1\nRemote=192.0.2.2\nTTL=9\n";
  const std::string network =
      "[Network]\nAddress=10.0.0.1/30\nAddress=2001:db8:f::1/64\n[Link]\nMTUBytes=1279\n";
  const std::string sit = text_of(of_netdev("sit", tunnel, network));
  EXPECT_TRUE(has(sit, "- sit carries IPv6 alone: ")) << sit;
  EXPECT_TRUE(has(sit, "- below an mtu of 1280 the interface has no IPv6\n")) << sit;
  EXPECT_TRUE(has(sit, "carries IPv6 alone\n")) << sit;
  EXPECT_TRUE(has(sit, "link-local      fe80::c000:201/64\n")) << sit;
  const std::string ipip = text_of(of_netdev("ipip", tunnel, network));
  EXPECT_TRUE(has(ipip, "- ipip carries IPv4 alone: ")) << ipip;
  EXPECT_FALSE(has(ipip, "link-local")) << ipip;
  EXPECT_FALSE(has(text_of(of_netdev("gre", tunnel, network)), "carries IPv6 alone"));
}

}  // namespace
}  // namespace hats::config
