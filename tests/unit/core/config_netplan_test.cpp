// netplan's tunnels (formats.md 3): each rule, and how we say so.
#include <gtest/gtest.h>

#include "tests/unit/core/config_netplan_support.hpp"

namespace hats::config {
namespace {

using namespace test;
using testing::TestWithParam;

/// The guide's files, as they are printed.
const std::string kGuideGre =
    "network:\n  version: 2\n  tunnels:\n    { name }:\n      mode: gre\n      local: { yourside ip }\n"
    "      remote: { ourside ip }\n      ttl: 255\n      addresses:\n        - { your tunnel ip cidr }\n";
const std::string kGuideSit =
    "network:\n  version: 2\n  tunnels:\n    { name }:\n      # Use 'sit' for 6in4, or 'ip6gre' for "
    "GRE-encapsulated IPv6\n"
    "      mode: sit\n      local: { yourside ipv4 }\n      remote: { ourside ipv4 }\n      ttl: 255\n"
    "      addresses:\n        - { your tunnel ipv6 cidr }\n";

std::string filled(std::string text, std::initializer_list<std::pair<std::string, std::string>> values) {
  for (const auto& [from, to] : values) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

TEST(NetplanTest, TheGuidesGreFileIsTakenAsItIs) {
  const InterfaceConfig config =
      accept_netplan(filled(kGuideGre, {{"{ name }", "hats0"},
                                        {"{ yourside ip }", "192.0.2.1"},
                                        {"{ ourside ip }", "192.0.2.2"},
                                        {"{ your tunnel ip cidr }", "10.0.0.1/30"}}));
  EXPECT_EQ(config.format, Format::netplan);
  ASSERT_TRUE(config.tunnel);
  encap::TunnelConfig wanted;
  wanted.kind = encap::Kind::gre;
  wanted.local = *IpAddress::parse("192.0.2.1");
  wanted.remote = *IpAddress::parse("192.0.2.2");
  wanted.ttl = 255;
  EXPECT_TRUE(config.tunnel->tunnel == wanted);
  EXPECT_EQ(config.tunnel->mode, "gre");
  EXPECT_EQ(config.tunnel->line, 5);
  EXPECT_EQ(config.tunnel->file, "F");
  ASSERT_EQ(config.addresses.size(), 1u);
  EXPECT_EQ(config.addresses[0].prefix.text(), "10.0.0.1/30");
  EXPECT_EQ(config.addresses[0].line, 10);
  EXPECT_EQ(config.addresses[0].file, "F");
  EXPECT_FALSE(config.mtu);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::off);
  EXPECT_EQ(config.link_local, LinkLocal::as_kernel);
  EXPECT_EQ(warnings_of(config), "");
}

TEST(NetplanTest, TheGuidesSitFileIsTakenInBothOfItsModes) {
  const std::string text = filled(kGuideSit, {{"{ name }", "hats0"},
                                              {"{ yourside ipv4 }", "192.0.2.1"},
                                              {"{ ourside ipv4 }", "192.0.2.2"},
                                              {"{ your tunnel ipv6 cidr }", "fd00::1/64"}});
  const InterfaceConfig sit = accept_netplan(text);
  EXPECT_EQ(sit.tunnel->tunnel.kind, encap::Kind::sit);
  EXPECT_EQ(sit.addresses[0].prefix.text(), "fd00::1/64");
  EXPECT_EQ(warnings_of(sit), "");
  // formats.md 4.4: on the wire a plain GRE tunnel.
  const InterfaceConfig gre = accept_netplan(filled(text, {{"mode: sit", "mode: ip6gre"}}));
  EXPECT_EQ(gre.tunnel->tunnel.kind, encap::Kind::gre);
  EXPECT_EQ(gre.tunnel->tunnel.outer(), Family::v4);
  EXPECT_EQ(gre.tunnel->mode, "ip6gre");
  EXPECT_EQ(warnings_of(gre), "F:6: mode: ip6gre with IPv4 endpoints taken as GRE over IPv4\n");
}

TEST(NetplanTest, PlaceholdersOfTheGuideAreNamedWhereTheyStand) {
  const std::string rest = " of the guide is not filled in; put your own value there, without braces";
  EXPECT_EQ(refuse_netplan(kGuideGre), "F:4: tunnels: the placeholder {name}" + rest);
  std::string text = filled(kGuideGre, {{"{ name }", "hats0"}});
  EXPECT_EQ(refuse_netplan(text), "F:6: local: the placeholder {yourside ip}" + rest);
  text = filled(text, {{"{ yourside ip }", "192.0.2.1"}});
  EXPECT_EQ(refuse_netplan(text), "F:7: remote: the placeholder {ourside ip}" + rest);
  text = filled(text, {{"{ ourside ip }", "192.0.2.2"}});
  EXPECT_EQ(refuse_netplan(text), "F:10: addresses: the placeholder {your tunnel ip cidr}" + rest);
  EXPECT_EQ(refuse_netplan(filled(text, {{"{ your tunnel", "{ 10.0.0.1/30 } # "}})),
            "F:10: addresses: the braces of a placeholder are left in; write the value without braces");
  EXPECT_EQ(refuse_netplan(filled(text, {{"{ your tunnel ip cidr }", "\"{your tunnel ip cidr}\""}})),
            "F:10: addresses: the placeholder {your tunnel ip cidr}" + rest);
  EXPECT_EQ(refuse_netplan(tunnel_text("mode: wireguard\nkey: {your private key}")),
            "F:6: the placeholder {your private key}" + rest);
  EXPECT_EQ(refuse_netplan(wg_text("peers:\n" + peer_text("endpoint: {ourside ip}:{ourside port}"))),
            "F:9: the placeholder {...}" + rest);
  EXPECT_EQ(refuse_netplan(wg_text("peers:\n" + peer_text("endpoint: {ourside ip}:51820"))).substr(0, 25),
            "F:9: the placeholder {our");
}

// What real netplan says of most of these is in config_netplan_tool_test.cpp.
struct Case {
  std::string body;
  std::string message;  // after "F:"
};
class NetplanRefusesTest : public TestWithParam<Case> {};

TEST_P(NetplanRefusesTest, WithTheLineAndWhatWouldBeRight) {
  EXPECT_EQ(refuse_netplan(gre_text(GetParam().body)), "F:" + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, NetplanRefusesTest,
    testing::Values(
        Case{"ttll: 5", "8: 'ttll' is not a key of a tunnel; did you mean ttl?"},
        Case{"<<: {mtu: 1400}", "8: netplan knows no merge keys (<<); write the keys out"},
        Case{"ttl: 256", "8: ttl: '256' is not a TTL; write 1 to 255"},
        Case{"ttl: -1", "8: ttl: '-1' is not a TTL; write 1 to 255"},
        Case{"ttl: 0x10", "8: ttl: '0x10' is not a TTL; write 1 to 255"},
        Case{"ttl: inherit", "8: ttl: 'inherit' is not a TTL; write 1 to 255"},
        Case{"ttl: [5]", "8: ttl: one value is expected here, not a list or a mapping"},
        Case{"local: 192.0.2.1/32", "8: local: '192.0.2.1/32' has a prefix length; write the address alone"},
        Case{"remote: example.com",
             "8: remote: 'example.com' is not an address; write it like 192.0.2.1 or 2001:db8::1"},
        Case{"local: any", "8: local: 'any' is not an address; write it like 192.0.2.1 or 2001:db8::1"},
        Case{"remote: 0.0.0.0", "8: remote: 0.0.0.0 is not one host; write the address of the other end"},
        Case{"remote: 239.0.0.1", "8: remote: 239.0.0.1 is not one host; write the address of the other end"},
        Case{"local: 2001:db8::1", "8: local: 'local' and 'remote' are not both IPv4 or both IPv6"},
        Case{"key: 0x10",
             "8: key: '0x10' is not a tunnel key; write a decimal number up to 4294967295, or one like "
             "10.0.0.1"},
        Case{"key: 4294967296",
             "8: key: '4294967296' is not a tunnel key; write a decimal number up to "
             "4294967295, or one like 10.0.0.1"},
        Case{"key: 010",
             "8: key: '010' is not a tunnel key; write a decimal number up to 4294967295, or one like "
             "10.0.0.1"},
        Case{"keys: {inputt: 1}", "8: 'inputt' is not a key of a tunnel's keys; did you mean input?"},
        Case{"keys: [1]", "8: keys: one value is expected here, not a list or a mapping"},
        Case{"mtu: 1k", "8: mtu: '1k' is not a number from 0 to 4294967295, in decimal"},
        Case{"mtu: 67", "8: mtu: '67' is not an MTU; it must be 68 to 65535 bytes"},
        Case{"mtu: 70000", "8: mtu: '70000' is not an MTU; it must be 68 to 65535 bytes"},
        Case{"mtu: 1400\nipv6-mtu: 1300",
             "9: ipv6-mtu: IPv6 has no MTU of its own here; set mtu, and remove this line"},
        Case{"dhcp4: true",
             "8: dhcp4: hatsd-user cannot do this on a tunnel; write false, or remove the line"},
        Case{"dhcp6: \"Yes\"",
             "8: dhcp6: hatsd-user cannot do this on a tunnel; write false, or remove the line"},
        Case{"dhcp4: maybe", "8: dhcp4: 'maybe' is neither true nor false"},
        Case{"dhcp4: 1", "8: dhcp4: '1' is neither true nor false"},
        Case{"accept-ra: t", "8: accept-ra: 't' is neither true nor false"},
        Case{"optional: 7", "8: optional: '7' is neither true nor false"},
        Case{"link-local: ipv6",
             "8: link-local: a list is expected here; write [A, B], or each on a line of its own after '- '"},
        Case{"link-local: [ipv5]", "8: link-local: 'ipv5' is not known here; write ipv6 or ipv4"},
        Case{"link-local: [ipv4]",
             "8: link-local: hatsd-user makes no IPv4 link-local addresses; remove ipv4"},
        Case{"renderer: foo", "8: renderer: 'foo' is not known here; write networkd or NetworkManager"},
        Case{"activation-mode: off",
             "8: activation-mode: 'off' keeps the interface down, and `hatsd-user up` is to bring it up"},
        Case{"openvswitch: {}", "8: openvswitch: hatsd-user cannot do this on a tunnel; remove it"},
        Case{"routing-policy:\n  - {from: 10.0.0.1, table: 5}",
             "9: routing-policy: hatsd-user makes no policy rules; remove them, and use ip rule"},
        Case{"nameservers: 1.1.1.1",
             "8: nameservers: a mapping of keys and values is expected here; look at the indentation"},
        Case{"nameservers: {adresses: []}",
             "8: 'adresses' is not a key of nameservers; did you mean addresses?"},
        Case{"nameservers: {addresses: [foo]}",
             "8: addresses: 'foo' is not an address; write it like 192.0.2.1 or 2001:db8::1"},
        Case{"gateway4: fd00::1",
             "8: gateway4: 'fd00::1' is not of this key's family; there are gateway4 and gateway6"}));

INSTANTIATE_TEST_SUITE_P(
    Addresses, NetplanRefusesTest,
    testing::Values(
        Case{"addresses: [10.0.0.1]",
             "8: addresses: '10.0.0.1' has no prefix length; write it like 10.0.0.1/24 or fd00::1/64"},
        Case{"addresses: [10.0.0.1/33]",
             "8: addresses: '10.0.0.1/33' has the prefix length '33'; for this family it is 0 to 32"},
        Case{"addresses: [10.0.0.1/0]",
             "8: addresses: '10.0.0.1/0' has the prefix length 0, which no address of an interface has"},
        Case{"addresses: [10.0.0.1/255.255.255.0]",
             "8: addresses: '10.0.0.1/255.255.255.0' has a dotted mask; write 10.0.0.1/24"},
        Case{"addresses: 10.0.0.1/24",
             "8: addresses: a list is expected here; write [A, B], or each on a line of its own after '- '"},
        Case{"addresses:\n  - 10.0.0.1/24: {lifetime: 5}",
             "9: lifetime: '5' is not known here; write 0 or forever"},
        Case{"addresses:\n  - 10.0.0.1/24: {label: sixteen-letters-}",
             "9: label: 'sixteen-letters-' is too long; a label has at most 15 characters"},
        Case{"addresses:\n  - 10.0.0.1/24: {foo: 1}",
             "9: 'foo' is not a key of an address; the keys are lifetime label"},
        Case{"addresses:\n  - 10.0.0.1/24: {label: a}\n    10.0.0.2/24: {label: b}",
             "9: addresses: one address is expected here, with a mapping of its options"}));

INSTANTIATE_TEST_SUITE_P(
    Routes, NetplanRefusesTest,
    testing::Values(
        Case{"routes:\n  - via: 10.0.0.2", "9: routes: a route needs 'to'"},
        Case{"routes:\n  - to: default", "9: to: 'default' needs 'via', or write 0.0.0.0/0 or ::/0"},
        Case{"routes:\n  - to: 10.0.0.0/8\n    via: fd00::1",
             "9: to: 'to', 'via' and 'from' are not all IPv4 or all IPv6"},
        Case{"routes:\n  - {to: 10.0.0.0/8, from: fd00::1, via: 10.0.0.2}",
             "9: to: 'to', 'via' and 'from' are not all IPv4 or all IPv6"},
        Case{"routes:\n  - {to: 10.0.0.0/8, scope: global}",
             "9: routes: a route of scope global needs 'via'; without one the scope is link"},
        Case{"routes:\n  - {to: 10.0.0.0/8, scope: site}",
             "9: scope: 'site' is not known here; write global, link or host"},
        Case{"routes:\n  - {to: 10.0.0.0/8, type: nat}",
             "9: type: 'nat' is not known here; write unicast, local, broadcast, anycast, multicast, "
             "blackhole, "
             "unreachable, prohibit or throw"},
        Case{"routes:\n  - {to: 10.0.0.0/8, type: blackhole, via: 10.0.0.2}",
             "9: routes: a blackhole route has no 'via'"},
        Case{"routes:\n  - {to: 10.0.0.0/8, via: 10.0.0.2/24}",
             "9: via: '10.0.0.2/24' is not an address; write it alone, like 192.0.2.1 or 2001:db8::1"},
        Case{"routes:\n  - {to: x, via: 10.0.0.2}",
             "9: to: 'x' is not a destination; write 'default', an address, or one with /length"},
        Case{"routes:\n  - {to: 10.0.0.0/8, via: 10.0.0.2, metric: -1}",
             "9: metric: '-1' is not a number from 0 to 4294967295, in decimal"},
        Case{"routes:\n  - {to: 10.0.0.0/8, via: 10.0.0.2, table: main}",
             "9: table: 'main' is not a number from 0 to 4294967295, in decimal"},
        Case{"routes:\n  - {to: 10.0.0.0/8, via: 10.0.0.2, table: 0}",
             "9: table: there is no table 0; write 1 to 4294967295, or leave it out for main"},
        Case{"routes:\n  - {to: 10.0.0.0/8, via: 10.0.0.2, congestion-window: 4}",
             "9: congestion-window: this is not set on routes by hatsd-user; remove the line"},
        Case{"routes:\n  - {to: 10.0.0.0/8, gateway: 10.0.0.2}",
             "9: 'gateway' is not a key of a route; the keys are to via from metric table mtu advertised-mss "
             "on-link type scope congestion-window advertised-receive-window"}));

TEST(NetplanTest, ModesAreLowerCaseAndOnlyOursAreRun) {
  for (const std::string mode :
       {"ipip6", "ip6ip6", "vti", "vti6", "vxlan", "gretap", "ip6gretap", "isatap"}) {
    EXPECT_EQ(refuse_netplan(gre_text("", mode)),
              "F:5: mode: the mode " + mode +
                  " is not one of ours; hatsd-user runs wireguard gre sit "
                  "ip6gre ipip");
  }
  EXPECT_EQ(refuse_netplan(gre_text("", "GRE")),
            "F:5: mode: 'GRE' is not a mode; did you mean gre? (in lower case)");
  EXPECT_EQ(refuse_netplan(gre_text("", "something")),
            "F:5: mode: 'something' is not a mode; hatsd-user runs wireguard gre sit ip6gre ipip");
  EXPECT_EQ(refuse_netplan(tunnel_text("remote: 192.0.2.2")),
            "F:4: the tunnel has no 'mode'; hatsd-user runs wireguard gre sit ip6gre ipip");
  EXPECT_EQ(accept_netplan(gre_text("", "ipip")).tunnel->tunnel.kind, encap::Kind::ipip);
}

TEST(NetplanTest, EachModeHasItsFamily) {
  const auto v6 = [](const std::string& mode) { return gre_text("", mode, "2001:db8::1", "2001:db8::2"); };
  const encap::TunnelConfig ip6gre = accept_netplan(v6("ip6gre")).tunnel->tunnel;
  EXPECT_EQ(ip6gre.outer(), Family::v6);
  EXPECT_EQ(ip6gre.ttl, 64);  // networkd's default over IPv6
  EXPECT_EQ(accept_netplan(gre_text("ttl: 9", "ip6gre", "2001:db8::1", "2001:db8::2")).tunnel->tunnel.ttl, 9);
  EXPECT_EQ(refuse_netplan(v6("gre")),
            "F:7: remote: the mode gre needs IPv4 addresses; GRE over IPv6 is the mode ip6gre");
  EXPECT_EQ(refuse_netplan(v6("sit")), "F:7: remote: the mode sit needs IPv4 addresses");
  EXPECT_EQ(refuse_netplan(v6("ipip")), "F:7: remote: the mode ipip needs IPv4 addresses");
  EXPECT_EQ(refuse_netplan(gre_text("", "ip6gre", "192.0.2.1", "2001:db8::2")),
            "F:6: local: 'local' and 'remote' are not both IPv4 or both IPv6");
}

TEST(NetplanTest, OnlyTheRemoteEndIsNeeded) {
  EXPECT_FALSE(accept_netplan(tunnel_text("mode: gre\nremote: 192.0.2.2")).tunnel->tunnel.local.is_set());
  EXPECT_FALSE(accept_netplan(gre_text("", "gre", "0.0.0.0")).tunnel->tunnel.local.is_set());
  EXPECT_EQ(refuse_netplan(tunnel_text("mode: gre\nlocal: 192.0.2.1")),
            "F:4: remote: the tunnel needs the address of its other end");
}

TEST(NetplanTest, ATtlOfNoneIsInherited) {
  EXPECT_EQ(accept_netplan(gre_text("")).tunnel->tunnel.ttl, 0);
  EXPECT_EQ(accept_netplan(gre_text("ttl: 0")).tunnel->tunnel.ttl, 0);
  EXPECT_EQ(accept_netplan(gre_text("ttl: \"1\"")).tunnel->tunnel.ttl, 1);
  const InterfaceConfig empty = accept_netplan(gre_text("ttl:"));
  EXPECT_EQ(empty.tunnel->tunnel.ttl, 0);
  EXPECT_EQ(warnings_of(empty), "F:8: ttl: the value is empty, and counts as none\n");
}

TEST(NetplanTest, ATunnelKeyIsDecimalOrADottedQuad) {
  const auto keys = [](const std::string& body) {
    const encap::TunnelConfig tunnel = accept_netplan(gre_text(body)).tunnel->tunnel;
    return std::pair(tunnel.in_key, tunnel.out_key);
  };
  using Keys = std::pair<std::optional<uint32_t>, std::optional<uint32_t>>;
  EXPECT_EQ(keys("key: 42"), Keys(42, 42));
  EXPECT_EQ(keys("keys: 42"), Keys(42, 42));
  EXPECT_EQ(keys("key: 4294967295"), Keys(4294967295, 4294967295));
  EXPECT_EQ(keys("key: 1.2.3.4"), Keys(0x01020304, 0x01020304));
  EXPECT_EQ(keys("keys: {input: 1, output: 2}"), Keys(1, 2));
  EXPECT_EQ(keys("key: {input: 1}"), Keys(1, std::nullopt));
  EXPECT_EQ(keys("key: 9\nkeys: {input: 8}"), Keys(8, 9));
  EXPECT_EQ(keys("keys: {private: 7}"), Keys());
  EXPECT_EQ(keys("key: 0"), Keys());  // networkd: no key
  EXPECT_EQ(warnings_of(accept_netplan(gre_text("keys: {input: 0}"))),
            "F:8: input: is empty or 0, which means no key\n");
  for (const std::string mode : {"sit", "ipip"}) {
    EXPECT_EQ(refuse_netplan(gre_text("key: 5", mode)),
              "F:8: key: only the modes gre and ip6gre have keys; remove it");
  }
}

TEST(NetplanTest, BooleansAreYamlsOldOnesQuotedOrNot) {
  for (const std::string yes : {"true", "True", "on", "ON", "yes", "y", "Y", "\"on\"", "'yes'"}) {
    EXPECT_TRUE(accept_netplan(gre_text("accept-ra: " + yes)).accept_route_advertisements) << yes;
  }
  for (const std::string no : {"false", "off", "No", "n", "\"OFF\""}) {
    EXPECT_FALSE(accept_netplan(gre_text("accept-ra: " + no + "\ndhcp4: " + no)).accept_route_advertisements)
        << no;
  }
}

TEST(NetplanTest, AddressesMayHaveOptions) {
  const InterfaceConfig config = accept_netplan(gre_text(
      "addresses:\n  - 10.0.0.9/30: {lifetime: 0, label: hats0:x}\n  - 10.0.0.1/30\n  - 10.0.0.1/30\n"
      "  - \"fd00::1/64\": {lifetime: forever}\n  - 10.0.0.5/30\n  - 10.0.0.5/30: {}"));
  // As netplan writes them: those with options after those without; the one that comes later counts.
  std::string order;
  for (const InterfaceAddress& address : config.addresses) order += address.prefix.text() + " ";
  EXPECT_EQ(order, "10.0.0.1/30 10.0.0.9/30 fd00::1/64 10.0.0.5/30 ");
  EXPECT_EQ(config.addresses[1].preferred_lifetime_s, 0u);
  EXPECT_EQ(config.addresses[1].label, "hats0:x");
  EXPECT_EQ(config.addresses[1].line, 9);
  EXPECT_FALSE(config.addresses[2].preferred_lifetime_s);
}

TEST(NetplanTest, RoutesHaveAllThatNetplanSays) {
  const InterfaceConfig config = accept_netplan(gre_text(
      "gateway6: fd00::2\n"
      "routes:\n"
      "  - {to: 10.1.2.3/8, via: 10.0.0.2, from: 10.0.0.1, metric: 5, table: 7, on-link: true, mtu: 1400, "
      "advertised-mss: 1300}\n"
      "  - to: default\n    via: 10.0.0.2\n"
      "  - {to: default, from: \"fd00::1\"}\n"
      "  - {to: 10.9.0.0/16}\n"
      "  - {to: 10.8.0.1, type: local}\n"
      "  - {to: \"fd00:1::/64\", type: unreachable}\n"
      "  - {to: 0.0.0.0/0, via: 10.0.0.2}"));
  ASSERT_EQ(config.routes.size(), 7u);
  EXPECT_EQ(config.routes[0].destination.text(), "::/0");
  EXPECT_EQ(config.routes[0].gateway->text(), "fd00::2");
  const InterfaceRoute& full = config.routes[1];
  EXPECT_EQ(full.destination.text(), "10.0.0.0/8");
  EXPECT_EQ(full.gateway->text(), "10.0.0.2");
  EXPECT_EQ(full.preferred_source->text(), "10.0.0.1");
  EXPECT_FALSE(full.source);
  EXPECT_EQ(full.metric, 5u);
  EXPECT_EQ(full.table, "7");
  EXPECT_EQ(full.mtu, 1400u);
  EXPECT_EQ(full.advertised_mss, 1300u);
  EXPECT_TRUE(full.on_link);
  EXPECT_FALSE(full.scope);
  EXPECT_EQ(full.line, 10);
  EXPECT_EQ(full.file, "F");
  EXPECT_EQ(config.routes[2].destination.text(),
            "0.0.0.0/0");  // and 0.0.0.0/0 the same again, which is dropped
  EXPECT_EQ(config.routes[3].destination.text(), "::/0");
  EXPECT_EQ(config.routes[4].scope, 253);
  EXPECT_EQ(config.routes[5].scope, 254);
  EXPECT_EQ(config.routes[5].type, 2);
  EXPECT_EQ(config.routes[5].table, "255");  // networkd's default for the type
  EXPECT_EQ(config.routes[5].destination.text(), "10.8.0.1/32");
  EXPECT_EQ(config.routes[6].type, 7);
  EXPECT_FALSE(config.routes[6].scope);
  EXPECT_EQ(warnings_of(config),
            "F:8: gateway6: is deprecated; write routes: [{to: default, via: fd00::2}]\n"
            "F:10: to: '10.1.2.3/8' has host bits; taken as 10.0.0.0/8\n");
}

TEST(NetplanTest, TheRestOfTheCommonKeysIsHonouredOrHarmless) {
  const InterfaceConfig config = accept_netplan(gre_text(
      "mtu: 1472\nipv6-mtu: 1472\nlink-local: []\nnameservers:\n  addresses: [1.1.1.1, \"fd00::53\"]\n"
      "  search: [lab, home.arpa]\noptional: true\ncritical: no\nignore-carrier: true\nrenderer: networkd\n"
      "dhcp4: false\ndhcp4-overrides: {use-dns: false}\nnetworkmanager: {uuid: x}\n"
      "optional-addresses: [ipv4-ll]\nrouting-policy: []\ndhcp-identifier: mac"));
  EXPECT_EQ(config.mtu, 1472u);
  EXPECT_EQ(config.mtu_line, 9);
  EXPECT_EQ(config.mtu_file, "F");
  EXPECT_EQ(config.link_local, LinkLocal::none);
  EXPECT_EQ(config.dns_servers, (std::vector<std::string>{"1.1.1.1", "fd00::53"}));
  EXPECT_EQ(config.dns_search, (std::vector<std::string>{"lab", "home.arpa"}));
  EXPECT_EQ(warnings_of(config), "");
}

TEST(NetplanTest, WhatIsIgnoredIsWarnedOf) {
  EXPECT_EQ(warnings_of(accept_netplan(gre_text("macaddress: 00:11:22:33:44:55\ntype-of-service: 4\nport: 5\n"
                                                "activation-mode: manual\npeers: [{}]"))),
            "F:8: macaddress: has no meaning for a tunnel, and is ignored\n"
            "F:9: type-of-service: is for the mode vxlan alone, and is ignored\n"
            "F:11: activation-mode: `hatsd-user up` is the manual activation, and brings the interface up\n"
            "F:10: port: has no meaning outside mode wireguard, and is ignored\n"
            "F:12: peers: have no meaning outside mode wireguard, and are ignored\n");
}

TEST(NetplanWireguardTest, EveryKeyHasItsPlace) {
  const InterfaceConfig config = accept_netplan(
      wg_text("port: 51820\nmark: 42\naddresses: [10.0.0.1/30]\npeers:\n" +
              peer_text("allowed-ips: [0.0.0.0/0, \"::/0\"]\nendpoint: 192.0.2.2:51821\nkeepalive: 25") +
              "  - keys: {public: " + kOther + ", shared: " + kPublic +
              "}\n    allowed-ips: [10.1.2.3/16]\n    endpoint: \"vpn.example.com:1\""));
  EXPECT_EQ(config.format, Format::netplan);
  EXPECT_FALSE(config.tunnel);
  EXPECT_EQ(crypto::key_to_base64(config.private_key->view()), kPrivate);
  EXPECT_EQ(config.listen_port, 51820);
  EXPECT_EQ(config.fwmark, 42u);
  EXPECT_EQ(config.mtu, 1420u);  // the kernel's, whatever the underlay (formats.md 2.3)
  EXPECT_EQ(config.mtu_line, 4);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::off);
  EXPECT_TRUE(config.routes.empty());
  ASSERT_EQ(config.peers.size(), 2u);  // last to first
  EXPECT_EQ(config.peers[1].public_key, public_key(kPublic));
  EXPECT_FALSE(config.peers[1].preshared_key);
  EXPECT_EQ(config.peers[1].endpoint->numeric()->text(), "192.0.2.2:51821");
  EXPECT_EQ(config.peers[1].endpoint->line, 13);
  EXPECT_EQ(config.peers[1].persistent_keepalive_s, 25);
  ASSERT_EQ(config.peers[1].allowed_ips.size(), 2u);
  EXPECT_EQ(config.peers[1].allowed_ips[1].prefix.text(), "::/0");
  EXPECT_EQ(config.peers[1].line, 11);
  EXPECT_EQ(crypto::key_to_base64(config.peers[0].preshared_key->view()), kPublic);
  EXPECT_EQ(config.peers[0].endpoint->text(), "vpn.example.com:1");
  EXPECT_EQ(config.peers[0].allowed_ips[0].prefix.text(), "10.1.0.0/16");
  EXPECT_EQ(warnings_of(config), "F:16: allowed-ips: '10.1.2.3/16' has host bits; taken as 10.1.0.0/16\n");
}

TEST(NetplanWireguardTest, AKeyMayStandInAMapping) {
  const InterfaceConfig config =
      accept_netplan(tunnel_text("mode: wireguard\nkeys:\n  private: " + kPrivate +
                                 "\n  private-key-flags: [agent-owned]\nmtu: 1468\npeers: []"));
  EXPECT_EQ(crypto::key_to_base64(config.private_key->view()), kPrivate);
  EXPECT_EQ(config.mtu, 1468u);
  EXPECT_EQ(warnings_of(config),
            "F:8: private-key-flags: is for NetworkManager, and is ignored\nF:4: peers: there are none\n");
}

TEST(NetplanWireguardTest, WhatIsMissingOrWrongIsNamed) {
  const auto refuse_peer = [](const std::string& body) {
    return refuse_netplan(wg_text("peers:\n" + peer_text(body)));
  };
  EXPECT_EQ(refuse_netplan(tunnel_text("mode: wireguard\npeers: []")),
            "F:4: key: a tunnel of mode wireguard needs its private key");
  EXPECT_EQ(refuse_netplan(wg_text("peers:\n  - allowed-ips: [10.0.0.0/8]")),
            "F:8: peers: a peer needs keys: {public: KEY}");
  EXPECT_EQ(refuse_netplan(wg_text("peers:\n  - keys: " + kPublic)),
            "F:8: keys: a mapping of keys and values is expected here; look at the indentation");
  EXPECT_NE(refuse_netplan(wg_text("peers:\n  - keys: {public: /etc/key}")).find("F:8: public: not a key"),
            std::string::npos);
  EXPECT_NE(refuse_netplan(wg_text("key: abc")).find("F:7: key: not a key"), std::string::npos);
  EXPECT_EQ(refuse_netplan(wg_text("port: auto")),
            "F:7: port: 'auto' is not a number from 0 to 65535, in decimal");
  EXPECT_EQ(refuse_netplan(wg_text("port: 65536")),
            "F:7: port: '65536' is not a number from 0 to 65535, in decimal");
  EXPECT_EQ(refuse_netplan(wg_text("local: here")),
            "F:7: local: 'here' is not an address; write it like 192.0.2.1 or 2001:db8::1");
  EXPECT_EQ(refuse_netplan(wg_text("mark: 0x10")),
            "F:7: mark: '0x10' is not a number from 0 to 4294967295, in decimal");
  EXPECT_EQ(refuse_peer("allowed-ips: [10.0.0.0]"),
            "F:9: allowed-ips: '10.0.0.0' has no prefix length; write it like 10.0.0.1/24 or fd00::1/64");
  EXPECT_EQ(refuse_peer("keepalive: off"),
            "F:9: keepalive: 'off' is not a number from 0 to 65535, in decimal");
  EXPECT_EQ(refuse_peer("keepalive: 65536"),
            "F:9: keepalive: '65536' is not a number from 0 to 65535, in decimal");
  EXPECT_EQ(
      refuse_peer("endpoint: example.com"),
      "F:9: endpoint: 'example.com' has no port; write HOST:PORT, 192.0.2.1:51820 or [2001:db8::1]:51820");
  EXPECT_EQ(refuse_peer("allowed: [10.0.0.0/8]"),
            "F:9: 'allowed' is not a key of a peer; the keys are keys endpoint keepalive allowed-ips");
}

TEST(NetplanWireguardTest, ZeroAndEmptyAreUnset) {
  const InterfaceConfig config =
      accept_netplan(wg_text("port: 0\nmark: 0\nmtu: 0\npeers:\n" +
                             peer_text("endpoint: \"\"\nkeepalive: 0\nallowed-ips: [10.0.0.0/8]")));
  EXPECT_FALSE(config.listen_port);
  EXPECT_FALSE(config.fwmark);
  EXPECT_EQ(config.mtu, 1420u);
  EXPECT_FALSE(config.peers[0].endpoint);
  EXPECT_EQ(config.peers[0].persistent_keepalive_s.value_or(0), 0);
}

TEST(NetplanWireguardTest, KeyFilesAreAskedForAndUsed) {
  const std::string text =
      tunnel_text("mode: wireguard\nkey: /etc/wg/private\npeers:\n  - keys: {public: " + kPublic +
                  ", shared: /etc/wg/shared}\n    allowed-ips: [10.0.0.0/8]\n  - keys: {public: " + kOther +
                  ", shared: /etc/wg/shared}\n    allowed-ips: [11.0.0.0/8]");
  const Sources sources{{"F", text}};
  const auto files = netplan_key_files(sources, "hats0");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "/etc/wg/private");
  EXPECT_EQ(files[0].named.text("?"), "F:6: key: ");
  EXPECT_EQ(files[1].path, "/etc/wg/shared");
  EXPECT_EQ(files[1].named.text("?"), "F:8: shared: ");
  EXPECT_TRUE(netplan_key_files(sources, "other").empty());
  const InterfaceConfig config =
      accept_netplan(sources, {{"/etc/wg/private", kPrivate + "\n"}, {"/etc/wg/shared", kOther}});
  EXPECT_EQ(crypto::key_to_base64(config.private_key->view()), kPrivate);
  for (const WgPeer& peer : config.peers)
    EXPECT_EQ(crypto::key_to_base64(peer.preshared_key->view()), kOther);
  EXPECT_EQ(refuse_netplan(sources, {{"/etc/wg/private", kPrivate}}),
            "F:8: shared: the key file '/etc/wg/shared' has not been read");
  EXPECT_NE(refuse_netplan(sources, {{"/etc/wg/private", "x\n"}})
                .find("F:6: key: the file '/etc/wg/private': not a key"),
            std::string::npos);
}

TEST(NetplanWireguardTest, AKeyThatBeginsWithASlashIsAKey) {
  std::string key = kPublic;
  key[0] = '/';
  const InterfaceConfig config = accept_netplan(tunnel_text("mode: wireguard\nkey: " + key + "\npeers: []"));
  EXPECT_EQ(crypto::key_to_base64(config.private_key->view()), key);
}

// networkd hands its peers to the kernel last to first, and the kernel moves a prefix to whom it is given
// last.
TEST(NetplanWireguardTest, OfTwoPeersTheFirstHasThePrefix) {
  const InterfaceConfig config = accept_netplan(
      wg_text("peers:\n" + peer_text("allowed-ips: [10.0.0.0/8, 11.0.0.0/8, 10.0.0.0/8]") +
              peer_text("allowed-ips: [12.0.0.0/8, 10.9.9.9/8]", kOther) + peer_text("allowed-ips: []")));
  ASSERT_EQ(config.peers.size(), 3u);
  EXPECT_EQ(config.peers[2].line, 8);
  EXPECT_EQ(config.peers[2].allowed_ips.size(), 2u);
  EXPECT_EQ(config.peers[1].public_key, public_key(kOther));
  EXPECT_EQ(config.peers[0].line, 12);
  EXPECT_EQ(warnings_of(config),
            "F:11: allowed-ips: '10.9.9.9/8' has host bits; taken as 10.0.0.0/8\n"
            "F:10: allowed-ips: 10.0.0.0/8 is given to two peers; the earlier one has it\n"
            "F:12: public: the same key is in the peer of line 8 already; the allowed-ips of that one count\n"
            "F:12: allowed-ips: the peer has none; nothing is sent to it or taken from it\n");
}

TEST(NetplanWireguardTest, NoMessageHoldsAKey) {
  const std::string bare = kPrivate.substr(0, 43);
  const std::string places[] = {
      tunnel_text("mode: wireguard\nkey: " + bare),
      tunnel_text("mode: wireguard\nkey: {" + kPrivate + "}"),
      tunnel_text("mode: wireguard\nkey: [" + kPrivate + "]"),
      tunnel_text("mode: wireguard\nkey: {your " + bare + "}"),
      tunnel_text("mode: wireguard\n" + kPrivate + ": 1"),
      tunnel_text("mode: " + kPrivate),
      wg_text("port: " + kPrivate),
      wg_text("addresses: [" + kPrivate + "]"),
      wg_text("peers:\n  - keys: " + kPrivate),
      wg_text("peers:\n  - keys: {shared: " + bare + "}"),
      wg_text("peers:\n  - keys: {" + kPrivate + ": 1}"),
      wg_text("accept-ra: " + kPrivate),
      wg_text("routes: [{to: " + kPrivate + "}]"),
      wg_text("key: \"" + kPrivate + "\n"),
      wg_text("key: " + bare + ": :" + bare + "]}"),
      "network:\n  tunnels:\n    " + kPrivate + ": {}\n    {" + kPrivate + "}: {}\n",
  };
  for (const std::string& text : places) {
    const std::string message = refuse_netplan(text);
    EXPECT_EQ(message.find(kPrivate.substr(0, 12)), std::string::npos) << message;
    EXPECT_EQ(message.find(kPrivate.substr(30, 12)), std::string::npos) << message;
  }
}

TEST(NetplanMergeTest, ScalarsOverwriteListsGoOnMappingsMerge) {
  const std::string first = gre_text(
      "mtu: 1400\nkeys: {input: 1}\naddresses: [10.0.0.1/24]\nroutes: [{to: 10.1.0.0/16, via: 10.0.0.2}]\n"
      "nameservers: {addresses: [1.1.1.1]}");
  const std::string second = tunnel_text(
      "mtu: 1300\nkeys: {output: 2}\naddresses: [10.0.0.5/24, 10.0.0.1/24]\n"
      "routes: [{to: 10.1.0.0/16, via: 10.0.0.2}, {to: 10.2.0.0/16, via: 10.0.0.2}]\nnameservers: {search: "
      "[lab]}");
  const InterfaceConfig config =
      accept_netplan({{"/etc/netplan/10-a.yaml", first}, {"/run/netplan/20-b.yaml", second}});
  EXPECT_EQ(config.mtu, 1300u);
  EXPECT_EQ(config.mtu_file, "/run/netplan/20-b.yaml");
  EXPECT_EQ(config.mtu_line, 5);
  EXPECT_EQ(config.tunnel->tunnel.in_key, 1u);
  EXPECT_EQ(config.tunnel->tunnel.out_key, 2u);
  EXPECT_EQ(config.tunnel->file, "/etc/netplan/10-a.yaml");
  ASSERT_EQ(config.addresses.size(), 2u);
  EXPECT_EQ(config.addresses[1].prefix.text(), "10.0.0.5/24");
  EXPECT_EQ(config.addresses[1].file, "/run/netplan/20-b.yaml");
  EXPECT_EQ(config.routes.size(), 2u);
  EXPECT_EQ(config.dns_servers.size(), 1u);
  EXPECT_EQ(config.dns_search.size(), 1u);
}

TEST(NetplanMergeTest, AFaultNamesItsFile) {
  EXPECT_EQ(refuse_netplan({{"/a.yaml", gre_text("")}, {"/b.yaml", tunnel_text("ttl: 999")}}),
            "/b.yaml:5: ttl: '999' is not a TTL; write 1 to 255");
  EXPECT_EQ(refuse_netplan({{"/a.yaml", gre_text("")}, {"/b.yaml", "network: [\n"}}).substr(0, 10),
            "/b.yaml:2:");
}

TEST(NetplanMergeTest, PeersOfSeveralFilesAddUp) {
  const InterfaceConfig config =
      accept_netplan({{"a", wg_text("peers:\n" + peer_text("allowed-ips: [10.0.0.0/8]"))},
                      {"b", tunnel_text("peers:\n" + peer_text("allowed-ips: [11.0.0.0/8]", kOther))}});
  EXPECT_EQ(config.peers.size(), 2u);
}

TEST(NetplanMergeTest, AKeyThatComesTwiceIsReadTwice) {
  const InterfaceConfig config =
      accept_netplan(gre_text("mtu: 1400\nmtu: 1300\naddresses: [10.0.0.1/24]\naddresses: [10.0.0.2/24]"));
  EXPECT_EQ(config.mtu, 1300u);
  EXPECT_EQ(config.addresses.size(), 2u);
}

TEST(NetplanFileTest, OnlyTunnelsAreJudgedAndOnlyTheOneAskedFor) {
  const std::string text =
      "foo: 1\nnetwork:\n  ethernets:\n    eth0: {dhcp: [what]}\n  nonsense: [{}]\n  tunnels:\n    renderer: "
      "networkd\n"
      "    other: {mode: vxlan, id: 5}\n    hats0: {mode: gre, remote: 192.0.2.2}\n    third:\n";
  EXPECT_EQ(accept_netplan(text).tunnel->tunnel.remote.text(), "192.0.2.2");
  const auto names = netplan_tunnel_names(Sources{{"F", text}, {"G", gre_text("")}, {"H", ""}});
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"other", "hats0", "third"}));
}

