// systemd-networkd's .netdev files (formats.md 2.1 to 2.4). What networkd 252 does with a file was seen by
// running it in namespaces of its own; where we differ on purpose, the test says so.
#include "tests/unit/core/config_networkd_support.hpp"

namespace hats::config::test {
namespace {

const std::string kGre = "[NetDev]\nName=t0\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n";

crypto::PublicKey public_key(const std::string& text) {
  crypto::PublicKey key;
  EXPECT_TRUE(crypto::key_from_base64(text, key.bytes));
  return key;
}

IpAddress address(const std::string& text) {
  return *IpAddress::parse(text);
}

// ---- The guide ----

TEST(NetdevGuide, WireGuardWithItsPlaceholdersFilledIn) {
  const InterfaceConfig config =
      accept("[NetDev]\nName = hats0\nKind = wireguard\n\n[WireGuard]\nListenPort = 51820\nPrivateKey = " +
                 kPrivate + "\n\n[WireGuardPeer]\nPublicKey           = " + kPublic +
                 "\nAllowedIPs          = 0.0.0.0/0, ::/0\nEndpoint            = 192.0.2.2:51821\n"
                 "PersistentKeepalive = 25\n",
             "[Match]\nName = hats0\n\n[Network]\nAddress = 10.0.0.1/30\n");
  EXPECT_EQ(config.format, Format::networkd);
  EXPECT_FALSE(config.tunnel);
  ASSERT_TRUE(config.private_key);
  EXPECT_EQ(config.listen_port, 51820);
  EXPECT_EQ(config.mtu, 1420u);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::off);
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_EQ(config.peers[0].public_key, public_key(kPublic));
  ASSERT_EQ(config.peers[0].allowed_ips.size(), 2u);
  EXPECT_EQ(config.peers[0].allowed_ips[1].prefix.text(), "::/0");
  EXPECT_EQ(config.peers[0].endpoint->text(), "192.0.2.2:51821");
  EXPECT_EQ(config.peers[0].persistent_keepalive_s, 25);
  ASSERT_EQ(config.addresses.size(), 1u);
  EXPECT_EQ(config.addresses[0].prefix.text(), "10.0.0.1/30");
  EXPECT_EQ(config.addresses[0].file, "N.network");
  EXPECT_EQ(config.addresses[0].line, 5);
  EXPECT_TRUE(config.routes.empty());
  EXPECT_EQ(warnings_of(config), "");
}

TEST(NetdevGuide, GreAndSitWithTheirPlaceholdersFilledIn) {
  const InterfaceConfig gre = accept(
      "[NetDev]\nName = hats0\nKind = gre\n\n[Tunnel]\nLocal  = 192.0.2.1\nRemote = 192.0.2.2\nTTL    = "
      "255\n",
      "[Match]\nName = hats0\n\n[Network]\nAddress = 10.0.0.1/30\n");
  ASSERT_TRUE(gre.tunnel);
  EXPECT_EQ(gre.tunnel->tunnel.kind, encap::Kind::gre);
  EXPECT_EQ(gre.tunnel->tunnel.local, address("192.0.2.1"));
  EXPECT_EQ(gre.tunnel->tunnel.remote, address("192.0.2.2"));
  EXPECT_EQ(gre.tunnel->tunnel.ttl, 255);
  EXPECT_TRUE(gre.tunnel->tunnel.path_mtu_discovery);
  EXPECT_EQ(gre.tunnel->mode, "gre");
  EXPECT_FALSE(gre.mtu);
  EXPECT_EQ(warnings_of(gre), "");

  const InterfaceConfig sit = accept(
      "[NetDev]\nName = hats0\n# Kind = sit   (for 6in4)\n# Kind = ip6gre (for GRE over IPv4 carrying IPv6)\n"
      "Kind = sit\n\n[Tunnel]\nLocal  = 192.0.2.1\nRemote = 192.0.2.2\nTTL    = 255\n");
  EXPECT_EQ(sit.tunnel->tunnel.kind, encap::Kind::sit);
  EXPECT_EQ(warnings_of(sit), "");
}

TEST(NetdevGuide, Ip6greWithIpv4EndsIsGreOverIpv4) {
  const InterfaceConfig config = accept(
      "[NetDev]\nName = hats0\nKind = ip6gre\n\n[Tunnel]\nLocal  = 192.0.2.1\nRemote = 192.0.2.2\nTTL    = "
      "255\n");
  EXPECT_EQ(config.tunnel->tunnel.kind, encap::Kind::gre);
  EXPECT_EQ(config.tunnel->tunnel.outer(), Family::v4);
  EXPECT_EQ(config.tunnel->mode, "ip6gre");
  EXPECT_EQ(warnings_of(config), "N.netdev:7: Remote: ip6gre with IPv4 endpoints taken as GRE over IPv4\n");
}

TEST(NetdevGuide, BracesThatWereLeftInAreNamed) {
  EXPECT_EQ(
      refuse("[NetDev]\nName = {name}\nKind = wireguard\n"),
      "N.netdev:2: Name: the placeholder {name} of the guide is not filled in; put your own value there, "
      "without braces");
  EXPECT_HAS(refuse("[NetDev]\nName = a\nKind = gre\n[Tunnel]\nLocal  = {yourside ip}\nRemote = 192.0.2.2\n"),
             "N.netdev:5: Local: the placeholder {yourside ip} of the guide is not filled in");
  EXPECT_HAS(refuse("[NetDev]\nName = a\nKind = wireguard\n[WireGuard]\nListenPort = {yourside port}\n"),
             "N.netdev:5: ListenPort: the placeholder {yourside port}");
  const std::string secret =
      refuse("[NetDev]\nName = a\nKind = wireguard\n[WireGuard]\nPrivateKey = {" + kPrivate + "}\n");
  EXPECT_HAS(secret, "N.netdev:5: PrivateKey: the braces of a placeholder are left in");
  EXPECT_FALSE(has(secret, kPrivate));
  EXPECT_HAS(refuse(kGre, "[Match]\nName=t0\n[Network]\nAddress = {your tunnel ip cidr}\n"),
             "N.network:4: Address: the placeholder {your tunnel ip cidr}");
}

// ---- Syntax ----

TEST(NetdevGuide, APlaceholderIsToldOnce) {
  EXPECT_EQ(refuse_all("[NetDev]\nName={your interface}\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n"),
            "N.netdev:2");
  EXPECT_EQ(refuse_all("[NetDev]\nName=t0\nKind={your kind}\n[Tunnel]\nRemote=192.0.2.2\n"), "N.netdev:3");
}

TEST(NetdevSyntax, CaseCountsInSectionsAndKeys) {
  EXPECT_HAS(refuse("# a\n[netdev]\nName=t0\nKind=gre\n"),
             "N.netdev:2: unknown section [netdev]; did you mean [NetDev]?");
  const InterfaceConfig config = accept(kGre + "ttl=5\n[tunnel]\nTTL=6\n");
  EXPECT_EQ(config.tunnel->tunnel.ttl, 0);
  EXPECT_HAS(warnings_of(config), "N.netdev:6: ttl: unknown key in [Tunnel]; did you mean TTL?");
  EXPECT_HAS(warnings_of(config), "N.netdev:7: unknown section [tunnel]; did you mean [Tunnel]?");
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=Gre\n"), "did you mean gre?");
}

TEST(NetdevSyntax, CommentsStandOnLinesOfTheirOwn) {
  EXPECT_EQ(accept("; one\n  # two\n" + kGre + "  ;TTL=5\n").tunnel->tunnel.ttl, 0);
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind = sit  # x\n"), "a comment needs a line of its own");
  EXPECT_HAS(refuse(kGre, "[Match]\nName=t0\n[Network]\nAddress=10.1.0.1/24 # inline\n"),
             "N.network:4: Address: '10.1.0.1/24 # inline'");
}

TEST(NetdevSyntax, ABackslashContinuesALineAndCommentsBetweenAreSkipped) {
  const InterfaceConfig config =
      accept(peer_with("AllowedIPs=10.0.0.0/8, \\\n# not this\n  192.168.0.0/16\\\n\nEndpoint=192.0.2.1:1"));
  ASSERT_EQ(config.peers[0].allowed_ips.size(), 2u);
  EXPECT_EQ(config.peers[0].allowed_ips[1].prefix.text(), "192.168.0.0/16");
  EXPECT_EQ(config.peers[0].endpoint->line, 12);
  // networkd puts a blank in the backslash's place.
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gr\\\ne\n"), "'gr e' is not a kind");
  EXPECT_EQ(accept(kGre + "TTL=7\\").tunnel->tunnel.ttl, 7);         // at the end of the file
  EXPECT_HAS(refuse(kGre + "TTL=7\\\\\n"), "'7\\\\' is not a TTL");  // a backslash that is taken back
}

TEST(NetdevSyntax, AByteOrderMarkAndCarriageReturnsAreTolerated) {
  EXPECT_EQ(
      warnings_of(accept("\xEF\xBB\xBF[NetDev]\r\nName=t0\r\nKind=gre\r\n[Tunnel]\r\nRemote=192.0.2.2\r\n")),
      "");
}

TEST(NetdevSyntax, SkippedLinesAreWarnedOf) {
  const std::string warnings =
      warnings_of(accept("Name=x\n" + kGre + "novalue\n=x\nX-Foo=1\n[X-Bar]\nBaz=1\n"));
  EXPECT_HAS(warnings, "N.netdev:1: the line stands before the first section");
  EXPECT_HAS(warnings, "N.netdev:7: the line has no '='");
  EXPECT_HAS(warnings, "N.netdev:8: there is no key before '='");
  EXPECT_EQ(std::ranges::count(warnings, '\n'), 3);  // X- is silent
}

TEST(NetdevSyntax, ABrokenHeaderOrForeignBytesFailTheFile) {
  EXPECT_HAS(refuse("[NetDev] x\nName=t0\n"), "N.netdev:1: broken section header '[NetDev] x'");
  EXPECT_HAS(refuse(kGre + "[Foo\n"), "N.netdev:6: broken section header");
  EXPECT_HAS(refuse(kGre + "[]\n"), "N.netdev:6: broken section header");
  for (const char* bytes :
       {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xe0\x80\xaf"}) {
    EXPECT_HAS(refuse(kGre + "TTL=" + bytes + "\n"), "N.netdev:6: the line is not UTF-8");
  }
  EXPECT_HAS(refuse(kGre + std::string("TTL=\0001\n", 7)), "N.netdev:6: the line holds a zero byte");
  accept(kGre + "Description=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n# \xff in a comment\n");
}

TEST(NetdevSyntax, UnknownKeysAreWarnedOfAndMayBelongElsewhere) {
  const std::string warnings = warnings_of(accept(wireguard_with("AllowedIPs=10.0.0.0/8\nListenprt=5")));
  EXPECT_HAS(warnings, "N.netdev:6: AllowedIPs: unknown key in [WireGuard]; it belongs in [WireGuardPeer]");
  EXPECT_HAS(warnings, "N.netdev:7: Listenprt: unknown key in [WireGuard]; did you mean ListenPort?");
  EXPECT_HAS(warnings_of(accept(kGre + "[WireGuard]\nListenPort=1\n")),
             "[WireGuard] means nothing for this Kind");
}

TEST(NetdevSyntax, DropInsComeAfterTheFile) {
  NetworkdSources sources = sources_of(kGre + "TTL=5\n");
  sources.netdev.push_back({"N.netdev.d/a.conf", "[Tunnel]\nTTL=6\n[NetDev]\nName=t1\n"});
  EXPECT_EQ(accept(sources).tunnel->tunnel.ttl, 6);
  EXPECT_EQ(netdev_identity(sources.netdev)->name, "t1");
  sources.netdev.push_back({"N.netdev.d/b.conf", "[Tunnel]\nTTL=\nLocal=bad\n"});
  EXPECT_HAS(refuse(sources), "N.netdev.d/b.conf:3: Local: 'bad' is not an address");
}

TEST(NetdevSyntax, WhatIsMissingMayBeMisspelt) {
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gre\n[Tunel]\nRemote=192.0.2.2\n"),
             "N.netdev:4: unknown section [Tunel]; did you mean [Tunnel]?");
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gre\n[Tunnel]\nRemot=192.0.2.2\n"),
             "N.netdev:5: Remot: unknown key in [Tunnel]; did you mean Remote?");
  EXPECT_HAS(refuse("[NetDev]\nname=t0\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n"),
             "N.netdev:2: name: unknown key in [NetDev]; did you mean Name?");
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=wireguard\n[Wireguard]\nPrivateKey=" + kPrivate + "\n"),
             "N.netdev:4: unknown section [Wireguard]; did you mean [WireGuard]?");
  const std::string text =
      refuse("[NetDev]\nName=t0\nKind=wireguard\n[WireGuard]\nPrivateKy=" + kPrivate + "\n");
  EXPECT_HAS(text, "N.netdev:5: PrivateKy: unknown key in [WireGuard]; did you mean PrivateKey?");
  EXPECT_FALSE(has(text, kPrivate));
  // A key that is known is not taken for another.
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gre\n[Tunnel]\nMode=any\n"),
             "N.netdev:4: Remote: is missing in [Tunnel]");
}

