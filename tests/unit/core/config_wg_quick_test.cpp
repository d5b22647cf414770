// wg-quick's file (formats.md 1): what both stock parsers take, what they refuse, and how we say so.
#include <gtest/gtest.h>

#include "core/config/wg_quick.hpp"
#include "crypto/x25519.hpp"
#include "tests/unit/core/config_support.hpp"

namespace hats::config {
namespace {

using namespace test;

/// A file that has peers and no key of its own draws a warning: this is for files that are about others.
const std::string kOwnKey = "[Interface]\nPrivateKey = " + kPrivate + "\n";

TEST(WgQuickTest, TheGuidesFileIsTakenAsItIs) {
  const InterfaceConfig config = accept(kGuide);
  ASSERT_EQ(config.addresses.size(), 1u);
  EXPECT_EQ(config.addresses[0].prefix.text(), "10.0.0.1/30");
  EXPECT_EQ(config.listen_port, 51820);
  EXPECT_EQ(crypto::key_to_base64(config.private_key->view()), kPrivate);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::off);
  ASSERT_EQ(config.peers.size(), 1u);
  const WgPeer& peer = config.peers[0];
  EXPECT_EQ(crypto::key_to_base64(peer.public_key.bytes), kPublic);
  ASSERT_EQ(peer.allowed_ips.size(), 2u);
  EXPECT_EQ(peer.allowed_ips[1].prefix.text(), "::/0");
  EXPECT_EQ(peer.endpoint->numeric()->text(), "192.0.2.2:51821");
  EXPECT_EQ(peer.persistent_keepalive_s, 25);
  EXPECT_TRUE(config.warnings.empty());
}

TEST(WgQuickTest, PlaceholdersOfTheGuideAreNamed) {
  std::string text = kGuide;
  text.replace(text.find("10.0.0.1/30"), 11, "{your tunnel ip cidr}");
  EXPECT_EQ(refuse(text),
            "F:2: Address: the placeholder {your tunnel ip cidr} of the guide is not filled in; put your own "
            "value there, without braces");
  text = kGuide;
  text.replace(text.find(kPublic), kPublic.size(), "{our public key}");
  EXPECT_NE(refuse(text).find("F:10: PublicKey: the placeholder {our public key}"), std::string::npos);
}

TEST(WgQuickTest, SecretsAreNeverRepeatedInMessages) {
  const std::string broken = kPrivate.substr(0, 43);
  const std::string message = refuse(interface_with("PrivateKey = " + broken));
  EXPECT_EQ(message.find(broken), std::string::npos) << message;
  EXPECT_NE(message.find("F:2: PrivateKey: not a key"), std::string::npos) << message;
  EXPECT_EQ(refuse(peer_with("PresharedKey = " + broken)).find(broken), std::string::npos);
}

TEST(WgQuickTest, WhereverAKeyStandsItIsNotRepeated) {
  const std::string bare = kPrivate.substr(0, 43);
  const std::string places[] = {
      interface_with("PrivateKey = {" + kPrivate + "}"),
      interface_with("PrivateKey = {" + kPrivate),
      interface_with("PrivateKey: " + kPrivate),
      interface_with(kPrivate),
      interface_with(bare),
      interface_with("ListenPort = " + kPrivate),
      interface_with("Address = " + kPrivate),
      interface_with("Address = {" + kPrivate + "}"),
      interface_with("Table = " + kPrivate),
      interface_with("SaveConfig = " + kPrivate),
      interface_with("PrivateKey = x " + kPrivate),
      "[" + kPrivate + "]\n",
      "PrivateKey = " + kPrivate + "\n",
      peer_with("Endpoint = " + kPrivate),
      peer_with("AllowedIPs = " + kPrivate),
      peer_with("PersistentKeepalive = " + kPrivate),
      peer_with("PresharedKey = {your " + kPrivate + "}"),
      peer_with("PresharedKey = " + kPrivate + kPrivate),
  };
  for (const std::string& text : places) {
    const std::string message = refuse(text);
    EXPECT_EQ(message.find(kPrivate.substr(0, 12)), std::string::npos) << message;
    EXPECT_EQ(message.find(kPrivate.substr(30, 12)), std::string::npos) << message;
  }
}

TEST(WgQuickTest, MessagesHoldNoControlCharacters) {
  EXPECT_EQ(refuse(interface_with("ListenPort = \x1b[2J")),
            "F:2: ListenPort: '?[2J' is not a port; a port is 0 to 65535, or the name of a service");
  EXPECT_EQ(refuse(interface_with("\x1b[2J = 1")).find('\x1b'), std::string::npos);
}

TEST(WgQuickTest, BracesAroundAValueAreNamedToo) {
  EXPECT_EQ(refuse(interface_with("Address = {10.0.0.1/30}")),
            "F:2: Address: the braces of a placeholder are left in; write the value without braces");
  EXPECT_NE(refuse(interface_with("ListenPort = { yourside port }")).find("placeholder {yourside port}"),
            std::string::npos);
  EXPECT_NE(refuse(interface_with("PrivateKey = {your private key}")).find("placeholder {...}"),
            std::string::npos);
  EXPECT_NE(refuse(peer_with("Endpoint = {ourside ip}:{ourside port}")).find("not filled in"),
            std::string::npos);
  EXPECT_EQ(accept(interface_with("PostUp = echo ${HOME}")).post_up.size(), 1u);
}

TEST(WgQuickTest, LinesMayEndInCrLfAndTheLastMayHaveNoEnd) {
  std::string text = kGuide;
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.insert(at, "\r");
  text.resize(text.size() - 2);
  EXPECT_EQ(accept(text).peers[0].persistent_keepalive_s, 25);
}

TEST(WgQuickTest, KeysAndSectionsIgnoreCaseAndWgIgnoresBlanksAnywhere) {
  const InterfaceConfig config = accept("[INTERFACE]\nlistenport=1\n[peer]\npublic key = " + kPublic +
                                        "\nAllowed IPs = 10.0.0.1 / 8 , fd00:: /8\n" + kOwnKey);
  EXPECT_EQ(config.listen_port, 1);
  ASSERT_EQ(config.peers[0].allowed_ips.size(), 2u);
  EXPECT_EQ(config.peers[0].allowed_ips[0].prefix.text(), "10.0.0.0/8");
  ASSERT_EQ(config.warnings.size(), 1u);  // host bits
  EXPECT_EQ(config.warnings[0].line, 5);
}

TEST(WgQuickTest, AHashBeginsACommentAnywhereButInHooks) {
  const InterfaceConfig config =
      accept("[Interface] # here\nListenPort = 5 # five\nPostUp = echo '#1' # kept\n# all\n");
  EXPECT_EQ(config.listen_port, 5);
  ASSERT_EQ(config.post_up.size(), 1u);
  EXPECT_EQ(config.post_up[0].command, "echo '#1' # kept");
  EXPECT_EQ(config.post_up[0].line, 3);
}

TEST(WgQuickTest, SectionsMayRepeatKeysMergeAndTheLastScalarWins) {
  const InterfaceConfig config = accept(
      "[Interface]\nAddress = 10.0.0.1/24\nMTU = 1400\n[Peer]\nPublicKey = " + kOther +
      "\nPublicKey = " + kPublic + "\n[Interface]\nAddress = fd00::1/64 10.0.1.1, 10.0.2.1/24\nMTU=1300\n");
  ASSERT_EQ(config.addresses.size(), 4u);
  EXPECT_EQ(config.addresses[2].prefix.text(), "10.0.1.1/32");
  EXPECT_EQ(config.mtu, 1300u);
  EXPECT_EQ(crypto::key_to_base64(config.peers[0].public_key.bytes), kPublic);
}

TEST(WgQuickTest, WhatIsAllowedAndHardlyMeantIsWarnedOf) {
  const auto warnings = [](const std::string& text) {
    std::string out;
    for (const ConfigError& warning : accept(text).warnings) out += warning.text("F") + "\n";
    return out;
  };
  EXPECT_EQ(warnings("# only this\n"),
            "F:1: holds no section: an interface without key, address and peer; begin with [Interface]\n");
  EXPECT_EQ(warnings("[Interface]\nTable = off\nAddress = 10.0.0.1, 10.0.0.2/32, fe80::1\n"),
            "F:3: Address: '10.0.0.1' has no prefix length, and is taken as 10.0.0.1/32; with Table = off "
            "nothing leads to the other end then: write the length\n"
            "F:3: Address: 'fe80::1' has no prefix length, and is taken as fe80::1/128; with Table = off "
            "nothing leads to the other end then: write the length\n");
  EXPECT_EQ(warnings("[Interface]\nAddress = 10.0.0.1\n"), "");
  // `wg set` may give a key later where there is nobody to talk to yet, and a hook at once.
  EXPECT_EQ(warnings(peer_with("")),
            "F:1: PrivateKey: is missing, and no hook sets one: without it there is no handshake; write "
            "PrivateKey = KEY (hatsd-user genkey makes one) under [Interface]\n");
  EXPECT_EQ(warnings("[Interface]\nPostUp = wg set %i private-key /etc/wireguard/key\n" + peer_with("")), "");
  EXPECT_EQ(warnings("[Interface]\nTable = off\nAddress = 10.0.0.1\nPostUp = ip addr add 10.0.0.1 peer "
                     "10.0.0.2 dev %i\n"),
            "");
}

TEST(WgQuickTest, AllFaultsAreToldAtOnce) {
  const auto lines = [](const std::string& text) {
    const auto config = parse_wg_quick(text);
    EXPECT_FALSE(config) << text;
    if (config) return std::string();
    std::string out = std::to_string(config.error().line);
    for (const ConfigError& other : config.error().more) out += " " + std::to_string(other.line);
    return out;
  };
  EXPECT_EQ(lines("[Interface]\nMTU = 1\nTable = 0\nColour = red\n[Peer]\nPublicKey = x\nEndpoint = y\n"),
            "2 3 4 6 7");
  EXPECT_EQ(lines("[Interface]\n[Peer]\n[Peer]\n"), "2 3") << "both lack a key";
  // Where the section is wrong, its keys are not judged; nor is a key missing that is faulty.
  EXPECT_EQ(lines("[Interfaces]\nMTU = 1\nTable = 0\n[Peer]\nPublicKey = x\n"), "1 5");
  EXPECT_EQ(lines("MTU = 1\nTable = 0\n[Interface]\nTable = 0\n"), "1 4");
  const auto config = parse_wg_quick("[Interface]\nMTU = 1\nMTU = x\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().texts("F"),
            "F:2: MTU: '1' is not an MTU; it must be 68 to 65535 bytes\n"
            "F:3: MTU: 'x' is not an MTU; it must be 68 to 65535 bytes");
}

TEST(WgQuickTest, EveryFaultNamesItsLineAndKeyAndWhatWouldBeRight) {
  const struct {
    std::string text;
    std::string_view expected;
  } faults[] = {
      {"\xEF\xBB\xBF[Interface]\n", "F:1: the file begins with a byte order mark"},
      {"; comment\n", "F:1: the line is neither a section nor a key; a comment begins with '#'"},
      {"ListenPort = 1\n", "F:1: ListenPort: a key before any section"},
      {"[Interfaces]\n", "F:1: unknown section '[Interfaces]'"},
      {interface_with("nonsense"), "F:2: the line is neither a section nor a key"},
      {interface_with("AllowedIPs = ::/0"), "F:2: AllowedIPs: this key belongs in [Peer]"},
      {peer_with("MTU = 1400"), "F:3: MTU: this key belongs in [Interface]"},
      {peer_with("AllowedIP = ::/0"), "F:3: AllowedIP: unknown key in [Peer]; did you mean AllowedIPs?"},
      {interface_with("Colour = red"), "F:2: Colour: unknown key in [Interface]; the keys are PrivateKey"},
      {interface_with("ListenPort ="), "F:2: ListenPort: the value is empty"},
      {interface_with("ListenPort = 65536"), "F:2: ListenPort: '65536' is not a port; a port is 0 to 65535"},
      {interface_with("ListenPort = -1"), "F:2: ListenPort: '-1' is not a port"},
      {interface_with("FwMark = 0xzz"), "F:2: FwMark: '0xzz' is not a mark"},
      {interface_with("FwMark = 4294967296"), "F:2: FwMark:"},
      {interface_with("MTU = 67"), "F:2: MTU: '67' is not an MTU; it must be 68 to 65535"},
      {interface_with("Address = 10.0.0.1/33"), "F:2: Address: '10.0.0.1/33' has the prefix length '33'"},
      {interface_with("Address = 10.0.0.1/255.0.255.0"), "has a dotted mask; write a prefix length, 0 to 32"},
      {interface_with("Address = host"), "F:2: Address: 'host' is not an address"},
      {interface_with("Table = a b"), "F:2: Table:"},
      {interface_with("Table = 0"), "F:2: Table:"},
      {interface_with("SaveConfig = yes"), "F:2: SaveConfig: 'yes' is neither 'true' nor 'false'"},
      {interface_with("Save Config = true"), "F:2: Save Config:"},
      {interface_with("PrivateKey = " + kPrivate.substr(0, 43)), "and has 43"},
      {peer_with("AllowedIPs = 0.0.0.0/0 ::/0"), "F:3: AllowedIPs: separate the entries by commas"},
      {peer_with("AllowedIPs = 10.0.0.0/8,"), "F:3: AllowedIPs: an entry is empty"},
      {peer_with("AllowedIPs = "), "F:3: AllowedIPs: the value is empty"},
      {peer_with("AllowedIPs = ::/129"), "0 to 128"},
      {peer_with("Endpoint = 192.0.2.1"), "F:3: Endpoint: '192.0.2.1' has no port"},
      {peer_with("Endpoint = [2001:db8::1]"), "has no port"},
      {peer_with("Endpoint = [2001:db8::1:51820"), "lacks a ']'"},
      {peer_with("Endpoint = a_b!c:5"), "has neither an address nor a host name"},
      {peer_with("Endpoint = 192.0.2.1:70000"), "is not a port"},
      {peer_with("PersistentKeepalive = 65536"), "F:3: PersistentKeepalive:"},
      {"[Interface]\n[Peer]\nAllowedIPs = ::/0\n", "F:2: PublicKey: this [Peer] has none"},
      {std::string("[Interface]\nMTU = 1\0\n", 20), "zero byte"},
  };
  for (const auto& fault : faults) {
    const std::string message = refuse(fault.text);
    EXPECT_NE(message.find(fault.expected), std::string::npos)
        << "got: " << message << "\nwant: " << fault.expected;
  }
}

TEST(WgQuickTest, ValuesComeInAllTheirForms) {
  EXPECT_EQ(accept(interface_with("FwMark = OFF")).fwmark, 0u);
  EXPECT_EQ(accept(interface_with("FwMark = 0xCa6C")).fwmark, 0xca6cu);
  EXPECT_EQ(accept(interface_with("FwMark = 51820")).fwmark, 51820u);
  EXPECT_EQ(accept(interface_with("ListenPort = ntp")).listen_service, "ntp");
  EXPECT_EQ(accept(peer_with("PersistentKeepalive = Off")).peers[0].persistent_keepalive_s, 0);
  EXPECT_EQ(accept(interface_with("SaveConfig = TRUE")).save_config, true);
  EXPECT_EQ(accept(interface_with("Table = 1234")).table.table, "1234");
  EXPECT_EQ(accept(interface_with("Table = main")).table.table, "main");
  const InterfaceConfig off = accept(interface_with("Table = Off"));
  EXPECT_EQ(off.table.kind, RouteTable::Kind::off);
  EXPECT_EQ(off.warnings.size(), 1u);
  const InterfaceConfig dns = accept(interface_with("DNS = 1.1.1.1, example.org fd00::53"));
  EXPECT_EQ(dns.dns_servers, (std::vector<std::string>{"1.1.1.1", "fd00::53"}));
  EXPECT_EQ(dns.dns_search, (std::vector<std::string>{"example.org"}));
}

TEST(WgQuickTest, WgQuicksOwnKeysMayBeEmpty) {
  const InterfaceConfig config =
      accept("[Interface]\nMTU = 1400\nMTU =\nTable = 5\nTable=\nAddress =\nDNS = # none\nPostUp =\n");
  EXPECT_FALSE(config.mtu);
  EXPECT_EQ(config.table.kind, RouteTable::Kind::automatic);
  EXPECT_TRUE(config.addresses.empty() && config.dns_servers.empty() && config.post_up.empty());
  EXPECT_EQ(config.warnings.size(), 7u);  // five empty ones, two repeated
  EXPECT_NE(refuse(interface_with("SaveConfig =")).find("neither"), std::string::npos);
}

TEST(WgQuickTest, AddressesTakeADottedMaskAsIpDoes) {
  const InterfaceConfig config = accept(interface_with("Address = 10.0.0.1/255.255.255.252"));
  EXPECT_EQ(config.addresses.at(0).prefix.text(), "10.0.0.1/30");
  ASSERT_EQ(config.warnings.size(), 1u);
  EXPECT_NE(refuse(peer_with("AllowedIPs = 10.0.0.0/255.0.0.0")).find("dotted mask"), std::string::npos);
}

TEST(WgQuickTest, ServersAndSearchDomainsAreToldApartByTheirCharacters) {
  const InterfaceConfig config = accept(interface_with("DNS = fe80::1%eth0, 1.1.1 corp.example"));
  EXPECT_EQ(config.dns_servers, (std::vector<std::string>{"fe80::1%eth0", "1.1.1"}));
  EXPECT_EQ(config.dns_search, (std::vector<std::string>{"corp.example"}));
  ASSERT_EQ(config.warnings.size(), 1u);
}

TEST(WgQuickTest, AKeyGivenTwiceCountsInItsLastPlaceAndDrawsAWarning) {
  const InterfaceConfig config = accept("[Interface]\nListenPort = 1\nlisten port = 2\n" +
                                        peer_with("PersistentKeepalive = 1\nPersistentKeepalive = 2") +
                                        peer_with("PersistentKeepalive = 3", kOther) + kOwnKey);
  EXPECT_EQ(config.listen_port, 2);
  EXPECT_EQ(config.peers[0].persistent_keepalive_s, 2);
  ASSERT_EQ(config.warnings.size(), 2u);
  EXPECT_EQ(config.warnings[0].text("F"),
            "F:3: ListenPort: is in line 2 already; this one, the last, counts");
  EXPECT_EQ(config.warnings[1].line, 7);
}

TEST(WgQuickTest, WarningsAreBounded) {
  std::string text = "[Interface]\n";
  for (int i = 0; i < 1000; ++i) text += "Address =\n";
  const InterfaceConfig config = accept(text);
  ASSERT_EQ(config.warnings.size(), 51u);
  EXPECT_EQ(config.warnings.back().message, "and 950 more warnings");
}

TEST(WgQuickTest, ASectionWithBlanksInsideIsSeenByWgAlone) {
  EXPECT_EQ(accept("[ Interface ]\nListenPort = 5\n").listen_port, 5);
  EXPECT_NE(
      refuse("[ Interface ]\nAddress = 10.0.0.1\n").find("F:2: Address: wg-quick does not see this section"),
      std::string::npos);
}

TEST(WgQuickTest, EndpointsComeInAllTheirForms) {
  const struct {
    std::string_view text, host, port, numeric;
  } forms[] = {
      {"192.0.2.1:51820", "192.0.2.1", "51820", "192.0.2.1:51820"},
      {"[2001:db8::1]:51820", "2001:db8::1", "51820", "[2001:db8::1]:51820"},
      {"2001:db8::1:51820", "2001:db8::1", "51820", "[2001:db8::1]:51820"},
      {"[fe80::1%7]:5", "fe80::1%7", "5", "[fe80::1%7]:5"},
      {"[fe80::1%eth0]:5", "fe80::1%eth0", "5", ""},
      {"[192.0.2.1]:5", "192.0.2.1", "5", "192.0.2.1:5"},
      {"[peer.example.org]:5", "peer.example.org", "5", ""},
      {"peer.example.org:wireguard", "peer.example.org", "wireguard", ""},
  };
  for (const auto& form : forms) {
    const auto endpoint = accept(peer_with("Endpoint = " + std::string(form.text))).peers[0].endpoint;
    ASSERT_TRUE(endpoint);
    EXPECT_EQ(endpoint->host, form.host);
    EXPECT_EQ(endpoint->port, form.port);
    const auto numeric = endpoint->numeric();
    EXPECT_EQ(numeric ? numeric->text() : "", form.numeric);
  }
}

TEST(WgQuickTest, AllowedIpsMayBeAddedAndTakenAway) {
  const auto ips = accept(peer_with("AllowedIPs = +10.0.0.0/8, -10.1.0.0/16,10.2.3.4")).peers[0].allowed_ips;
  ASSERT_EQ(ips.size(), 3u);
  EXPECT_FALSE(ips[0].remove);
  EXPECT_TRUE(ips[1].remove);
  EXPECT_EQ(ips[2].prefix.text(), "10.2.3.4/32");
  // The last line decides whether what the peer has is replaced.
  EXPECT_TRUE(accept(peer_with("AllowedIPs = ::/0")).peers[0].replace_allowed_ips);
  EXPECT_FALSE(accept(peer_with("AllowedIPs = ::/0\nAllowedIPs = +10.0.0.0/8")).peers[0].replace_allowed_ips);
  EXPECT_TRUE(accept(peer_with("AllowedIPs = +10.0.0.0/8\nAllowedIPs = ::/0")).peers[0].replace_allowed_ips);
}

TEST(WgQuickTest, WhatIsTakenButDoubtfulDrawsAWarning) {
  const InterfaceConfig same = accept(peer_with("") + peer_with("") + kOwnKey);
  ASSERT_EQ(same.warnings.size(), 1u);
  EXPECT_NE(same.warnings[0].message.find("line 2"), std::string::npos);
  const InterfaceConfig moved =
      accept(peer_with("AllowedIPs = ::/0") + peer_with("AllowedIPs = ::/0", kOther) + kOwnKey);
  ASSERT_EQ(moved.warnings.size(), 1u);
  const InterfaceConfig small = accept(interface_with("MTU = 1279\nAddress = fd00::1/64"));
  ASSERT_EQ(small.warnings.size(), 1u);
  EXPECT_EQ(small.warnings[0].line, 3);
}

TEST(WgQuickTest, AWarningStandsAtItsOwnKey) {
  const auto at = [](const std::string& text) {
    std::string out;
    for (const ConfigError& warning : accept(text).warnings) {
      out += warning.text("F").substr(0, 20) + "|";
    }
    return out;
  };
  EXPECT_EQ(
      at("[Interface]\nPrivateKey = " + kPrivate + "\n[Peer]\nAllowedIPs = ::/0\nPublicKey = " +
         crypto::key_to_base64(
             crypto::public_key_of(*accept(interface_with("PrivateKey = " + kPrivate)).private_key).bytes) +
         "\n"),
      "F:5: PublicKey: this|");
  EXPECT_EQ(at("[Peer]\n\nPublicKey = " + kPublic + "\n[Peer]\n\nPublicKey = " + kPublic + "\n" + kOwnKey),
            "F:6: PublicKey: the |");
  EXPECT_EQ(at(peer_with("AllowedIPs = ::/0") + "[Peer]\nPublicKey = " + kOther +
               "\nAllowedIPs = 10.0.0.0/8\nAllowedIPs = ::/0\n" + kOwnKey),
            "F:7: AllowedIPs: ::/|");
}

TEST(WgQuickTest, AnEndpointThatIsRoutedIntoItsOwnTunnelDrawsAWarning) {
  const auto warnings = [](const std::string& allowed, const std::string& lines = "") {
    return accept("[Interface]\n" + lines +
                  peer_with("AllowedIPs = " + allowed + "\nEndpoint = 203.0.113.1:5") + kOwnKey)
        .warnings;
  };
  const auto found = warnings("10.0.0.0/8, 203.0.113.0/24");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].text("F").find("F:5: Endpoint: lies in AllowedIPs 203.0.113.0/24"), 0u)
      << found[0].text("F");
  EXPECT_TRUE(warnings("0.0.0.0/0").empty());
  EXPECT_TRUE(warnings("10.0.0.0/8").empty());
  EXPECT_TRUE(warnings("203.0.113.0/24", "Table = off\n").empty());
}