TEST(NetplanFileTest, AllFaultsAreToldAtOnce) {
  const auto places = [](const Sources& sources) {
    const auto config = parse_netplan(sources, "hats0");
    EXPECT_FALSE(config) << sources.front().text;
    if (config) return std::string();
    std::string out = config.error().file + ":" + std::to_string(config.error().line);
    for (const ConfigError& other : config.error().more)
      out += " " + other.file + ":" + std::to_string(other.line);
    return out;
  };
  const std::string faulty =
      "ttl: 256\nkey: x\nmtu: big\naddresses: [10.0.0.1]\nroutes: [{via: x}, {to: y}]\ncolour: red\n";
  EXPECT_EQ(places({{"F", gre_text(faulty, "gre", "here", "there")}}),
            "F:11 F:12 F:12 F:13 F:10 F:7 F:8 F:9");
  EXPECT_EQ(
      places({{"F", wg_text("port: x\nmark: y\npeers:\n" + peer_text("endpoint: z\nkeepalive: off", "k"))}}),
      "F:7 F:8 F:10 F:11 F:12");
  EXPECT_EQ(places({{"F", gre_text("colour: red\n")}, {"G", gre_text("taste: sour\n")}}), "F:8 G:8");
  EXPECT_EQ(places({{"F", "a: [\n"}, {"G", "b: [\n"}}).substr(0, 2), "F:");
  EXPECT_EQ(places({{"F", "a: ]\n"}, {"G", "\nb: ]\n"}}), "F:1 G:2");
  // What is faulty is not told to be missing as well.
  EXPECT_EQ(places({{"F", tunnel_text("mode: gre\nremote: [1]\n")}}), "F:6");
  EXPECT_EQ(places({{"F", tunnel_text("mode: {a: b}\nremote: 192.0.2.2\n")}}), "F:5");
  EXPECT_EQ(places({{"F", wg_text("peers: [{keys: {public: x}}, {}]")}}), "F:7 F:7");
}