TEST(NetdevSyntax, AllFaultsAreToldAtOnce) {
  EXPECT_EQ(
      refuse_all("[NetDev]\nName=a b\nKind=gre\nMTUBytes=big\n[Tunnel]\nLocal=x\nRemote=y\nTTL=256\nKey=z\n",
                 "[Match]\nName=t0\n[Network]\nAddress=no\n[Route]\nGateway=no\n[Address]\nLabel=a\n"),
      "N.netdev:2 N.netdev:4 N.netdev:6 N.netdev:7 N.netdev:8 N.netdev:9 N.network:4 N.network:6 "
      "N.network:7");
  EXPECT_EQ(refuse_all(wireguard_with("ListenPort=x\nFwMark=y\n[WireGuardPeer]\nPublicKey=a\nEndpoint=b\n"
                                      "[WireGuardPeer]\nPublicKey=c\n")),
            "N.netdev:6 N.netdev:7 N.netdev:9 N.netdev:10 N.netdev:12");
  // What is faulty is not told to be missing as well.
  EXPECT_EQ(refuse_all("[NetDev]\nName=t0\nKind=gre\n[Tunnel]\nRemote=y\n"), "N.netdev:5");
  EXPECT_EQ(refuse_all("[NetDev]\nName=t0\nKind=wireguard\n[WireGuard]\nPrivateKey=y\n"), "N.netdev:5");
}