TEST(WgQuickTest, TheCharacterThatSpoilsAKeyIsToldByItsPlaceAlone) {
  std::string bad = kPrivate;
  bad[11] = '*';
  const std::string text = refuse(interface_with("PrivateKey = " + bad));
  EXPECT_NE(text.find("F:2: PrivateKey: not a key: character 12 is none of base64"), std::string::npos)
      << text;
  EXPECT_EQ(text.find('*'), std::string::npos);
  bad = kPrivate;
  bad[42] = 'B';  // bits that a key of 32 bytes does not have
  EXPECT_NE(refuse(interface_with("PrivateKey = " + bad)).find("character 43 cannot be the last"),
            std::string::npos);
}

TEST(WgQuickTest, InterfaceNamesFollowTheKernelsRules) {
  for (const char* good : {"wg0", "a", "fifteen-letters", "a=b+c.d-e_f"})
    EXPECT_TRUE(valid_interface_name(good)) << good;
  for (const char* bad :
       {"", ".", "..", "sixteen-letters1", "a/b", "a b", "{name}", "a:b", "all", "default"}) {
    EXPECT_FALSE(valid_interface_name(bad)) << bad;
  }
}

TEST(WgQuickTest, WhyANameIsNoneIsSaid) {
  EXPECT_EQ(interface_name_fault("wg0"), "");
  EXPECT_EQ(interface_name_fault("sixteen-letters1"),
            "'sixteen-letters1' has 16 characters; an interface name has at most 15");
  EXPECT_NE(interface_name_fault("{name}").find("placeholder {name} of the guide"), std::string::npos);
  EXPECT_NE(interface_name_fault("a b").find("letters, digits and"), std::string::npos);
  EXPECT_NE(interface_name_fault("all").find("choose another name"), std::string::npos);
  EXPECT_NE(interface_name_fault("").find("no name"), std::string::npos);
}

