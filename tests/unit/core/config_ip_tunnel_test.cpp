// The words of `ip tunnel` (formats.md 4.1).
#include <gtest/gtest.h>

#include "tests/unit/core/config_ip_tunnel_support.hpp"

namespace hats::config {
namespace {

using namespace test;
using encap::Kind;
using Verb = TunnelCommand::Verb;

const std::string kV4 = "local 192.0.2.1 remote 192.0.2.2";
const std::string kV6 = "local 2001:db8::1 remote 2001:db8::2";

TEST(IpTunnelTest, TheGuidesLinesMakeTheirTunnels) {
  const encap::TunnelConfig gre = added("hats0 mode gre local 192.0.2.1 remote 192.0.2.2 ttl 255");
  encap::TunnelConfig expected;
  expected.kind = Kind::gre;
  expected.local = ip("192.0.2.1");
  expected.remote = ip("192.0.2.2");
  expected.ttl = 255;
  EXPECT_EQ(gre, expected);
  const encap::TunnelConfig sit = added("hats0 mode sit local 192.0.2.1 remote 192.0.2.2 ttl 255");
  expected.kind = Kind::sit;
  EXPECT_EQ(sit, expected);
  // GRE over IPv4 carrying IPv6: the same as the first on the wire
  const encap::TunnelConfig ip6gre = added("hats0 mode ip6gre local 192.0.2.1 remote 192.0.2.2 ttl 255");
  EXPECT_EQ(ip6gre, gre);
}

TEST(IpTunnelTest, ModesHaveTheirSpellings) {
  const struct {
    const char* mode;
    Kind kind;
    Family outer;
    uint8_t ttl;
  } rows[] = {
      {"gre", Kind::gre, Family::v4, 0},       {"gre/ip", Kind::gre, Family::v4, 0},
      {"sit", Kind::sit, Family::v4, 0},       {"ipv6/ip", Kind::sit, Family::v4, 0},
      {"ipip", Kind::ipip, Family::v4, 0},     {"ip/ip", Kind::ipip, Family::v4, 0},
      {"ip6gre", Kind::gre, Family::v4, 64},   {"ip6gre", Kind::gre, Family::v6, 64},
      {"gre/ipv6", Kind::gre, Family::v6, 64},
  };
  for (const auto& row : rows) {
    const std::string line = std::string("t mode ") + row.mode + " " + (row.outer == Family::v6 ? kV6 : kV4);
    const encap::TunnelConfig tunnel = added(line);
    EXPECT_EQ(tunnel.kind, row.kind) << line;
    EXPECT_EQ(tunnel.outer(), row.outer) << line;
    EXPECT_EQ(tunnel.ttl, row.ttl) << line;
    EXPECT_TRUE(tunnel.path_mtu_discovery) << line;
    EXPECT_EQ(tunnel.encapsulation_limit, 4) << line;
    const TunnelCommand command = accept_words("add " + line);
    EXPECT_EQ(command.mode, row.mode);
    EXPECT_EQ(command.family, row.outer);
  }
}

TEST(IpTunnelTest, WithoutAModeTheNameDecides) {
  EXPECT_EQ(added("gre1 " + kV4).kind, Kind::gre);
  EXPECT_EQ(added("ipipx " + kV4).kind, Kind::ipip);
  EXPECT_EQ(added("sit9 " + kV4).kind, Kind::sit);
  EXPECT_EQ(added("gre1 mode sit " + kV4).kind, Kind::sit);
  for (const char* name : {"hats0", "isatap0", "vti1", "ip6gre1", "GRE1"}) {
    EXPECT_EQ(
        refuse_words(std::string("add ") + name + " " + kV4),
        "mode: is missing, and the name does not begin with gre, sit or ipip; say `mode` gre, sit, ipip or "
        "ip6gre");
  }
}

TEST(IpTunnelTest, VerbsMayBeAbbreviatedAndOptionsMayNot) {
  const std::pair<const char*, Verb> verbs[] = {
      {"a", Verb::add},   {"add", Verb::add},   {"c", Verb::change},   {"chang", Verb::change},
      {"d", Verb::del},   {"del", Verb::del},   {"delete", Verb::del}, {"s", Verb::show},
      {"sh", Verb::show}, {"l", Verb::show},    {"ls", Verb::show},    {"lst", Verb::show},
      {"li", Verb::show}, {"list", Verb::show}, {"h", Verb::help},     {"help", Verb::help},
  };
  for (const auto& [word, verb] : verbs)
    EXPECT_EQ(accept_words(std::string(word) + " gre1 " + kV4).verb, verb) << word;
  EXPECT_EQ(accept_words("").verb, Verb::show);
  EXPECT_EQ(accept_words("-6").family, Family::v6);
  EXPECT_EQ(refuse_words("adds gre1"), "'adds' is no command; add, change, del, show or help");
  EXPECT_EQ(refuse_words("replace gre1"), "'replace' is no command; add, change, del, show or help");
  EXPECT_EQ(accept_words("add gre1 he").verb, Verb::help);
  for (const char* words : {"--help", "-h", "-4 --help", "add --help", "del gre1 -h"}) {
    EXPECT_EQ(accept_words(words).verb, Verb::help) << words;
  }
  EXPECT_EQ(accept_words("add name --help mode gre " + kV4).name, "--help");
  // dsfield alone
  EXPECT_EQ(added("gre1 d 10 " + kV4).tos, 0x10);
  EXPECT_EQ(added("gre1 dsfie 10 " + kV4).tos, 0x10);
  EXPECT_EQ(refuse_words("add gre1 rem 192.0.2.2"),
            "'rem' is no option of `ip tunnel`; did you mean remote?");
  EXPECT_EQ(refuse_words("add gre1 remotes 192.0.2.2"),
            "'remotes' is no option of `ip tunnel`; did you mean remote?");
}

TEST(IpTunnelTest, TheNameStandsAnywhereAndOnce) {
  for (const char* line : {"gre1 mode gre ", "name gre1 mode gre ", "mode gre gre1 ", "mode gre name gre1 "})
    EXPECT_EQ(accept_words("add " + std::string(line) + kV4).name, "gre1") << line;
  EXPECT_EQ(accept_words("add " + kV4 + " mode gre gre1").name, "gre1");
  EXPECT_EQ(accept_words("add name ttl mode gre " + kV4).name, "ttl");
  EXPECT_EQ(accept_words("add name help mode gre " + kV4).name, "help");
  EXPECT_EQ(accept_words("add a2345678901234! mode gre " + kV4).name, "a2345678901234!");
  EXPECT_NE(refuse_words("add gre1 name gre1 mode gre " + kV4), "");
  EXPECT_EQ(refuse_words("add gre4567890123456 " + kV4),
            "name: 'gre4567890123456' has 16 characters; an interface name has at most 15");
  for (const char* name : {"gre/1", ".", "..", "gre%d", "gre:1"})
    EXPECT_NE(refuse_words("add mode gre " + kV4 + " " + name), "");
  EXPECT_NE(refuse_words("add mode gre " + kV4).find("name: is missing"), std::string::npos);
  EXPECT_NE(refuse_words("del").find("name: is missing"), std::string::npos);
  EXPECT_FALSE(parse_ip_tunnel(std::vector<std::string>{"add", "", "mode", "gre", "remote", "192.0.2.2"}));
  EXPECT_EQ(
      refuse_words("add {name} mode gre " + kV4),
      "name: the placeholder {name} of the guide is not filled in; put your own value there, without braces");
}

TEST(IpTunnelTest, EveryOptionOfIpv4ReachesTheTunnel) {
  const encap::TunnelConfig tunnel = added(
      "t mode gre " + kV4 + " ikey 1 okey 0.0.1.0 iseq ocsum tos inherit/0x28 ttl inherit nopmtudisc dev lo");
  EXPECT_EQ(tunnel.in_key, 1u);
  EXPECT_EQ(tunnel.out_key, 256u);
  EXPECT_TRUE(tunnel.in_sequence && tunnel.out_checksum);
  EXPECT_FALSE(tunnel.out_sequence || tunnel.in_checksum);
  EXPECT_EQ(tunnel.tos, 0x28);
  EXPECT_TRUE(tunnel.tos_inherit);
  EXPECT_EQ(tunnel.ttl, 0);
  EXPECT_FALSE(tunnel.path_mtu_discovery || tunnel.ignore_df);
  EXPECT_EQ(accept_words("add t mode gre dev lo " + kV4).underlay, "lo");
  const encap::TunnelConfig both = added("t mode gre " + kV4 + " key 7 seq csum local any");
  EXPECT_EQ(both.in_key, 7u);
  EXPECT_EQ(both.out_key, 7u);
  EXPECT_TRUE(both.in_sequence && both.out_sequence && both.in_checksum && both.out_checksum);
  EXPECT_FALSE(both.local.is_set());
  // the last of repeated ones counts
  const encap::TunnelConfig last =
      added("t mode gre " + kV4 + " key 7 ikey 8 ttl 1 ttl 2 pmtudisc remote 10.0.0.1");
  EXPECT_EQ(last.in_key, 8u);
  EXPECT_EQ(last.out_key, 7u);
  EXPECT_EQ(last.ttl, 2);
  EXPECT_EQ(last.remote, ip("10.0.0.1"));
}

TEST(IpTunnelTest, EveryOptionOfIpv6ReachesTheTunnel) {
  const encap::TunnelConfig tunnel = added(
      "t mode ip6gre " + kV6 + " encaplimit 0x10 hoplimit 0 tc 0xb8 fl 12345 dscp inherit allow-localremote");
  EXPECT_EQ(tunnel.encapsulation_limit, 16);
  EXPECT_EQ(tunnel.ttl, 0);
  EXPECT_EQ(tunnel.tos, 0xb8);
  EXPECT_FALSE(tunnel.tos_inherit);
  EXPECT_EQ(tunnel.flow_label, 0x12345u);
  EXPECT_TRUE(tunnel.dscp_inherit && tunnel.allow_local_remote);
  const encap::TunnelConfig inherit =
      added("t mode ip6gre " + kV6 + " encaplimit none tclass inherit flowlabel inherit noallow-localremote");
  EXPECT_EQ(inherit.encapsulation_limit, std::nullopt);
  EXPECT_TRUE(inherit.tos_inherit && inherit.flow_label_inherit);
  EXPECT_FALSE(inherit.allow_local_remote || inherit.dscp_inherit);
}

TEST(IpTunnelTest, NumbersAreReadAsCWritesThem) {
  const std::pair<const char*, uint32_t> keys[] = {
      {"0", 0},
      {"42", 42},
      {"0x2a", 42},
      {"0X2A", 42},
      {"052", 42},
      {"4294967295", ~0u},
      {"1.2.3.4", 0x01020304},
      {"0.0.0.42", 42},
      {"10.8", 0x0a080000},
      {"0x10.010.1.0", 0x10080100},
  };
  for (const auto& [word, key] : keys)
    EXPECT_EQ(added(std::string("t mode gre key ") + word + " " + kV4).in_key, key) << word;
  for (const char* word : {"", "x", "0x", "08", "4294967296", "-1", "+1", "1.2.3.4.5", "1..2", "1.256", "1."})
    EXPECT_FALSE(parse_tunnel_key(word)) << word;
  const std::pair<const char*, uint8_t> ttls[] = {{"0", 0}, {"0x40", 64}, {"0377", 255}, {"inherit", 0}};
  for (const auto& [word, ttl] : ttls)
    EXPECT_EQ(added(std::string("t mode gre hlim ") + word + " " + kV4).ttl, ttl) << word;
  EXPECT_EQ(refuse_words("add t mode gre ttl 256 " + kV4),
            "ttl: '256' is out of range; 0 to 255, or inherit");
  EXPECT_EQ(refuse_words("add t mode ip6gre ttl inherit " + kV6),
            "ttl: 'inherit' is not said over IPv6; 0 copies the inner hop limit, 1 to 255 set it");
  EXPECT_EQ(added("t mode gre local 0x0a.1 remote 010.0.0.1").remote, ip("8.0.0.1"));
}

TEST(IpTunnelTest, TosIsHexadecimalOrNamedOrInherited) {
  const struct {
    const char* word;
    uint8_t tos;
    bool inherit;
  } rows[] = {
      {"10", 0x10, false},          {"0x10", 0x10, false},      {"b8", 0xb8, false},   {"EF", 184, false},
      {"ef", 0xee, true},           {"AF12", 0x30, false},      {"default", 0, false}, {"inherit", 0, true},
      {"inherit/AF11", 0x28, true}, {"inherit/10", 0x10, true}, {"1", 0, true},        {"0x11", 0x10, true},
  };
  for (const auto& row : rows) {
    const encap::TunnelConfig tunnel = added(std::string("t mode gre dsfield ") + row.word + " " + kV4);
    EXPECT_EQ(tunnel.tos, row.tos) << row.word;
    EXPECT_EQ(tunnel.tos_inherit, row.inherit) << row.word;
  }
  for (const char* word : {"100", "AF14", "inherit/", "inherit/x", "0x10/inherit", "large"})
    EXPECT_NE(refuse_words(std::string("add t mode gre tos ") + word + " " + kV4).find("tos: "),
              std::string::npos)
        << word;
  EXPECT_NE(refuse_words("add t mode ip6gre tos AF11 " + kV6), "");
  EXPECT_NE(refuse_words("add t mode ip6gre tos inherit/10 " + kV6), "");
}

TEST(IpTunnelTest, FixedTtlAndNopmtudiscExcludeEachOther) {
  EXPECT_EQ(refuse_words("add t mode gre nopmtudisc ttl 64 " + kV4),
            "nopmtudisc: is incompatible with a ttl other than 0; say `ttl inherit`, or leave it away");
  // the default of ip6gre is a fixed one
  EXPECT_NE(refuse_words("add t mode ip6gre nopmtudisc " + kV4), "");
  EXPECT_FALSE(added("t mode gre nopmtudisc ttl 0 " + kV4).path_mtu_discovery);
  EXPECT_TRUE(added("t mode gre nopmtudisc pmtudisc ttl 9 " + kV4).path_mtu_discovery);
  const encap::TunnelConfig loose = added("t mode gre nopmtudisc " + kV4);
  EXPECT_FALSE(apply(accept_words("change t ttl 5"), loose));
  EXPECT_TRUE(apply(accept_words("change t ttl 5 pmtudisc"), loose)->path_mtu_discovery);
}

TEST(IpTunnelTest, IgnoreDfGoesWithAnyTtlAndNotWithPmtudisc) {
  const encap::TunnelConfig tunnel = added("t mode gre ignore-df ttl 255 " + kV4);
  EXPECT_TRUE(tunnel.ignore_df);
  EXPECT_FALSE(tunnel.path_mtu_discovery);
  EXPECT_EQ(tunnel, added("t mode gre ignore-df nopmtudisc ttl 255 " + kV4));
  EXPECT_NE(refuse_words("add t mode gre ignore-df pmtudisc " + kV4), "");
  EXPECT_NE(refuse_words("add t mode sit ignore-df " + kV4), "");
  const auto back = apply(accept_words("change t noignore-df"), tunnel);
  EXPECT_FALSE(back->ignore_df);
  EXPECT_TRUE(back->path_mtu_discovery);
}

TEST(IpTunnelTest, OptionsOfTheOtherFamilyOrKindAreRefused) {
  for (const char* option :
       {"encaplimit 4", "flowlabel 0x1", "dscp inherit", "allow-localremote", "tc 0x10"}) {
    EXPECT_NE(refuse_words("add t mode gre " + kV4 + " " + option).find("over IPv6 alone"),
              std::string::npos);
    EXPECT_NE(refuse_words("add t mode ip6gre " + kV4 + " " + option).find("over IPv6 alone"),
              std::string::npos);
    EXPECT_FALSE(apply(accept_words(std::string("change t ") + option), added("t mode sit " + kV4)) &&
                 std::string(option) != "tc 0x10")
        << option;
  }
  for (const char* option : {"pmtudisc", "nopmtudisc", "ignore-df", "keepalive 10 3", "nokeepalive"})
    EXPECT_NE(refuse_words("add t mode ip6gre " + kV6 + " " + option).find("over IPv4 alone"),
              std::string::npos);
  for (const char* mode : {"sit", "ipip"}) {
    for (const char* option : {"key 1", "ikey 1", "okey 1", "seq", "oseq", "csum", "icsum", "keepalive 10 3"})
      EXPECT_NE(refuse_words(std::string("add t mode ") + mode + " " + kV4 + " " + option), "") << option;
  }
}

TEST(IpTunnelTest, AKeepaliveIsRefusedForATunnelOverIpv6AlsoByChange) {
  const encap::TunnelConfig over_v6 = added("t mode ip6gre " + kV6);
  for (const char* words : {"change t keepalive 10 3", "change t nokeepalive"}) {
    const auto changed = apply(accept_words(words), over_v6);
    ASSERT_FALSE(changed) << words;
    EXPECT_EQ(changed.error(), "keepalive: is of GRE over IPv4 alone; leave it away");
  }
  EXPECT_EQ(added("t mode ip6gre keepalive 10 3 " + kV4).keepalive, (encap::Keepalive{10, 3}));
}

TEST(IpTunnelTest, FamiliesMustAgree) {
  EXPECT_EQ(refuse_words("add t mode gre " + kV6),
            "local: '2001:db8::1' is no IPv4 address; GRE over IPv6 is `mode ip6gre`, and sit and ipip run "
            "over IPv4 "
            "alone");
  EXPECT_EQ(refuse_words("add t mode ip6gre local 192.0.2.1 remote 2001:db8::2"),
            "mode: 'ip6gre' has ends of two families, '192.0.2.1' and '2001:db8::2'; two IPv4 addresses make "
            "GRE over "
            "IPv4, two IPv6 addresses GRE over IPv6");
  EXPECT_EQ(refuse_words("add t mode ip6gre local any"),
            "remote: is missing; the ends of ip6gre tell whether it is GRE over IPv4 or over IPv6: give the "
            "address of "
            "the other end");
  EXPECT_NE(refuse_words("-6 add t mode gre " + kV4), "");
  EXPECT_NE(refuse_words("-6 add gre1 " + kV6).find("ip6ip6"), std::string::npos);
  EXPECT_EQ(accept_words("-f inet6 add t mode ip6gre " + kV6).family, Family::v6);
  EXPECT_EQ(accept_words("-fam inet add t mode ip6gre " + kV6).family, Family::v6);
  EXPECT_NE(refuse_words("-f"), "");
  EXPECT_NE(refuse_words("-f bridge show"), "");
  EXPECT_NE(refuse_words("-x show"), "");
}

TEST(IpTunnelTest, WhatWeDoNotServeIsRefusedByName) {
  for (const char* mode : {"ip6ip6", "ipv6/ipv6", "ipip6", "ip/ipv6", "ipv4/ipv6", "ip4ip6", "any", "vti",
                           "vti6", "isatap", "gretap", "ip6gretap", "erspan"}) {
    const std::string error = refuse_words(std::string("add t mode ") + mode + " " + kV4);
    EXPECT_TRUE(error.starts_with(std::string("mode: '") + mode + "': ")) << error;
    EXPECT_NE(error.find("served"), std::string::npos) << error;
    EXPECT_NE(error.find("use "), std::string::npos) << error;
  }
  EXPECT_EQ(refuse_words("add t mode GRE " + kV4),
            "mode: 'GRE' is no mode of `ip tunnel`; gre, sit, ipip or ip6gre");
  EXPECT_NE(refuse_words("add t mode wireguard").find("use `hatsd-user up FILE`"), std::string::npos);
  EXPECT_NE(refuse_words("prl prl-default 192.0.2.1 dev sit0").find("ISATAP"), std::string::npos);
  EXPECT_NE(refuse_words("6rd dev sit0 6rd-reset").find("6rd"), std::string::npos);
  for (const char* option : {"fwmark 5", "external", "encap fou", "6rd-prefix 2001::/16", "type gre"})
    EXPECT_NE(refuse_words("add t mode gre " + kV4 + " " + option).find("`name "), std::string::npos)
        << option;
  for (const char* remote : {"any", "0.0.0.0", "224.0.0.9", "255.255.255.255"}) {
    EXPECT_NE(refuse_words(std::string("add t mode gre local 192.0.2.1 remote ") + remote).find("remote: "),
              std::string::npos);
  }
  EXPECT_NE(refuse_words("add t mode ip6gre local 2001:db8::1 remote ff02::1").find("multicast"),
            std::string::npos);
  EXPECT_NE(refuse_words("add t mode gre local 192.0.2.1").find("remote: is missing"), std::string::npos);
  EXPECT_NE(refuse_words("add t mode gre mode sit " + kV4).find("two modes"), std::string::npos);
  EXPECT_EQ(added("t mode gre mode gre/ip " + kV4).kind, Kind::gre);
  for (const char* word : {"192.0.2.1/30", "host.example", "192.0.2.256", "fe80::1%lo", "{ourside"})
    EXPECT_NE(refuse_words(std::string("add t mode gre remote ") + word), "") << word;
  for (const char* option : {"mode", "remote", "local", "dev", "ttl", "tos", "key", "name", "keepalive 3"})
    EXPECT_NE(refuse_words("add gre1 " + kV4 + " " + option).find("missing"), std::string::npos) << option;
}

TEST(IpTunnelTest, APlaceholderIsNamedHoweverTheShellHasTakenItApart) {
  const std::string unfilled = "the placeholder {yourside ip} of the guide is not filled in";
  for (const char* line : {"add g7 mode gre local {yourside ip} remote {ourside ip}",
                           "add g7 mode gre local {yourside ip} ttl 255"})
    EXPECT_EQ(refuse_words(line).find("local: " + unfilled), 0u) << refuse_words(line);
  EXPECT_EQ(refuse_words("add {your name} mode gre").find("name: the placeholder {your name} of the guide"),
            0u);
  EXPECT_EQ(refuse_words("add g7 mode gre local {192.0.2.1} " + kV4).find("local: the braces"), 0u);
  EXPECT_EQ(refuse_words("add g7 mode gre local {yourside").find("local: the braces"), 0u);
  EXPECT_EQ(refuse_words("add g7 mode gre local 192.0.2.1}").find("local: the braces"), 0u);
}

TEST(IpTunnelTest, WhatIsNoOptionIsSaidWithWhatIsMeant) {
  EXPECT_EQ(refuse_words("add g6 mode gre " + kV4 + " tll 255"),
            "'tll' is no option of `ip tunnel`; did you mean ttl?");
  EXPECT_EQ(refuse_words("add g6 mode gre " + kV4 + " mtu 1400"),
            "'mtu' is no option of `ip tunnel`; use `ip link set g6 mtu BYTES`");
}

TEST(IpTunnelTest, AMissingNameIsToldInTheWordsOfItsVerb) {
  EXPECT_EQ(refuse_words("add"), "name: is missing; say which interface is meant: `tunnel add NAME ...`");
  EXPECT_EQ(refuse_words("change ttl 5"),
            "name: is missing; say which interface is meant: `tunnel change NAME ...`");
  EXPECT_EQ(refuse_words("del"), "name: is missing; say which interface is meant: `tunnel del NAME`");
}

TEST(IpTunnelTest, OurExtensionsAreChecked) {
  const encap::TunnelConfig tunnel = added("t mode gre keepalive 10 3 " + kV4);
  EXPECT_EQ(tunnel.keepalive, (encap::Keepalive{10, 3}));
  EXPECT_EQ(apply(accept_words("change t nokeepalive"), tunnel)->keepalive, encap::Keepalive{});
  EXPECT_EQ(apply(accept_words("change t ttl 3"), tunnel)->keepalive, (encap::Keepalive{10, 3}));
  EXPECT_EQ(added("t mode gre keepalive 32767 255 " + kV4).keepalive, (encap::Keepalive{32767, 255}));
  for (const char* bad : {"0 3", "32768 3", "10 0", "10 256", "x 3", "10 x"})
    EXPECT_NE(refuse_words(std::string("add t mode gre keepalive ") + bad + " " + kV4), "") << bad;
  EXPECT_EQ(interface_config(accept_words("add t mode gre linklocal plain " + kV4))->link_local,
            LinkLocal::plain);
  EXPECT_EQ(interface_config(accept_words("add t mode gre " + kV4))->link_local, LinkLocal::as_kernel);
  EXPECT_EQ(interface_config(accept_words("add t mode sit linklocal none " + kV4))->link_local,
            LinkLocal::none);
  EXPECT_NE(refuse_words("add t mode gre linklocal eui64 " + kV4), "");
  EXPECT_NE(refuse_words("add t mode sit linklocal isatap " + kV4), "");
  EXPECT_NE(refuse_words("add t mode ipip linklocal plain " + kV4), "");
  EXPECT_NE(refuse_words("add t mode ip6gre linklocal plain " + kV6), "");
}

TEST(IpTunnelTest, ChangeBeginsWithThePresentValues) {
  const encap::TunnelConfig before = added("t mode gre key 5 seq ttl 64 tos 10 " + kV4);
  encap::TunnelConfig expected = before;
  expected.remote = ip("198.51.100.7");
  EXPECT_EQ(apply(accept_words("change t remote 198.51.100.7"), before), expected);
  expected = before;
  expected.in_checksum = expected.out_checksum = true;
  expected.local = IpAddress{};
  EXPECT_EQ(apply(accept_words("change t csum local any"), before), expected);
  EXPECT_EQ(apply(accept_words("change t"), before), before);
  EXPECT_FALSE(apply(accept_words("change t mode sit"), before));
  EXPECT_FALSE(apply(accept_words("change t remote 2001:db8::7"), before));
  EXPECT_FALSE(apply(accept_words("change t local 2001:db8::7"), before));
  EXPECT_FALSE(apply(accept_words("change t remote any"), before));
  EXPECT_FALSE(apply(accept_words("change t encaplimit 4"), before));
  const encap::TunnelConfig over_v6 = added("t mode ip6gre " + kV6);
  EXPECT_EQ(apply(accept_words("change t hoplimit 9 encaplimit none"), over_v6)->encapsulation_limit,
            std::nullopt);
  EXPECT_FALSE(apply(accept_words("change t nopmtudisc"), over_v6));
  EXPECT_FALSE(apply(accept_words("change t key 5"), added("t mode sit " + kV4)));
}

TEST(IpTunnelTest, TheInterfaceSaysWhatWasWritten) {
  const auto guide = interface_config(accept_words("add t mode ip6gre dev eth0 " + kV4));
  ASSERT_TRUE(guide && guide->tunnel);
  EXPECT_EQ(guide->format, Format::ip_tunnel);
  EXPECT_EQ(guide->tunnel->mode, "ip6gre");
  EXPECT_EQ(guide->tunnel->underlay, "eth0");
  EXPECT_EQ(guide->tunnel->tunnel.kind, Kind::gre);
  EXPECT_EQ(interface_config(accept_words("add sit1 " + kV4))->tunnel->mode, "sit");
}

TEST(IpTunnelTest, ShowSelectsByWhatItNames) {
  const encap::TunnelConfig gre = added("t mode gre key 5 " + kV4);
  const encap::TunnelConfig over_v6 = added("t mode ip6gre " + kV6);
  const auto listed = [](const std::string& line, const encap::TunnelConfig& tunnel) {
    return selects(accept_words(line), "t", tunnel, 0);
  };
  for (const char* line : {"", "show", "show t", "-4 show", "show mode gre", "show remote 192.0.2.2",
                           "show local any", "show mode gre key 5"})
    EXPECT_TRUE(listed(line, gre)) << line;
  for (const char* line : {"show u", "-6 show", "show mode sit", "show remote 192.0.2.3",
                           "show local 192.0.2.2", "show mode gre key 6"})
    EXPECT_FALSE(listed(line, gre)) << line;
  EXPECT_TRUE(listed("show", over_v6));
  EXPECT_TRUE(listed("show mode ip6gre", over_v6));
  EXPECT_FALSE(listed("-4 show", over_v6));
  EXPECT_FALSE(listed("show mode gre", over_v6));
  EXPECT_FALSE(selects(accept_words("show dev lo"), "t", gre, 1));
  EXPECT_NE(refuse_words("show key 5"), "");
}

}  // namespace
}  // namespace hats::config