TEST(NetdevSyntax, ThatThereAreMoreFaultsIsSaid) {
  std::string lines;
  for (int i = 0; i < 25; ++i) lines += "TTL=x\n";
  const auto config = parse_networkd(sources_of(tunnel_with("gre", lines)));
  ASSERT_FALSE(config);
  ASSERT_EQ(config.error().more.size(), 20u);
  EXPECT_EQ(config.error().more.back().text("F"), "N.netdev:1: and more faults");
}

// ---- [NetDev], [Match] ----

TEST(Netdev, NameAndKindAreCompulsory) {
  EXPECT_HAS(refuse("# a\n[NetDev]\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n"),
             "N.netdev:2: Name: is missing in [NetDev]; write Name = INTERFACE");
  EXPECT_HAS(refuse("[Match]\n[NetDev]\nName=t0\n"), "N.netdev:2: Kind: is missing in [NetDev]");
  EXPECT_HAS(refuse("[Match]\n[NetDev]\n"),
             "N.netdev:2: Name: is missing in [NetDev]; write Name = INTERFACE and Kind");
  EXPECT_HAS(refuse("# a\n"), "N.netdev:1: Name: is missing, as there is no section [NetDev]");
  EXPECT_HAS(refuse("[NetDev]\nName=toolongname_____16\nKind=gre\n"), "at most 15");
  EXPECT_HAS(refuse("[NetDev]\nName=a b\nKind=gre\n"), "N.netdev:2: Name: 'a b' is not an interface name");
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=vlan\n"),
             "N.netdev:3: Kind: 'vlan' is not a kind that hatsd-user makes");
}

TEST(Netdev, TheFirstKindAndTheLastNameCount) {
  const InterfaceConfig config =
      accept("[NetDev]\nName=a\nKind=gre\nKind=sit\nName=b\n[Tunnel]\nRemote=192.0.2.2\n");
  EXPECT_EQ(config.tunnel->tunnel.kind, encap::Kind::gre);
  EXPECT_HAS(warnings_of(config), "N.netdev:4: Kind: the kind is gre already");
  EXPECT_EQ(netdev_name("[NetDev]\nName=a\nName=b\n"), "b");
  EXPECT_EQ(netdev_name("[NetDev]\nName=a\nName=\n"), std::nullopt);
  EXPECT_EQ(netdev_name("[NetDev\nName=a\n"), std::nullopt);
  EXPECT_EQ(netdev_name("[Tunnel]\nName=a\n"), std::nullopt);
}