TEST(WgQuickTest, TheUpdateReplacesPeersAndLeavesNamesToTheResolver) {
  const wg::DeviceUpdate update =
      accept(kGuide + "[Peer]\nPublicKey = " + kOther + "\nEndpoint = name.example:5\n").device_update();
  EXPECT_TRUE(update.replace_peers);
  EXPECT_EQ(update.listen_port, 51820);
  ASSERT_EQ(update.peers.size(), 2u);
  EXPECT_TRUE(update.peers[0].replace_allowed_ips);
  EXPECT_EQ(update.peers[0].endpoint->text(), "192.0.2.2:51821");
  EXPECT_FALSE(update.peers[1].endpoint);
}

TEST(WgQuickTest, WhatSaveConfigWritesParsesToTheSame) {
  const std::string text =
      "[Interface]\nAddress = 10.0.0.1/24\nAddress = fd00::1/64\nDNS = 1.1.1.1, example.org\nMTU = "
      "1400\nTable = 77\n"
      "SaveConfig = true\nPreUp = a\nPostUp = b # c\nPreDown = d\nPostDown = e\nListenPort = 4242\nFwMark = "
      "0xca6c\nPrivateKey = " +
      kPrivate + "\n\n[Peer]\nPublicKey = " + kPublic + "\nPresharedKey = " + kOther +
      "\nAllowedIPs = 10.0.0.0/8, ::/0\nEndpoint = [2001:db8::1]:99\nPersistentKeepalive = 25\n";
  const InterfaceConfig config = accept(text);
  wg::DeviceSnapshot device;
  device.private_key = config.private_key->copy();
  device.listen_port = 4242;
  device.fwmark = 0xca6c;
  wg::PeerSnapshot& peer = device.peers.emplace_back();
  peer.public_key = config.peers[0].public_key;
  peer.preshared_key = config.peers[0].preshared_key->copy();
  peer.endpoint = *config.peers[0].endpoint->numeric();
  peer.persistent_keepalive_s = 25;
  for (const auto& entry : config.peers[0].allowed_ips) peer.allowed_ips.push_back(entry.prefix);
  LiveInterface live;
  for (const auto& address : config.addresses) live.addresses.push_back(address.prefix);
  live.mtu = config.mtu;
  EXPECT_EQ(format_wg_quick(config, device, live), text);
}

TEST(WgQuickTest, SaveConfigKeepsANameThatHasNotResolved) {
  const InterfaceConfig config =
      accept("[Interface]\n[Peer]\nPublicKey = " + kPublic + "\nEndpoint = name.example:5\n");
  wg::DeviceSnapshot device;
  wg::PeerSnapshot& peer = device.peers.emplace_back();
  peer.public_key = config.peers[0].public_key;
  EXPECT_NE(format_wg_quick(config, device, {}).find("Endpoint = name.example:5\n"), std::string::npos);
  peer.endpoint = *accept(kGuide).peers[0].endpoint->numeric();
  EXPECT_EQ(format_wg_quick(config, device, {}).find("name.example"), std::string::npos);
}

}  // namespace
}  // namespace hats::config