TEST(NetplanFileTest, TheFileOfATunnelIsTheOneThatDefinesIt) {
  const Sources sources{{"E", "network: {tunnels: {other: {mode: gre}}}\n"},
                        {"F", gre_text("")},
                        {"G", "network: {tunnels: {hats0: {mtu: 1400}}}\n"},
                        {"H", "network: {ethernets: {}}\n"}};
  const auto files = NetplanFiles::read(sources);
  ASSERT_TRUE(files);
  EXPECT_EQ(files->file_of("hats0"), "F");
  EXPECT_EQ(files->file_of("other"), "E");
  EXPECT_EQ(files->file_of("nobody"), "");
}

TEST(NetplanFileTest, ATunnelThatIsNotThereIsLookedForUnderOtherNames) {
  EXPECT_EQ(refuse_netplan({{"F", gre_text("")}}, {}, "hats1"),
            "F:1: there is no tunnel 'hats1' under network: tunnels:; did you mean 'hats0'?");
  EXPECT_EQ(refuse_netplan("network:\n  version: 2\n  tunnel:\n    hats0: {mode: gre}\n"),
            "F:3: there is no tunnel 'hats0' under network: tunnels:; 'tunnel' should be called tunnels");
  EXPECT_EQ(refuse_netplan("# nothing\n"), "F:1: there is no tunnel 'hats0' under network: tunnels:");
  EXPECT_EQ(parse_netplan({}, "hats0").error().text("netplan"),
            "netplan:1: there is no tunnel 'hats0' under network: tunnels:");
}