TEST(Netdev, MtuHasSuffixesOfBase1024AndTheNetworkFileCountsMore) {
  const auto mtu = [](const std::string& value) {
    return accept("[NetDev]\nName=t0\nKind=gre\nMTUBytes=" + value + "\n[Tunnel]\nRemote=192.0.2.2\n");
  };
  EXPECT_EQ(mtu("1472").mtu, 1472u);
  EXPECT_EQ(mtu("1472").mtu_line, 4);
  EXPECT_EQ(mtu("1472").mtu_file, "N.netdev");
  EXPECT_EQ(mtu("2K").mtu, 2048u);
  EXPECT_EQ(mtu("1.4K").mtu, 1433u);  // networkd 252 sets 1433
  EXPECT_EQ(mtu("").mtu, std::nullopt);
  for (const char* bad : {"67", "64K", "1M", "1G", "x", "1400x", "-1", "1.K", "1.2.3"}) {
    EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gre\nMTUBytes=" + std::string(bad) +
                      "\n[Tunnel]\nRemote=192.0.2.2\n"),
               "N.netdev:4: MTUBytes: '" + std::string(bad) + "' is not an MTU");
  }
  const InterfaceConfig both =
      accept("[NetDev]\nName=t0\nKind=gre\nMTUBytes=1400\n[Tunnel]\nRemote=192.0.2.2\n",
             "[Match]\nName=t0\n[Link]\nMTUBytes=1300\n");
  EXPECT_EQ(both.mtu, 1300u);
  EXPECT_EQ(both.mtu_line, 4);
  EXPECT_EQ(both.mtu_file, "N.network");
}

TEST(Netdev, ConditionsOfTheHostAreAskedWhereTheyAreKnown) {
  NetworkdSources sources = sources_of(kGre);
  sources.host = {.host_name = "router1",
                  .machine_id = "0123456789abcdef0123456789abcdef",
                  .architecture = "x86_64",
                  .kernel_release = "6.1.0-13-amd64",
                  .kernel_command_line = "root=/dev/vda quiet"};
  const auto with = [&](const std::string& line) {
    sources.netdev.front().text = "[Match]\n" + line + "\n" + kGre;
    return sources;
  };
  for (const char* line :
       {"Host=router*", "Host=!other", "Host=0123456789abcdef0123456789abcdef", "Architecture=x86-64",
        "Architecture=native", "Architecture=!arm", "KernelVersion=>=3.10", "KernelVersion=> 6 <7",
        "KernelVersion=6.1*", "KernelVersion=!<6", "KernelCommandLine=quiet", "KernelCommandLine=root",
        "KernelCommandLine=!debug", "KernelCommandLine=root=/dev/vda",
        "Host=other\nHost=", "Host=other\nHost=router1"}) {
    accept(with(line));
    EXPECT_TRUE(is_for_host(sources.netdev, sources.host)) << line;
  }
  for (const char* line : {"Host=other", "Host=!router?", "Architecture=arm", "KernelVersion=<6.1",
                           "KernelVersion=>=6.10", "KernelCommandLine=root=x", "KernelCommandLine=!quiet"}) {
    EXPECT_HAS(refuse(with(line)), "N.netdev:2: ");
    EXPECT_FALSE(is_for_host(sources.netdev, sources.host)) << line;
  }
  for (const char* line : {"Virtualization=vm", "Firmware=uefi", "Credential=x"}) {
    EXPECT_HAS(refuse(with(line)), "cannot tell whether");
    EXPECT_TRUE(is_for_host(sources.netdev, sources.host)) << line;
  }
  sources.host = {};
  EXPECT_HAS(refuse(with("Host=router1")), "N.netdev:2: Host: hatsd-user cannot tell");
}

// ---- [Tunnel] ----

TEST(NetdevTunnel, TtlDefaultsToInheritOverIpv4AndTo64ForIp6gre) {
  EXPECT_EQ(tunnel_of("gre", "").ttl, 0);
  EXPECT_EQ(tunnel_of("sit", "").ttl, 0);
  EXPECT_EQ(tunnel_of("ipip", "").ttl, 0);
  EXPECT_EQ(tunnel_of("ip6gre", "").ttl, 64);
  EXPECT_EQ(tunnel_of("ip6gre", "TTL=0").ttl, 0);
  EXPECT_EQ(tunnel_of("gre", "TTL=0x40").ttl, 64);
  EXPECT_EQ(tunnel_of("gre", "TTL=5\nTTL=").ttl, 0);
  for (const char* bad : {"256", "-1", "x", "1.5"}) {
    EXPECT_HAS(refuse(tunnel_with("gre", "TTL=" + std::string(bad))),
               "N.netdev:7: TTL: '" + std::string(bad));
  }
  // networkd skips the word and has 0, which means it.
  EXPECT_HAS(warnings_of(accept(tunnel_with("gre", "TTL=inherit"))), "N.netdev:7: TTL:");
  EXPECT_HAS(refuse(tunnel_with("ip6gre", "TTL=inherit")), "N.netdev:7: TTL: 'inherit' is not a TTL");
}

TEST(NetdevTunnel, TosBitZeroCopiesTheInnerField) {
  EXPECT_EQ(tunnel_of("gre", "TOS=0xb8").tos, 0xb8);
  EXPECT_FALSE(tunnel_of("gre", "TOS=0xb8").tos_inherit);
  EXPECT_TRUE(tunnel_of("sit", "TOS=1").tos_inherit);
  EXPECT_EQ(tunnel_of("sit", "TOS=0x11").tos, 0x10);
  EXPECT_HAS(refuse(tunnel_with("gre", "TOS=300")), "N.netdev:7: TOS: '300'");
  EXPECT_HAS(warnings_of(accept(tunnel_with("ip6gre", "TOS=8"))), "TOS: has no effect for Kind=ip6gre");
}

