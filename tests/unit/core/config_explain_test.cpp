// The text of `hatsd-user check`.
#include <gtest/gtest.h>

#include "core/config/explain.hpp"
#include "core/config/netplan.hpp"
#include "tests/unit/core/config_support.hpp"

namespace hats::config {
namespace {

using namespace test;

std::string text_of(const InterfaceConfig& config, const ExplainFacts& facts) {
  std::string out;
  for (const std::string& line : explain(config, facts)) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    out += line + '\n';
  }
  return out;
}

ExplainFacts facts_for(std::vector<PeerPath> paths = {}) {
  return {.interface = "wg0", .file = "/etc/wireguard/wg0.conf", .paths = std::move(paths)};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ExplainTest, TheGuidesFileIsToldInFull) {
  EXPECT_EQ(
      text_of(accept(kGuide), facts_for({{std::nullopt, 1500}})),
      "interface wg0 (WireGuard), from /etc/wireguard/wg0.conf\n"
      "  public key      HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\n"
      "  listen port     51820\n"
      "  addresses       10.0.0.1/30\n"
      "  mtu             1420, the smallest path less 80\n"
      "peer " +
          kPublic +
          " (line 9)\n"
          "  endpoint        192.0.2.2:51821\n"
          "  allowed IPs     0.0.0.0/0, ::/0\n"
          "  keepalive       every 25 s\n"
          "  overhead        60 bytes a packet (20 IPv4 + 8 UDP + 32 WireGuard)\n"
          "  best mtu        1440 on this path of 1500; the peering guide counts 32 bytes and says 1468\n"
          "routes\n"
          "  - none, because of Table = off: no rules, no mark, no firewall either; set routes yourself or "
          "with "
          "BIRD or FRR\n"
          "  - AllowedIPs still decide what each peer may send and which peer a packet goes to\n");
}

TEST(ExplainTest, AFileWithoutAPeerIsToldToHaveNone) {
  const std::string note = "there is no peer: nothing passes until `wg set` gives one";
  EXPECT_NE(text_of(accept("[Interface]\n"), {}).find(note), std::string::npos);
  EXPECT_EQ(text_of(accept(kGuide), {}).find(note), std::string::npos);
}

TEST(ExplainTest, TheGuidesMtuDrawsItsAdvice) {
  std::string file = kGuide;
  file.insert(file.find("Table"), "MTU = 1468\n");
  const std::string text = text_of(accept(file), facts_for({{std::nullopt, 1500}}));
  EXPECT_TRUE(has(text, "  mtu             1468, from the file\n")) << text;
  EXPECT_TRUE(has(text,
                  "  mtu advice      mtu 1468 needs 1528-byte packets on a 1500-byte path; 1440 avoids "
                  "fragmentation\n"))
      << text;
}

TEST(ExplainTest, NoSecretIsPrinted) {
  const std::string psk = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
  const std::string text =
      text_of(accept("[Interface]\nPrivateKey = " + kPrivate + "\nPostUp = wg set %i private-key <(echo " +
                     kOther + ")\nPrivateKey = " + kPrivate + "\n" + peer_with("PresharedKey = " + psk)),
              facts_for());
  for (const std::string& secret : {kPrivate, psk, kOther})
    EXPECT_FALSE(has(text, secret.substr(0, 20))) << text;
  EXPECT_TRUE(has(text, "PostUp (line 3): wg set wg0 private-key <(echo (a key))")) << text;
  EXPECT_TRUE(has(text, "  preshared key   yes\n")) << text;
}

TEST(ExplainTest, RoutesAreToldForEachTable) {
  const std::string peer = peer_with("AllowedIPs = 10.0.0.0/8, ::/0");
  const std::string automatic = text_of(accept(peer), facts_for());
  EXPECT_TRUE(has(automatic, "to the main table, unless a route of the interface covers it: 10.0.0.0/8\n"));
  EXPECT_TRUE(
      has(automatic, "::/0: to the first free table from 51820, whose number is also the firewall mark\n"));
  const std::string marked = text_of(accept("[Interface]\nFwMark = 0x10\n" + peer), facts_for());
  EXPECT_TRUE(has(marked, "::/0: to table 16, after FwMark\n")) << marked;
  const std::string table = text_of(accept("[Interface]\nTable = vpn\n" + peer), facts_for());
  EXPECT_TRUE(has(table, "  - to table vpn: 10.0.0.0/8, ::/0\n")) << table;
  EXPECT_FALSE(has(table, "firewall"));
  EXPECT_TRUE(has(text_of(accept(peer_with("")), facts_for()), "  - none: no AllowedIPs\n"));
}

TEST(ExplainTest, WhatARoutingDaemonWillMissIsNamed) {
  const std::string interface = "[Interface]\nTable = off\nAddress = fe80::1/64\n";
  const std::string narrow = text_of(accept(interface + peer_with("AllowedIPs = 10.0.0.0/8")), facts_for());
  for (const char* missing : {"fe80::/10: BGP", "ff02::/16: no OSPFv3", "224.0.0.0/24: no OSPFv2"}) {
    EXPECT_TRUE(has(narrow, missing)) << narrow;
  }
  EXPECT_FALSE(
      has(text_of(accept(interface + peer_with("AllowedIPs = ::/0, 0.0.0.0/0")), facts_for()), "not in any"));
}

TEST(ExplainTest, NamesHooksAndWarningsAreTold) {
  const InterfaceConfig config = accept("[Interface]\nTable = Off\nPreUp = a\nPostDown = echo %i#%i\n" +
                                        peer_with("Endpoint = name.example:5"));
  ExplainFacts facts = facts_for({{Endpoint{*IpAddress::parse("2001:db8::1"), 5, 0}, 1492}});
  const std::string text = text_of(config, facts);
  EXPECT_TRUE(has(text, "name.example:5, a name: now [2001:db8::1]:5\n")) << text;
  EXPECT_TRUE(has(text, "80 bytes a packet (40 IPv6 + 8 UDP + 32 WireGuard)")) << text;
  EXPECT_TRUE(has(text, "1412 on this path of 1492")) << text;
  EXPECT_TRUE(has(text, "names are looked up in the background")) << text;
  EXPECT_TRUE(has(text, "PostDown (line 4): echo wg0#wg0\n")) << text;
  EXPECT_TRUE(has(text, "a '#' in a hook")) << text;
  EXPECT_TRUE(has(text, "warnings\n  - /etc/wireguard/wg0.conf:2: Table: ")) << text;
  EXPECT_TRUE(has(text, "private key     none")) << text;
}

TEST(ExplainTest, OtherFormatsHaveNoneOfWgQuicksWays) {
  const SourceText yaml{"10-wg0.yaml",
                        "network: {tunnels: {wg0: {mode: wireguard, key: " + kPrivate +
                            ", addresses: [10.0.0.1/30], peers: [{keys: {public: " + kPublic +
                            "}, endpoint: 'name.example:5', allowed-ips: [0.0.0.0/0]}], routes: [{to: "
                            "10.0.0.0/8, via: 10.0.0.2, on-link: true}]}}}\n"};
  const auto config = parse_netplan(std::span(&yaml, 1), "wg0");
  ASSERT_TRUE(config) << config.error().text("F");
  const std::string text = text_of(*config, facts_for({{std::nullopt, 1500}}));
  EXPECT_TRUE(has(text, "  mtu             1420, the kernel's default\n")) << text;
  EXPECT_TRUE(has(text, "routes\n  - 10.0.0.0/8 via 10.0.0.2 onlink\n")) << text;
  for (const char* ways : {"wg-quick", "Table", "AllowedIPs still"}) EXPECT_FALSE(has(text, ways)) << text;
}

TEST(ExplainTest, LongListsAreCut) {
  std::string file = "[Interface]\nTable = off\n" + peer_with("");
  for (int i = 0; i < 200; ++i) file += "AllowedIPs = 10.0." + std::to_string(i) + ".0/24\n";
  EXPECT_TRUE(has(text_of(accept(file), facts_for()), "10.0.15.0/24 and 184 more\n"));
}

}  // namespace
}  // namespace hats::config