TEST(NetplanFileTest, WhatShouldBeAMappingIsSaidToBe) {
  const std::string hint = "a mapping of keys and values is expected here; look at the indentation";
  EXPECT_EQ(refuse_netplan("- 1\n"), "F:1: " + hint);
  EXPECT_EQ(refuse_netplan("network:\n"), "F:1: network: " + hint);
  EXPECT_EQ(refuse_netplan("network:\n  tunnels: []\n"), "F:2: tunnels: " + hint);
  EXPECT_EQ(refuse_netplan("network:\n  tunnels:\n    hats0:\n    mode: gre\n").substr(0, 11), "F:3: hats0:");
  EXPECT_EQ(refuse_netplan("network:\n  tunnels:\n    hats0: {[a]: 1}\n"),
            "F:3: hats0: a key must be a plain word, not a list or a mapping");
}

TEST(NetplanFileTest, NamesMustBeOfInterfaces) {
  EXPECT_EQ(
      refuse_netplan({{"F", "network: {tunnels: {abcdefghijklmnop: {mode: gre}}}"}}, {}, "abcdefghijklmnop"),
      "F:1: 'abcdefghijklmnop' has 16 characters; an interface name has at most 15");
  EXPECT_EQ(refuse_netplan({{"F", "network: {tunnels: {a/b: {mode: gre}}}"}}, {}, "a/b").substr(0, 36),
            "F:1: 'a/b' is not an interface name;");
}