TEST(NetdevTunnel, FragmentationFollowsDiscoverPathMtuAndIgnoreDontFragment) {
  EXPECT_TRUE(tunnel_of("gre", "").path_mtu_discovery);
  EXPECT_FALSE(tunnel_of("gre", "").ignore_df);
  EXPECT_FALSE(tunnel_of("gre", "DiscoverPathMTU=no").path_mtu_discovery);
  EXPECT_FALSE(tunnel_of("gre", "IgnoreDontFragment=yes").path_mtu_discovery);
  EXPECT_TRUE(tunnel_of("gre", "IgnoreDontFragment=yes").ignore_df);
  EXPECT_TRUE(tunnel_of("gre", "IgnoreDontFragment=no\nDiscoverPathMTU=yes").path_mtu_discovery);
  EXPECT_HAS(refuse(tunnel_with("gre", "DiscoverPathMTU=yes\nIgnoreDontFragment=yes")),
             "N.netdev:8: IgnoreDontFragment: cannot be together");
  EXPECT_HAS(refuse(tunnel_with("gre", "DiscoverPathMTU=maybe")), "N.netdev:7: DiscoverPathMTU:");
}

TEST(NetdevTunnel, DfStaysOnSitAndIpipWithAFixedTtlAsWithTheKernels) {
  for (const char* kind : {"sit", "ipip"}) {
    const auto fixed = accept(tunnel_with(kind, "TTL=64\nDiscoverPathMTU=no"));
    EXPECT_TRUE(fixed.tunnel->tunnel.path_mtu_discovery) << kind;
    EXPECT_HAS(warnings_of(fixed), "N.netdev:8: DiscoverPathMTU: has no effect for Kind=" +
                                       std::string(kind) + " with a fixed TTL: DF stays set");
    const auto ignoring = accept(tunnel_with(kind, "TTL=64\nIgnoreDontFragment=yes"));
    EXPECT_TRUE(ignoring.tunnel->tunnel.path_mtu_discovery) << kind;
    EXPECT_HAS(warnings_of(ignoring), "N.netdev:8: IgnoreDontFragment: has no effect");
    const auto inheriting = accept(tunnel_with(kind, "DiscoverPathMTU=no"));
    EXPECT_FALSE(inheriting.tunnel->tunnel.path_mtu_discovery) << kind;
    EXPECT_EQ(warnings_of(inheriting), "") << kind;
  }
  EXPECT_FALSE(tunnel_of("gre", "TTL=64\nDiscoverPathMTU=no").path_mtu_discovery);
  EXPECT_TRUE(tunnel_of("gre", "TTL=64\nIgnoreDontFragment=yes").ignore_df);
}

TEST(NetdevTunnel, SitAndIpipKnowNoIgnoreDontFragmentAsTheKernels) {
  for (const char* kind : {"sit", "ipip"}) {
    const auto config = accept(tunnel_with(kind, "IgnoreDontFragment=yes"));
    EXPECT_FALSE(config.tunnel->tunnel.ignore_df) << kind;
    EXPECT_FALSE(config.tunnel->tunnel.path_mtu_discovery) << kind;
    EXPECT_HAS(warnings_of(config), "N.netdev:7: IgnoreDontFragment: is no more than DiscoverPathMTU=no");
  }
}

TEST(NetdevTunnel, BooleansHaveManySpellings) {
  for (const char* yes : {"1", "yes", "y", "true", "t", "on", "YES", "On"}) {
    EXPECT_TRUE(tunnel_of("gre", "SerializeTunneledPackets=" + std::string(yes)).in_sequence) << yes;
  }
  for (const char* no : {"0", "no", "n", "false", "f", "off", ""}) {
    EXPECT_FALSE(tunnel_of("gre", "SerializeTunneledPackets=" + std::string(no)).in_sequence) << no;
  }
  EXPECT_TRUE(tunnel_of("gre", "SerializeTunneledPackets=yes").out_sequence);
}

TEST(NetdevTunnel, KeysAreNumbersOrDottedQuadsAndZeroIsNone) {
  EXPECT_EQ(tunnel_of("gre", "Key=42").in_key, 42u);
  EXPECT_EQ(tunnel_of("gre", "Key=42").out_key, 42u);
  EXPECT_EQ(tunnel_of("gre", "Key=0x2a").in_key, 42u);
  EXPECT_EQ(tunnel_of("gre", "Key=052").in_key, 42u);
  EXPECT_EQ(tunnel_of("gre", "Key=1.2.3.4").in_key, 0x01020304u);
  EXPECT_EQ(tunnel_of("gre", "Key=4294967295").in_key, 0xffffffffu);
  const auto both = tunnel_of("gre", "InputKey=7\nKey=42\nOutputKey=0.0.0.8");
  EXPECT_EQ(both.in_key, 7u);
  EXPECT_EQ(both.out_key, 8u);
  const auto half = tunnel_of("gre", "InputKey=7");
  EXPECT_EQ(half.in_key, 7u);
  EXPECT_EQ(half.out_key, std::nullopt);
  const InterfaceConfig zero = accept(tunnel_with("gre", "Key=0"));
  EXPECT_EQ(zero.tunnel->tunnel.in_key, std::nullopt);
  EXPECT_HAS(warnings_of(zero), "N.netdev:7: Key: is 0, which networkd takes as no key");
  EXPECT_EQ(tunnel_of("gre", "Key=42\nInputKey=0").in_key, 42u);
  EXPECT_HAS(refuse(tunnel_with("gre", "Key=abc")), "N.netdev:7: Key: 'abc' is not a key");
  EXPECT_HAS(refuse(tunnel_with("gre", "OutputKey=4294967296")), "N.netdev:7: OutputKey:");
  EXPECT_HAS(warnings_of(accept(tunnel_with("sit", "Key=42"))),
             "N.netdev:7: Key: has no effect for Kind=sit");
  EXPECT_EQ(tunnel_of("ipip", "Key=42").in_key, std::nullopt);
}

