// systemd-networkd's .network files (formats.md 2.5), and which of them a link gets.
#include "tests/unit/core/config_networkd_support.hpp"

namespace hats::config::test {
namespace {

const std::string kTunnel = "[NetDev]\nName=t0\nKind=gre\n[Tunnel]\nRemote=192.0.2.2\n";

/// `lines` begin with line 3.
InterfaceConfig with(const std::string& lines) {
  return accept(kTunnel, "[Match]\nName=t0\n" + lines + "\n");
}
std::string refused(const std::string& lines) {
  return refuse(kTunnel, "[Match]\nName=t0\n" + lines + "\n");
}

bool matches(const std::string& match, const std::string& name = "wg0",
             const std::string& kind = "wireguard") {
  return network_matches({{"N.network", match}}, name, kind);
}

TEST(NetworkMatch, NamesAreGlobsAndAreInvertedByAnExclamationMark) {
  EXPECT_TRUE(matches("[Match]\nName=wg0"));
  EXPECT_FALSE(matches("[Match]\nName=wg1"));
  EXPECT_TRUE(matches("[Match]\nName=eth* wg?"));
  EXPECT_TRUE(matches("[Match]\nName=wg[0-9]"));
  EXPECT_FALSE(matches("[Match]\nName=wg[!0-9]"));
  EXPECT_TRUE(matches("[Match]\nName=!eth*"));
  EXPECT_FALSE(matches("[Match]\nName=!eth* wg*"));  // turns the whole list
  EXPECT_FALSE(matches("[Match]\nName=wg0 !wg*"));
  EXPECT_FALSE(matches("[Match]\nName=\"wg0\""));  // no quotes
  EXPECT_TRUE(matches("[Match]\nName=eth0\nName=wg0"));
  EXPECT_FALSE(matches("[Match]\nName=wg0\nName=\nName=eth0"));
  EXPECT_FALSE(matches("[match]\nName=wg0"));
}

TEST(NetworkMatch, KindAndTypeAreThoseOfTheDeviceThatWasMeant) {
  EXPECT_TRUE(matches("[Match]\nKind=wireguard"));
  EXPECT_TRUE(matches("[Match]\nType=wireguard"));
  EXPECT_FALSE(matches("[Match]\nType=ether"));
  EXPECT_TRUE(matches("[Match]\nType=!ether"));
  EXPECT_TRUE(matches("[Match]\nType=ipgre", "g", "gre"));
  EXPECT_TRUE(matches("[Match]\nType=sit", "s", "sit"));
  EXPECT_TRUE(matches("[Match]\nType=tunnel", "i", "ipip"));
  EXPECT_TRUE(matches("[Match]\nType=ip6gre", "g", "ip6gre"));
  EXPECT_FALSE(matches("[Match]\nName=wg0\nKind=gre"));
}

TEST(NetworkMatch, WhatATunnelLacksMatchesOnlyWhatRulesThingsOut) {
  for (const char* key : {"MACAddress", "Driver", "Path", "Property", "SSID"}) {
    EXPECT_FALSE(matches("[Match]\nName=wg0\n" + std::string(key) + "=x")) << key;
    EXPECT_TRUE(matches("[Match]\nName=wg0\n" + std::string(key) + "=!x")) << key;
  }
}

TEST(NetworkMatch, AFileWithoutAMatchIsForNoLink) {
  // networkd 252: "No valid settings found in the [Match] section, ignoring file."
  EXPECT_FALSE(matches("[Network]\nAddress=10.0.0.1/24"));
  EXPECT_FALSE(matches("[Match]\nName=\nNam=wg0\n"));
  EXPECT_FALSE(matches("[Match\nName=wg0"));
  EXPECT_TRUE(matches("[Match]\nName=*"));
}

TEST(NetworkMatch, ConditionsOfTheHostRuleAFileOutOnlyWhereTheyAreKnown) {
  const std::vector<SourceText> file{{"N.network", "[Match]\nName=wg0\nHost=other\n"}};
  EXPECT_TRUE(network_matches(file, "wg0", "wireguard"));
  EXPECT_FALSE(network_matches(file, "wg0", "wireguard", {.host_name = "this"}));
  EXPECT_HAS(refuse(sources_of(kTunnel, "[Match]\nName=t0\nVirtualization=container\n")),
             "N.network:3: Virtualization:");
}

TEST(NetworkMatch, GlobsAgreeWithWhatTheyMean) {
  EXPECT_TRUE(glob_matches("a*b*c", "aXXbYYc"));
  EXPECT_FALSE(glob_matches("a*b*c", "aXXbYY"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_TRUE(glob_matches("\\*x", "*x"));
  EXPECT_FALSE(glob_matches("\\*x", "ax"));
  EXPECT_TRUE(glob_matches("[]x]", "]"));
  EXPECT_TRUE(glob_matches("[", "["));
  EXPECT_TRUE(glob_matches("**a", "bba"));
}

TEST(Network, AddressesOfTheNetworkSection) {
  const InterfaceConfig config =
      with("[Network]\nAddress=10.0.0.1/24\nAddress=fd00::1/64\nAddress=192.0.2.7\nAddress=2001:db8::7");
  ASSERT_EQ(config.addresses.size(), 4u);
  EXPECT_EQ(config.addresses[0].prefix.text(), "10.0.0.1/24");
  EXPECT_EQ(config.addresses[1].prefix.text(), "fd00::1/64");
  EXPECT_EQ(config.addresses[2].prefix.text(), "192.0.2.7/32");
  EXPECT_EQ(config.addresses[3].prefix.text(), "2001:db8::7/128");
  EXPECT_EQ(config.addresses[3].line, 7);
  EXPECT_EQ(std::ranges::count(warnings_of(config), '\n'), 2);
  EXPECT_HAS(warnings_of(config), "N.network:6: Address: has no prefix length, and is taken as 192.0.2.7/32");
  EXPECT_EQ(with("[Network]\nAddress=10.0.0.1/24\nAddress=\nAddress=10.0.0.2/24").addresses.size(), 1u);
  for (const char* bad :
       {"10.2.0.1/24 10.3.0.1/24", "10.0.0.1/33", "10.0.0.1/255.255.255.0", "x", "0.0.0.0/24", "::/64"}) {
    EXPECT_HAS(refused("[Network]\nAddress=" + std::string(bad)), "N.network:4: Address:");
  }
}

TEST(Network, AddressSectionsHaveMoreToSay) {
  const InterfaceConfig config = with(
      "[Address]\nAddress=172.20.1.1/32\nPeer=172.20.2.0/"
      "24\nScope=link\nPreferredLifetime=0\nRouteMetric=77\n"
      "Label=t0:foo\n[Address]\nPeer=172.20.9.1/24\nAddress=172.20.9.2/32\n[Address]\nAddress=2001:db8:5::1/"
      "64\n"
      "Peer=2001:db8:5::2/128\nDuplicateAddressDetection=none\nAddPrefixRoute=no\nBroadcast=no");
  ASSERT_EQ(config.addresses.size(), 3u);
  const InterfaceAddress& a = config.addresses[0];
  EXPECT_EQ(a.prefix.text(), "172.20.1.1/24");  // as networkd 252 sets it: the later length counts
  EXPECT_EQ(a.peer->text(), "172.20.2.0");
  EXPECT_EQ(a.scope, 253);
  EXPECT_EQ(a.preferred_lifetime_s, 0u);
  EXPECT_EQ(a.route_metric, 77u);
  EXPECT_EQ(a.label, "t0:foo");
  EXPECT_TRUE(a.duplicate_detection);
  EXPECT_EQ(config.addresses[1].prefix.text(), "172.20.9.2/32");
  EXPECT_FALSE(config.addresses[2].duplicate_detection);
  EXPECT_FALSE(config.addresses[2].prefix_route);
  EXPECT_EQ(warnings_of(config), "");

  EXPECT_FALSE(
      with("[Address]\nAddress=10.0.0.1/8\nPreferredLifetime=forever").addresses[0].preferred_lifetime_s);
  EXPECT_HAS(refused("[Address]\nPeer=172.20.2.0/24"), "N.network:3: Address: is missing in this [Address]");
  EXPECT_HAS(refused("[Address]\nAddress=10.0.0.1/32\nPeer=fd00::1/128"), "N.network:5: Peer:");
  EXPECT_HAS(refused("[Address]\nAddress=10.0.0.1/32\nPreferredLifetime=5"),
             "N.network:5: PreferredLifetime:");
  EXPECT_HAS(refused("[Address]\nAddress=10.0.0.1/32\nLabel=0123456789abcdef"), "N.network:5: Label:");
  EXPECT_HAS(refused("[Address]\nAddress=10.0.0.1/32\nScope=near"), "N.network:5: Scope:");
  EXPECT_HAS(refused("[Address]\nAddress=10.0.0.1/32\nDuplicateAddressDetection=x"),
             "N.network:5: Duplicate");
}

TEST(Network, GatewaysAreDefaultRoutes) {
  const InterfaceConfig config =
      with("[Network]\nGateway=10.0.0.9\nGateway=fe80::1\nDefaultRouteOnDevice=yes");
  ASSERT_EQ(config.routes.size(), 3u);
  EXPECT_EQ(config.routes[0].destination.text(), "0.0.0.0/0");
  EXPECT_EQ(config.routes[0].gateway->text(), "10.0.0.9");
  EXPECT_EQ(config.routes[0].line, 4);
  EXPECT_EQ(config.routes[1].destination.text(), "::/0");
  EXPECT_FALSE(config.routes[2].gateway);
  EXPECT_TRUE(with("[Network]\nGateway=10.0.0.9\nGateway=").routes.empty());
  EXPECT_HAS(refused("[Network]\nGateway=_dhcp4"), "N.network:4: Gateway:");
  EXPECT_HAS(refused("[Network]\nGateway=x"), "N.network:4: Gateway: 'x' is not an address");
}

TEST(Network, RouteSections) {
  const InterfaceConfig config = with(
      "[Route]\nDestination=10.50.0.0/16\nMetric=5\nTable=123\nPreferredSource=10.0.0.1\nMTUBytes=1300\n"
      "[Route]\nDestination=10.60.0.1/16\nGateway=10.0.0.3\nType=unicast\nScope=global\nGatewayOnLink=yes\n"
      "TCPAdvertisedMaximumSegmentSize=1200\n[Route]\nDestination=2001:db8:99::/48\nSource=2001:db8:5::/64\n"
      "Table=main\n[Route]\nType=blackhole\nDestination=10.70.0.0/16\n[Route]\nGateway=fe80::1\n"
      "[Route]\nType=local\nDestination=10.80.0.1");
  ASSERT_EQ(config.routes.size(), 6u);
  EXPECT_EQ(config.routes[0].destination.text(), "10.50.0.0/16");
  EXPECT_EQ(config.routes[0].metric, 5u);
  EXPECT_EQ(config.routes[0].table, "123");
  EXPECT_EQ(config.routes[0].preferred_source->text(), "10.0.0.1");
  EXPECT_EQ(config.routes[0].mtu, 1300u);
  EXPECT_EQ(config.routes[0].line, 3);
  EXPECT_EQ(config.routes[0].file, "N.network");
  EXPECT_EQ(config.routes[0].scope, std::nullopt);
  EXPECT_EQ(config.routes[1].destination.text(), "10.60.0.0/16");
  EXPECT_TRUE(config.routes[1].on_link);
  EXPECT_EQ(config.routes[1].scope, 0);
  EXPECT_EQ(config.routes[1].advertised_mss, 1200u);
  EXPECT_EQ(config.routes[2].source->text(), "2001:db8:5::/64");
  EXPECT_EQ(config.routes[2].table, "");
  EXPECT_EQ(config.routes[3].type, 6);
  EXPECT_EQ(config.routes[4].destination.text(), "::/0");
  EXPECT_EQ(config.routes[5].type, 2);
  EXPECT_EQ(config.routes[5].table, "255");
  EXPECT_EQ(config.routes[5].scope, 254);
  EXPECT_EQ(warnings_of(config),
            "N.network:10: Destination: '10.60.0.1/16' has bits behind its prefix; taken as 10.60.0.0/16\n");

  EXPECT_HAS(refused("[Route]\nMetric=9"), "N.network:3: Destination: this [Route] has neither");
  EXPECT_HAS(refused("[Route]\nGateway=10.0.0.1\nTable=foo"), "N.network:5: Table:");
  EXPECT_HAS(refused("[Route]\nDestination=0.0.0.0/0\nGateway=fe80::1"), "N.network:3: Gateway:");
  EXPECT_HAS(refused("[Route]\nDestination=10.0.0.0/8\nNextHop=7"), "N.network:5: NextHop:");
  EXPECT_HAS(refused("[Route]\nDestination=10.0.0.0/8\nType=x"), "N.network:5: Type:");
  EXPECT_HAS(refused("[Route]\nDestination=10.0.0.0/8\nMetric=-1"), "N.network:5: Metric:");
}

TEST(Network, WhatWeCannotGiveRefusesTheFile) {
  for (const char* lines :
       {"[Network]\nDHCP=yes", "[Network]\nDHCP=ipv4", "[Network]\nVRF=v", "[Network]\nBridge=br0",
        "[Network]\nBond=b", "[Network]\nIPMasquerade=ipv4", "[Network]\nDHCPServer=yes",
        "[Network]\nIPv6SendRA=yes", "[Network]\nDHCPPrefixDelegation=yes", "[Network]\nIPv6Token=::1",
        "[RoutingPolicyRule]\nTable=7", "[NextHop]\nId=1", "[Link]\nActivationPolicy=down",
        "[Link]\nActivationPolicy=foo", "[Link]\nGroup=5", "[Network]\nLinkLocalAddressing=foo",
        "[Network]\nIPv6AcceptRA=foo", "[Link]\nUnmanaged=foo", "[Link]\nMTUBytes=1"}) {
    EXPECT_HAS(refused(lines), "N.network:4: ");
  }
}

TEST(Network, WhatMeansNothingToATunnelIsTakenInSilence) {
  EXPECT_EQ(
      warnings_of(with("[Network]\nDescription=x\nDHCP=no\nDHCPServer=no\nIPv6SendRA=no\nIPMasquerade=no\n"
                       "ConfigureWithoutCarrier=yes\nKeepConfiguration=static\nLLDP=yes\nTunnel=t9\n"
                       "[Link]\nRequiredForOnline=no\nMulticast=yes\nARP=no\nActivationPolicy=always-up\n"
                       "[DHCPv4]\nUseDNS=no\n[X-Mine]\nA=b")),
      "");
}

TEST(Network, WhatIsLeftOutIsWarnedOf) {
  EXPECT_HAS(warnings_of(with("[Network]\nIPv4ReversePathFilter=no")),
             "N.network:4: IPv4ReversePathFilter: is a sysctl");
  EXPECT_HAS(warnings_of(with("[Network]\nIPForward=yes")), "N.network:4: IPForward: is a sysctl");
  EXPECT_EQ(warnings_of(with("[Network]\nIPForward=no")), "");
  EXPECT_HAS(warnings_of(with("[Network]\nVLAN=v5")), "no devices on top");
  EXPECT_HAS(warnings_of(with("[Network]\nIPForwarding=yes")),
             "N.network:4: IPForwarding: unknown key in [Network]; did you mean");
  const std::string mtu = warnings_of(with("[Network]\nMTUBytes=1400"));
  EXPECT_HAS(mtu, "N.network:4: MTUBytes: unknown key in [Network]");
  EXPECT_HAS(mtu, "it belongs in [Link]");
  EXPECT_HAS(warnings_of(with("[CAKE]\nBandwidth=1M")), "N.network:4: Bandwidth: is not applied");
  EXPECT_HAS(warnings_of(with("[RoutingPolicyRul]\na=b")), "did you mean [RoutingPolicyRule]?");
}

TEST(Network, LinkLocalAndRouterAdvertisements) {
  EXPECT_EQ(with("[Network]\nDescription=x").link_local, LinkLocal::as_kernel);
  EXPECT_EQ(with("[Network]\nLinkLocalAddressing=ipv6").link_local, LinkLocal::as_kernel);
  EXPECT_EQ(with("[Network]\nLinkLocalAddressing=no").link_local, LinkLocal::none);
  EXPECT_EQ(with("[Network]\nLinkLocalAddressing=no\nLinkLocalAddressing=").link_local, LinkLocal::as_kernel);
  EXPECT_FALSE(with("[Network]\nDescription=x").accept_route_advertisements);
  EXPECT_TRUE(with("[Network]\nIPv6AcceptRA=yes").accept_route_advertisements);
  EXPECT_FALSE(with("[Network]\nIPv6AcceptRA=yes\nIPv6AcceptRA=no").accept_route_advertisements);
}

TEST(Network, ServersAndSearchDomains) {
  const InterfaceConfig config =
      with("[Network]\nDNS=192.0.2.53 2001:db8::53\nDNS=192.0.2.54:5353\nDomains=example.org ~example.net");
  EXPECT_EQ(config.dns_servers, (std::vector<std::string>{"192.0.2.53", "2001:db8::53"}));
  EXPECT_EQ(config.dns_search, std::vector<std::string>{"example.org"});
  EXPECT_HAS(warnings_of(config), "N.network:5: DNS: '192.0.2.54:5353' is left out");
  EXPECT_HAS(warnings_of(config), "N.network:6: Domains: '~example.net' is left out");
}

TEST(Network, AnUnmanagedInterfaceGetsNothing) {
  const InterfaceConfig config =
      with("[Link]\nUnmanaged=yes\nMTUBytes=1300\n[Network]\nAddress=10.0.0.1/24\nGateway=10.0.0.2");
  EXPECT_TRUE(config.addresses.empty());
  EXPECT_TRUE(config.routes.empty());
  EXPECT_EQ(config.mtu, std::nullopt);
}

TEST(Network, ASmallMtuWithIpv6IsWarnedOf) {
  EXPECT_HAS(warnings_of(with("[Link]\nMTUBytes=1200\n[Network]\nAddress=fd00::1/64")),
             "N.network:4: MTUBytes: 1200 is too small for IPv6");
  EXPECT_EQ(warnings_of(with("[Link]\nMTUBytes=1200\n[Network]\nAddress=10.0.0.1/24")), "");
}

TEST(Network, WhereNetworkdRunsTheAddressesAreItsBusiness) {
  const std::string network = "[Match]\nName=t0\n[Network]\nAddress=10.0.0.1/24\nDHCP=yes\nAddress=bad\n";
  NetworkdSources sources = sources_of(kTunnel, network);
  EXPECT_HAS(refuse(sources), "N.network:5: DHCP:");
  sources.networkd_takes_link = true;
  const InterfaceConfig config = accept(sources);
  EXPECT_TRUE(config.addresses_elsewhere);
  EXPECT_HAS(warnings_of(config), "systemd-networkd is running and gives t0 its addresses and routes");
  EXPECT_HAS(warnings_of(config), "N.network:6: Address: 'bad' is not an address");
  // Our device is a TUN: a file that asks for the kind is not applied to it by networkd, and so by us.
  sources.network[0].text = "[Match]\nKind=gre\n[Network]\nAddress=10.0.0.1/24\n";
  EXPECT_FALSE(accept(sources).addresses_elsewhere);
  EXPECT_EQ(accept(sources).addresses.size(), 1u);
}

TEST(Network, WhereNetworkdRunsTheRoutesOfPeersStayOurs) {
  NetworkdSources sources = sources_of(
      wireguard_with("RouteTable=main\n[WireGuardPeer]\nPublicKey=" + kPublic + "\nAllowedIPs=10.0.0.0/8"),
      "[Match]\nName=wg0\n[Network]\nAddress=10.0.0.1/24\nGateway=10.0.0.2\n");
  EXPECT_EQ(accept(sources).routes.size(), 2u);
  sources.networkd_takes_link = true;
  const InterfaceConfig config = accept(sources);
  EXPECT_FALSE(config.addresses_elsewhere);
  EXPECT_TRUE(config.addresses.empty());
  ASSERT_EQ(config.routes.size(), 1u);
  EXPECT_EQ(config.routes[0].destination.text(), "10.0.0.0/8");
}

TEST(Network, ADropInComesAfterItsFile) {
  NetworkdSources sources =
      sources_of(kTunnel, "[Match]\nName=t0\n[Network]\nAddress=10.0.0.1/24\n[Link]\nMTUBytes=1400\n");
  sources.network.push_back(
      {"N.network.d/x.conf", "[Network]\nAddress=\nAddress=10.0.0.2/24\nGateway=x\n[Link]\nMTUBytes=1300\n"});
  EXPECT_HAS(refuse(sources), "N.network.d/x.conf:4: Gateway:");
  sources.network[1].text = "[Network]\nAddress=\nAddress=10.0.0.2/24\n[Link]\nMTUBytes=1300\n";
  const InterfaceConfig config = accept(sources);
  ASSERT_EQ(config.addresses.size(), 1u);
  EXPECT_EQ(config.addresses[0].prefix.text(), "10.0.0.2/24");
  EXPECT_EQ(config.addresses[0].file, "N.network.d/x.conf");
  EXPECT_EQ(config.mtu, 1300u);
  EXPECT_EQ(config.mtu_file, "N.network.d/x.conf");
}

}  // namespace
}  // namespace hats::config::test