TEST(NetplanFileTest, WhatIsNoYamlIsRefusedByLine) {
  EXPECT_EQ(refuse_netplan("network:\n\ttunnels: {}\n"),
            "F:2: the line is indented with a tab; YAML wants spaces");
  EXPECT_EQ(refuse_netplan("network:\n  tunnels: {hats0\n").substr(0, 12), "F:3: not YAM");
  EXPECT_EQ(refuse_netplan("network: *nobody\n").substr(0, 14), "F:1: not YAML:");
  EXPECT_EQ(refuse_netplan("a: 1\nb: \xff\n"), "F:2: the line is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(refuse_netplan("a: 1\nb: \xc0\x80\n"), "F:2: the line is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(refuse_netplan("a: 1\nb: \xed\xa0\x80\n"), "F:2: the line is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(refuse_netplan("a: 1\nb: \x04\nc: 1\n"),
            "F:2: the line holds a control character; this is not a text file");
  EXPECT_EQ(refuse_netplan(std::string("a: 1\n\0\n", 7)),
            "F:2: the line holds a control character; this is not a text file");
  EXPECT_EQ(refuse_netplan("\xff\xfe"
                           "a"),
            "F:1: the file is UTF-16; save it as UTF-8");
}

TEST(NetplanFileTest, ByteOrderMarkCrLfCommentsAndOtherScriptsAreTaken) {
  std::string text = "\xEF\xBB\xBF# \xE2\x82\xAC \xF0\x9F\x98\x80\n" + gre_text("ttl: 7 # seven");
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.insert(at, "\r");
  EXPECT_EQ(accept_netplan(text).tunnel->tunnel.ttl, 7);
  EXPECT_EQ(accept_netplan(text).tunnel->line, 6);
}

TEST(NetplanFileTest, OnlyTheFirstDocumentIsRead) {
  const InterfaceConfig config =
      accept_netplan(gre_text("") + "---\nnetwork: {tunnels: {hats0: {mtu: 1400}}}\n");
  EXPECT_FALSE(config.mtu);
  EXPECT_EQ(warnings_of(config), "F:1: line 9 begins a second document, which is not read\n");
}

TEST(NetplanFileTest, AliasesStandForWhatTheyName) {
  const InterfaceConfig config = accept_netplan(
      "x: &ends {mode: gre, local: 192.0.2.1, remote: &far 192.0.2.2, mtu: &m 1400}\n"
      "network: {tunnels: {hats1: *ends, hats0: *ends, hats2: {mode: sit, remote: *far, ipv6-mtu: *m}}}\n");
  EXPECT_EQ(config.mtu, 1400u);
  EXPECT_EQ(config.mtu_line, 1);
}

TEST(NetplanFileTest, AliasesAndNestingAreBounded) {
  // Each list names the one before it many times over: a few lines, billions of values.
  std::string bomb = "a0: &a0 [10.0.0.1/24";
  for (int i = 0; i < 2000; ++i) bomb += ", 10.0.0.1/24";
  bomb += "]\npeers: &p\n";
  for (int i = 0; i < 5000; ++i) {
    bomb += "  - " + std::string(i == 0 ? "&q " : "");
    if (i == 0) {
      bomb += "{keys: {public: " + kPublic + "}, allowed-ips: *a0}\n";
    } else {
      bomb += "*q\n";
    }
  }
  bomb += "network: {tunnels: {hats0: {mode: wireguard, key: " + kPrivate + ", peers: *p}}}\n";
  EXPECT_NE(refuse_netplan(bomb).find("aliases make more than"), std::string::npos);
  EXPECT_EQ(refuse_netplan("network: " + std::string(200'000, '[')),
            "F:1: brackets or lists are nested too deeply");
  EXPECT_FALSE(parse_netplan(Sources{{"F", "network: &n {tunnels: {hats0: *n, network: *n}}\n"}}, "hats0"));
}

TEST(NetplanFileTest, WarningsAreBounded) {
  std::string routes = "routes:\n";
  for (int i = 0; i < 60; ++i) routes += "  - {to: 10.0.0." + std::to_string(i + 1) + "/8, via: 10.0.0.2}\n";
  const InterfaceConfig config = accept_netplan(gre_text(routes));
  ASSERT_EQ(config.warnings.size(), 51u);
  EXPECT_EQ(config.warnings.back().message, "and 10 more warnings");
}

}  // namespace
}  // namespace hats::config