TEST(NetdevTunnel, FlowLabelAndEncapsulationLimitAreOfIpv6) {
  EXPECT_EQ(tunnel_of("ip6gre", "").encapsulation_limit, 4);
  EXPECT_EQ(tunnel_of("ip6gre", "EncapsulationLimit=none").encapsulation_limit, std::nullopt);
  EXPECT_EQ(tunnel_of("ip6gre", "EncapsulationLimit=7").encapsulation_limit, 7);
  EXPECT_HAS(refuse(tunnel_with("ip6gre", "EncapsulationLimit=300")), "N.netdev:7: EncapsulationLimit:");
  EXPECT_EQ(tunnel_of("ip6gre", "IPv6FlowLabel=0xFFFFF").flow_label, 0xFFFFFu);
  EXPECT_TRUE(tunnel_of("ip6gre", "IPv6FlowLabel=inherit").flow_label_inherit);
  EXPECT_HAS(refuse(tunnel_with("ip6gre", "IPv6FlowLabel=0x100000")), "N.netdev:7: IPv6FlowLabel:");
  EXPECT_HAS(warnings_of(accept(tunnel_with("gre", "IPv6FlowLabel=5"))), "IPv6FlowLabel: has no effect");
  EXPECT_HAS(warnings_of(accept(tunnel_with("ip6gre", "SerializeTunneledPackets=yes"))),
             "SerializeTunneledPackets: has no effect for Kind=ip6gre");
}

TEST(NetdevTunnel, LocalMayBeAnyAndRemoteMayNot) {
  const auto ends = [](const std::string& lines) {
    return "[NetDev]\nName=t0\nKind=gre\n[Tunnel]\n" + lines;
  };
  EXPECT_FALSE(accept(ends("Remote=192.0.2.2\n")).tunnel->tunnel.local.is_set());
  EXPECT_FALSE(accept(ends("Local=any\nRemote=192.0.2.2\n")).tunnel->tunnel.local.is_set());
  EXPECT_FALSE(accept(ends("Local=0.0.0.0\nRemote=192.0.2.2\n")).tunnel->tunnel.local.is_set());
  EXPECT_HAS(refuse(ends("Local=192.0.2.1\n")), "N.netdev:4: Remote: is missing");
  EXPECT_HAS(refuse(ends("Local=192.0.2.1\nRemote=any\n")), "N.netdev:6: Remote: is missing");
  EXPECT_HAS(refuse("[NetDev]\nName=t0\nKind=gre\n"),
             "N.netdev:1: Remote: is missing, as there is no section [Tunnel];");
  for (const char* word : {"dhcp4", "dhcp6", "slaac", "ipv4_link_local", "ipv6_link_local"}) {
    EXPECT_HAS(refuse(ends("Local=" + std::string(word) + "\nRemote=192.0.2.2\n")),
               "N.netdev:5: Local: '" + std::string(word));
  }
  EXPECT_HAS(refuse(ends("Remote=garbage\n")), "N.netdev:5: Remote: 'garbage' is not an address");
  EXPECT_HAS(refuse(ends("Remote=192.0.2.2/24\n")), "has a prefix length");
  EXPECT_HAS(refuse(ends("Remote=239.0.0.1\n")), "is not the address of one host");
}

TEST(NetdevTunnel, TheEndsMustBeOfOneFamilyAndOfTheKinds) {
  const auto ends = [](const std::string& kind, const std::string& lines) {
    return refuse("[NetDev]\nName=t0\nKind=" + kind + "\n[Tunnel]\n" + lines);
  };
  EXPECT_HAS(ends("gre", "Local=192.0.2.1\nRemote=2001:db8::2\n"),
             "N.netdev:6: Remote: Local and Remote must both");
  EXPECT_HAS(ends("ip6gre", "Remote=2001:db8::2\nLocal=192.0.2.1\n"),
             "N.netdev:6: Local: Local and Remote must both");
  EXPECT_HAS(ends("gre", "Remote=2001:db8::2\n"), "GRE over IPv6 is Kind = ip6gre");
  EXPECT_HAS(ends("sit", "Remote=2001:db8::2\n"), "N.netdev:5: Remote: Kind=sit runs over IPv4");
  EXPECT_HAS(ends("ipip", "Remote=2001:db8::2\n"), "Kind=ipip runs over IPv4");
  EXPECT_EQ(tunnel_of("ip6gre", "").outer(), Family::v6);
}

TEST(NetdevTunnel, WhatWeCannotMakeRefusesTheFile) {
  for (const char* line :
       {"FooOverUDP=yes", "ISATAP=yes", "External=yes", "IPv6RapidDeploymentPrefix=2002::/16"}) {
    EXPECT_HAS(refuse(tunnel_with("sit", line)), "N.netdev:7: " + std::string(line).substr(0, 5));
  }
  for (const char* line : {"FooOverUDP=no", "ISATAP=no", "External=off",
                           "IPv6RapidDeploymentPrefix=", "Independent=yes", "CopyDSCP=no"}) {
    EXPECT_EQ(warnings_of(accept(tunnel_with("sit", line))), "") << line;
  }
  for (const char* line :
       {"ERSPANVersion=2", "CopyDSCP=yes", "Mode=any", "FOUDestinationPort=1", "AllowLocalRemote=yes"}) {
    EXPECT_HAS(warnings_of(accept(tunnel_with("gre", line))), "N.netdev:7: ");
  }
  EXPECT_EQ(accept(tunnel_with("gre", "AssignToLoopback=yes")).tunnel->underlay, "lo");
}

// ---- [WireGuard] ----

TEST(NetdevWireGuard, AKeyIsCompulsoryAndAFileCountsMore) {
  EXPECT_HAS(refuse("[NetDev]\nName=wg0\nKind=wireguard\n"),
             "N.netdev:1: PrivateKey: is missing, as there is no section [WireGuard];");
  EXPECT_HAS(refuse(wireguard_with("PrivateKey=")), "PrivateKey: is missing");
  const std::string short_key =
      refuse("[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey=" + kPrivate.substr(0, 43));
  EXPECT_HAS(short_key, "N.netdev:5: PrivateKey: not a key");
  EXPECT_FALSE(has(short_key, kPrivate.substr(0, 40)));

  NetworkdSources sources = sources_of(wireguard_with("PrivateKeyFile=/etc/key"));
  EXPECT_EQ(key_files_of(sources.netdev), std::vector<std::string>{"/etc/key"});
  EXPECT_HAS(refuse(sources), "N.netdev:6: PrivateKeyFile: '/etc/key' has not been read");
  sources.key_files.push_back({"/etc/key", "", "No such file or directory"});
  EXPECT_HAS(refuse(sources), "N.netdev:6: PrivateKeyFile: '/etc/key': No such file or directory");
  sources.key_files[0] = {"/etc/key", "secret that is no key\n"};
  EXPECT_HAS(refuse(sources), "'/etc/key' holds not a key");
  EXPECT_FALSE(has(refuse(sources), "secret that"));
  sources.key_files[0] = {"/etc/key", kOther + "\n"};
  const InterfaceConfig config = accept(sources);
  crypto::PrivateKey from_file;
  ASSERT_TRUE(crypto::key_from_base64(kOther, from_file.span()));
  EXPECT_TRUE(config.private_key->equals(from_file));
}

TEST(NetdevWireGuard, CredentialsAndRelativePathsAreRefusedClearly) {
  EXPECT_HAS(refuse(wireguard_with("PrivateKey=@cred")), "N.netdev:6: PrivateKey: a credential of systemd");
  EXPECT_HAS(refuse(wireguard_with("PrivateKeyFile=@cred")),
             "N.netdev:6: PrivateKeyFile: a credential of systemd");
  EXPECT_HAS(refuse(wireguard_with("PrivateKeyFile=rel/path")),
             "N.netdev:6: PrivateKeyFile: the path must be absolute");
  EXPECT_HAS(refuse(peer_with("PresharedKey=@cred")), "N.netdev:8: PresharedKey: a credential of systemd");
}

TEST(NetdevWireGuard, PortAndMark) {
  EXPECT_EQ(accept(wireguard_with("ListenPort=51820")).listen_port, 51820);
  EXPECT_EQ(accept(wireguard_with("ListenPort=auto")).listen_port, std::nullopt);
  EXPECT_EQ(accept(wireguard_with("ListenPort=5\nListenPort=")).listen_port, std::nullopt);
  for (const char* bad : {"0", "65536", "domain", "-1"}) {
    EXPECT_HAS(refuse(wireguard_with("ListenPort=" + std::string(bad))), "N.netdev:6: ListenPort:");
  }
  EXPECT_EQ(accept(wireguard_with("FirewallMark=0x10")).fwmark, 16u);
  EXPECT_EQ(accept(wireguard_with("FwMark=4294967295")).fwmark, 4294967295u);
  EXPECT_EQ(accept(wireguard_with("FwMark=1\nFirewallMark=")).fwmark, std::nullopt);
  EXPECT_HAS(refuse(wireguard_with("FwMark=off")), "N.netdev:6: FwMark: 'off' is not a mark");
}

TEST(NetdevWireGuard, AllowedIpsBetweenCommasAndBlanks) {
  const InterfaceConfig config =
      accept(peer_with("AllowedIPs=10.0.0.1/8,fe80::/10 192.0.2.1\nAllowedIPs=::1"));
  std::vector<std::string> prefixes;
  for (const auto& entry : config.peers[0].allowed_ips) prefixes.push_back(entry.prefix.text());
  EXPECT_EQ(prefixes, (std::vector<std::string>{"10.0.0.0/8", "fe80::/10", "192.0.2.1/32", "::1/128"}));
  EXPECT_EQ(warnings_of(config),
            "N.netdev:8: AllowedIPs: 10.0.0.1/8 has bits behind its prefix; taken as 10.0.0.0/8\n");
  EXPECT_TRUE(accept(peer_with("AllowedIPs=10.0.0.0/8\nAllowedIPs=")).peers[0].allowed_ips.empty());
  EXPECT_HAS(refuse(peer_with("AllowedIPs=10.0.0.0/8, abc")),
             "N.netdev:8: AllowedIPs: 'abc' is not an address");
  EXPECT_HAS(refuse(peer_with("AllowedIPs=+10.0.0.0/8")), "has a sign");
  EXPECT_TRUE(config.peers[0].replace_allowed_ips);
}

TEST(NetdevWireGuard, EndpointsAreAddressesOrNamesWithANumberAsPort) {
  const auto endpoint = [](const std::string& value) {
    return accept(peer_with("Endpoint=" + value)).peers[0].endpoint->text();
  };
  EXPECT_EQ(endpoint("192.0.2.1:51820"), "192.0.2.1:51820");
  EXPECT_EQ(endpoint("[2001:db8::1]:51820"), "[2001:db8::1]:51820");
  EXPECT_EQ(endpoint("peer.example.org:51820"), "peer.example.org:51820");
  EXPECT_EQ(endpoint("2001:db8::1:51820"), "[2001:db8::1]:51820");
  for (const char* bad : {"192.0.2.1:0", "192.0.2.1", "name:http", "192.0.2.1:65536", "[2001:db8::1]"}) {
    EXPECT_HAS(refuse(peer_with("Endpoint=" + std::string(bad))), "N.netdev:8: Endpoint:");
  }
  EXPECT_FALSE(accept(peer_with("Endpoint=192.0.2.1:1\nEndpoint=")).peers[0].endpoint);
}

TEST(NetdevWireGuard, KeepaliveIsOffInSmallLettersOnly) {
  EXPECT_EQ(accept(peer_with("PersistentKeepalive=25")).peers[0].persistent_keepalive_s, 25);
  EXPECT_EQ(accept(peer_with("PersistentKeepalive=off")).peers[0].persistent_keepalive_s, 0);
  EXPECT_EQ(accept(peer_with("")).peers[0].persistent_keepalive_s, std::nullopt);
  EXPECT_HAS(refuse(peer_with("PersistentKeepalive=OFF")),
             "N.netdev:8: PersistentKeepalive: 'OFF' must be in small letters");
  EXPECT_HAS(refuse(peer_with("PersistentKeepalive=65536")), "N.netdev:8: PersistentKeepalive:");
}

TEST(NetdevWireGuard, APrefixOfTwoPeersEndsWithTheFirstOfTheFile) {
  const InterfaceConfig config =
      accept(wireguard_with("[WireGuardPeer]\nPublicKey=" + kPublic + "\nAllowedIPs=10.0.0.0/8\n" +
                            "[WireGuardPeer]\nPublicKey=" + kOther + "\nAllowedIPs=10.0.0.0/8"));
  ASSERT_EQ(config.peers.size(), 2u);
  // The last one set owns the prefix: the kernel hears of the last of the file first.
  EXPECT_EQ(config.peers[0].public_key, public_key(kOther));
  EXPECT_EQ(config.peers[1].public_key, public_key(kPublic));
  EXPECT_EQ(warnings_of(config),
            "N.netdev:11: AllowedIPs: 10.0.0.0/8 is given to two peers; the earlier one has it, as with "
            "networkd\n");
  EXPECT_EQ(config.device_update().peers.back().public_key, public_key(kPublic));
}

TEST(NetdevWireGuard, APeerWithoutAKeyIsLeftOut) {
  const InterfaceConfig config = accept(wireguard_with(
      "[WireGuardPeer]\nAllowedIPs=0.0.0.0/0\n[WireGuardPeer]\nPublicKey=" + kPublic + "\n[WireGuardPeer]"));
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_HAS(warnings_of(config), "N.netdev:6: PublicKey: this [WireGuardPeer] has none, and is left out");
  EXPECT_HAS(refuse(wireguard_with("[WireGuardPeer]\nPublicKey=abc")), "N.netdev:7: PublicKey: not a key");
}

TEST(NetdevWireGuard, KeysOfPeersMayComeFromFiles) {
  NetworkdSources sources = sources_of(
      wireguard_with("[WireGuardPeer]\nPublicKeyFile=/p\nPresharedKeyFile=/s\nPresharedKey=" + kPrivate));
  EXPECT_EQ(key_files_of(sources.netdev), (std::vector<std::string>{"/p", "/s"}));
  sources.key_files = {{"/p", kPublic}, {"/s", " " + kOther + "\n"}};
  const InterfaceConfig config = accept(sources);
  EXPECT_EQ(config.peers[0].public_key, public_key(kPublic));
  crypto::PresharedKey key;
  ASSERT_TRUE(crypto::key_from_base64(kOther, key.span()));
  EXPECT_TRUE(config.peers[0].preshared_key->equals(key));
}

TEST(NetdevWireGuard, AllowedIpsAreRoutesOnlyWhereATableIsNamed) {
  EXPECT_TRUE(accept(peer_with("AllowedIPs=10.0.0.0/8")).routes.empty());
  const std::string peers = "[WireGuardPeer]\nPublicKey=" + kPublic +
                            "\nAllowedIPs=10.0.0.0/8 fd00::/8\n[WireGuardPeer]\nPublicKey=" + kOther +
                            "\nAllowedIPs=172.16.0.0/12\n";
  InterfaceConfig config = accept(wireguard_with("RouteTable=main\n" + peers));
  ASSERT_EQ(config.routes.size(), 3u);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::off);
  EXPECT_EQ(config.routes[1].destination.text(), "10.0.0.0/8");
  EXPECT_EQ(config.routes[1].table, "");
  EXPECT_EQ(config.routes[1].metric, std::nullopt);
  EXPECT_EQ(config.routes[1].line, 9);
  EXPECT_EQ(config.routes[1].file, "N.netdev");

  config = accept(wireguard_with("RouteTable=1234\nRouteMetric=5\n" + peers + "RouteTable=off\n"));
  ASSERT_EQ(config.routes.size(), 2u);
  EXPECT_EQ(config.routes[0].table, "1234");
  EXPECT_EQ(config.routes[0].metric, 5u);

  config = accept(wireguard_with("RouteTable=off\n" + peers + "RouteTable=local\nRouteMetric=9\n"));
  ASSERT_EQ(config.routes.size(), 1u);
  EXPECT_EQ(config.routes[0].destination.text(), "172.16.0.0/12");
  EXPECT_EQ(config.routes[0].table, "255");
  EXPECT_EQ(config.routes[0].metric, 9u);
  EXPECT_HAS(refuse(wireguard_with("RouteTable=foo")), "N.netdev:6: RouteTable: 'foo' is not a table");
}

TEST(NetdevWireGuard, WarningsAreBounded) {
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "Unknown" + std::to_string(i) + "=1\n";
  const InterfaceConfig config = accept(wireguard_with(lines));
  EXPECT_EQ(config.warnings.size(), 51u);
  EXPECT_HAS(config.warnings.back().message, "and 150 more warnings");
}

}  // namespace
}  // namespace hats::config::test
