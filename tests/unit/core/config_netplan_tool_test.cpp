// The parser beside the real netplan: what `netplan generate` takes and refuses, and that the .netdev and
// .network files which it makes come, through the parser of those, to the same interface as the YAML itself.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "core/config/netdev.hpp"
#include "tests/unit/core/config_netplan_support.hpp"

namespace hats::config {
namespace {

using namespace test;
namespace fs = std::filesystem;

constexpr std::array kGenerators = {"/usr/libexec/netplan/generate", "/lib/netplan/generate"};

const char* generator() {
  for (const char* path : kGenerators) {
    if (access(path, X_OK) == 0) return path;
  }
  return nullptr;
}

/// What netplan makes of files in a root of its own.
struct Generated {
  bool taken = false;
  std::string says;  // both streams
  std::string netdev, network;
};

std::string read_file(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Generated generate(const Sources& sources) {
  std::string root = testing::TempDir() + "netplan-toolXXXXXX";
  EXPECT_NE(mkdtemp(root.data()), nullptr);
  for (const SourceText& source : sources) {
    const fs::path path = root + "/etc/netplan/" + source.path;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << source.text;
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  }
  Generated out;
  const std::string command = std::string(generator()) + " --root-dir " + root + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> bytes;
  while (const size_t count = fread(bytes.data(), 1, bytes.size(), pipe))
    out.says.append(bytes.data(), count);
  out.taken = pclose(pipe) == 0;
  const std::string stem = root + "/run/systemd/network/10-netplan-hats0.";
  out.netdev = read_file(stem + "netdev");
  out.network = read_file(stem + "network");
  fs::remove_all(root);
  return out;
}

std::string text_of(const std::optional<uint32_t>& value) {
  return value ? std::to_string(*value) : "-";
}
std::string text_of(const std::optional<IpAddress>& value) {
  return value ? value->text() : "-";
}

void describe_tunnel(std::ostream& out, const encap::TunnelConfig& tunnel) {
  out << "kind " << static_cast<int>(tunnel.kind) << " local " << tunnel.local.text() << " remote "
      << tunnel.remote.text() << " ttl " << static_cast<int>(tunnel.ttl) << " tos "
      << static_cast<int>(tunnel.tos) << tunnel.tos_inherit << " pmtu " << tunnel.path_mtu_discovery
      << tunnel.ignore_df << " keys " << text_of(tunnel.in_key) << " " << text_of(tunnel.out_key) << " flags "
      << tunnel.in_checksum << tunnel.out_checksum << tunnel.in_sequence << tunnel.out_sequence << " encap "
      << text_of(tunnel.encapsulation_limit) << " flow " << tunnel.flow_label << "\n";
}

/// What is to be the same, as text; where it stood, and which format it came from, is not.
std::string describe(const InterfaceConfig& config) {
  std::ostringstream out;
  if (config.tunnel) describe_tunnel(out, config.tunnel->tunnel);
  if (config.private_key) out << "private " << crypto::key_to_base64(config.private_key->view()) << "\n";
  out << "port " << text_of(config.listen_port) << " mark " << text_of(config.fwmark) << " mtu "
      << text_of(config.mtu) << " table " << static_cast<int>(config.table.kind) << " ll "
      << static_cast<int>(config.link_local) << " ra " << config.accept_route_advertisements << "\n";
  for (const Family family : {Family::v4, Family::v6}) {  // netplan writes one after the other
    for (const InterfaceAddress& address : config.addresses) {
      if (address.prefix.address.family != family) continue;
      out << "address " << address.prefix.text() << " peer " << text_of(address.peer) << " label "
          << address.label << " preferred " << text_of(address.preferred_lifetime_s) << " prefix route "
          << address.prefix_route << "\n";
    }
  }
  std::multiset<std::string> routes;  // the kernel has no order of them
  for (const InterfaceRoute& route : config.routes) {
    const bool v4 = route.destination.address.family == Family::v4;
    std::ostringstream line;
    line << "route " << route.destination.text() << " via " << text_of(route.gateway) << " from "
         << text_of(route.preferred_source) << " metric " << text_of(route.metric) << " mtu "
         << text_of(route.mtu) << " table "
         << (route.table.empty() || route.table == "main" ? "254" : route.table) << " scope "
         << (route.scope && *route.scope != 0 && v4 ? static_cast<int>(*route.scope) : 0) << " type "
         << static_cast<int>(route.type) << " onlink " << route.on_link << "\n";
    routes.insert(line.str());
  }
  for (const std::string& route : routes) out << route;
  for (const std::string& server : config.dns_servers) out << "dns " << server << "\n";
  for (const std::string& domain : config.dns_search) out << "search " << domain << "\n";
  for (const WgPeer& peer : config.peers) {
    out << "peer " << crypto::key_to_base64(peer.public_key.bytes) << " psk "
        << (peer.preshared_key ? crypto::key_to_base64(peer.preshared_key->view()) : "-") << " endpoint "
        << (peer.endpoint ? peer.endpoint->text() : "-") << " keepalive "
        << peer.persistent_keepalive_s.value_or(0) << " replace " << peer.replace_allowed_ips;
    for (const auto& entry : peer.allowed_ips) out << " " << entry.prefix.masked().text();
    out << "\n";
  }
  return out.str();
}

class NetplanToolTest : public testing::Test {
 protected:
  void SetUp() override {
    if (generator() == nullptr) GTEST_SKIP() << "SKIPPED: netplan.io is not installed";
  }
};

/// netplan takes it, and so do we, to the same interface.
void expect_same(const Sources& sources) {
  const Generated generated = generate(sources);
  ASSERT_TRUE(generated.taken) << generated.says << sources.back().text;
  const InterfaceConfig ours = accept_netplan(sources);
  NetworkdSources files;
  files.netdev = {{"10-netplan-hats0.netdev", generated.netdev}};
  files.network = {{"10-netplan-hats0.network", generated.network}};
  const auto theirs = parse_networkd(files);
  ASSERT_TRUE(theirs) << theirs.error().text("?") << "\n" << generated.netdev << generated.network;
  EXPECT_EQ(describe(ours), describe(*theirs)) << sources.front().text << "\n"
                                               << generated.netdev << generated.network;
}
void expect_same(const std::string& text) {
  expect_same(Sources{{"10-a.yaml", text}});
}

const std::vector<std::string> kGreBodies = {
    "",
    "ttl: 255",
    "ttl: 0",
    "ttl: 1",
    "key: 42",
    "keys: 42",
    "key: 4294967295",
    "key: 0",
    "key: 10.20.30.40",
    "keys: {input: 1, output: 2}",
    "key: {input: 1}",
    "keys: {output: 1}",
    "key: 9\nkeys: {input: 8}",
    "keys: {private: 5}",
    "mtu: 1472",
    "mtu: 0",
    "mtu: 1400\nmtu: 1300",
    "accept-ra: yes",
    "accept-ra: OFF",
    "link-local: []",
    "link-local: [ipv6]",
    "optional: true",
    "critical: true",
    "ignore-carrier: true",
    "renderer: networkd",
    "dhcp4: N\ndhcp6: \"false\"",
    "mark: 5\nport: 6\nid: 7",
    "addresses: [10.0.0.1/30]",
    "addresses: [10.0.0.1/30, \"fd00::1/64\", 10.0.0.1/30, 10.1.0.1/32]",
    "addresses:\n  - 10.0.0.9/24: {lifetime: 0, label: \"hats0:x\"}\n  - 10.0.0.1/24\n  - \"fd00::1/64\": "
    "{lifetime: forever}",
    "addresses:\n  - 10.0.0.9/24: {}\n  - 10.0.1.1/24: {label: a}",
    "addresses: [10.0.0.1/24]\naddresses: [10.0.0.2/24]",
    "addresses: [10.0.0.1/24]\ngateway4: 10.0.0.2",
    "gateway6: fd00::2\naddresses: [\"fd00::1/64\"]",
    "nameservers: {addresses: [1.1.1.1, \"fd00::53\"], search: [lab, home.arpa]}",
    "routes: [{to: 10.0.0.0/8, via: 10.1.1.1}]",
    "routes: [{to: 10.0.0.5, via: 10.1.1.1}, {to: 10.0.0.5, via: 10.1.1.1}]",
    "routes: [{to: default, via: 10.1.1.1}]",
    "routes: [{to: default, via: \"fd00::1\"}]",
    "routes: [{to: 0.0.0.0/0}]",
    "routes: [{to: \"::/0\"}]",
    "routes: [{to: default, from: \"fd00::1\"}]",
    "routes: [{to: 10.0.0.0/8, from: 10.0.0.1, via: 10.1.1.1, metric: 7, table: 5, on-link: \"On\"}]",
    "routes: [{to: 10.0.0.0/8, via: 10.1.1.1, table: 254}]",
    "routes: [{to: 10.0.0.0/8, scope: link}]",
    "routes: [{to: 10.0.0.0/8, scope: host}]",
    "routes: [{to: 10.0.0.0/8}]",
    "routes: [{to: 10.0.0.1/8, via: 10.0.0.2, mtu: 1300}]",
    "routes: [{to: 10.0.0.0/8, type: local}]",
    "routes: [{to: 10.0.0.1/32, type: local, table: 9}]",
    "routes: [{to: 10.0.0.255, type: broadcast}]",
    "routes: [{to: \"fd00::1\", type: anycast}]",
    "routes: [{to: 239.0.0.0/8, type: multicast}]",
    "routes: [{to: 10.0.0.0/8, type: blackhole}]",
    "routes: [{to: 10.0.0.0/8, type: unreachable}]",
    "routes: [{to: 10.0.0.0/8, type: prohibit}]",
    "routes: [{to: \"fd00::/8\", type: throw}]",
    "routes: [{to: \"fd00::/8\", via: \"fe80::1\", metric: 3}]",
    "mtu: &m 1400\nipv6-mtu: *m",
    "mtu: !!str 1400",
};

TEST_F(NetplanToolTest, TunnelsComeToTheSameInterface) {
  for (const std::string& body : kGreBodies) expect_same(gre_text(body));
  for (const std::string mode : {"sit", "ipip"}) expect_same(gre_text("ttl: 64\nmtu: 1400", mode));
  for (const std::string body : {"", "ttl: 7", "key: 5"}) {
    expect_same(gre_text(body, "ip6gre", "2001:db8::1", "2001:db8::2"));
  }
  expect_same(gre_text("", "gre", "0.0.0.0"));
  expect_same(gre_text("") + "---\nnonsense: 1\n");
  expect_same("\xEF\xBB\xBF" + gre_text("ttl: 9"));
  expect_same("network: {tunnels: {a0: &x {mode: gre, local: 1.1.1.1, remote: 1.1.1.2}, hats0: *x}}\n");
}

TEST_F(NetplanToolTest, WireguardComesToTheSameInterface) {
  const std::string peers =
      "peers:\n" + peer_text("allowed-ips: [0.0.0.0/0, \"::/0\"]\nendpoint: 192.0.2.2:51820\nkeepalive: 25");
  for (const std::string head :
       {"", "port: 51820\n", "port: 0\n", "mark: 42\n", "mark: 0\n", "mtu: 1468\n", "ttl: 5\n",
        "local: 192.0.2.1\n", "link-local: []\n", "addresses: [10.0.0.1/30]\n"}) {
    expect_same(wg_text(head + peers));
  }
  for (const std::string body :
       {"allowed-ips: [10.1.2.3/8]", "allowed-ips: [10.0.0.0/8, 10.0.0.0/8, \"fd00::/8\"]",
        "allowed-ips: [10.0.0.0/8]\nendpoint: \"[2001:db8::1]:5\"",
        "allowed-ips: [10.0.0.0/8]\nendpoint: a.example:5", "allowed-ips: [10.0.0.0/8]\nkeepalive: 0",
        "allowed-ips: [10.0.0.0/8]\nkeepalive: 65535"}) {
    expect_same(wg_text("peers:\n" + peer_text(body)));
  }
  // Order, a shared prefix, a preshared key, a key in a mapping.
  expect_same(wg_text("peers:\n" + peer_text("allowed-ips: [10.0.0.0/8, 11.0.0.0/8]") +
                      peer_text("allowed-ips: [10.0.0.0/8]", kOther)));
  expect_same(tunnel_text("mode: wireguard\nkeys: {private: " + kPrivate + "}\npeers:\n  - keys: {public: " +
                          kPublic + ", shared: " + kOther + "}\n    allowed-ips: [10.0.0.0/8]"));
}

TEST_F(NetplanToolTest, FilesMergeToTheSameInterface) {
  expect_same({{"10-a.yaml", gre_text("mtu: 1400\nkeys: {input: 1}\naddresses: [10.0.0.1/24]\n"
                                      "routes: [{to: 10.1.0.0/16, via: 10.0.0.2}]")},
               {"20-b.yaml",
                tunnel_text("mtu: 1300\nkeys: {output: 2}\naddresses: [10.0.0.5/24, 10.0.0.1/24]\n"
                            "routes: [{to: 10.1.0.0/16, via: 10.0.0.2}, {to: 10.2.0.0/16, via: 10.0.0.2}]\n"
                            "nameservers: {addresses: [1.1.1.1]}")},
               {"30-c.yaml", tunnel_text("ttl: 8\nnameservers: {search: [lab]}")}});
  expect_same({{"10-a.yaml", gre_text("ttl: 1")},
               {"20-b.yaml", tunnel_text("mode: sit")},
               {"30-c.yaml", "# nothing\n"}});
}

/// Both say no.
void expect_refused(const std::string& text) {
  EXPECT_FALSE(generate({{"10-a.yaml", text}}).taken) << text;
  EXPECT_FALSE(parse_netplan(Sources{{"F", text}}, "hats0")) << text;
}

TEST_F(NetplanToolTest, WhatNetplanRefusesWeRefuse) {
  for (const std::string body : {"ttl: 256",
                                 "ttl: -1",
                                 "ttl: 0x10",
                                 "ttl: [1]",
                                 "key: 0x10",
                                 "key: -1",
                                 "key: 4294967296",
                                 "key: abc",
                                 "keys: [1]",
                                 "keys: {inputt: 1}",
                                 "mtu: 1k",
                                 "mtu: 1_400",
                                 "mtu: 1400.0",
                                 "dhcp4: maybe",
                                 "dhcp4: 1",
                                 "dhcp4: t",
                                 "link-local: [ipv5]",
                                 "link-local: ipv6",
                                 "link-local:",
                                 "renderer: foo",
                                 "activation-mode: foo",
                                 "openvswitch: {}",
                                 "gateway4: fd00::1",
                                 "nameservers: 1.1.1.1",
                                 "nameservers: {addresses: [foo]}",
                                 "nameservers: {adresses: []}",
                                 "nameservers: {addresses: [\"1.1.1.1:53\"]}",
                                 "ttll: 5",
                                 "emit-lldp: true",
                                 "match: {name: x}",
                                 "auth: {}",
                                 "mode: GRE",
                                 "mode: {a: b}",
                                 "mode:",
                                 "local:",
                                 "local: 192.0.2.1/32",
                                 "local: any",
                                 "remote: example.com",
                                 "<<: {mtu: 1400}",
                                 "addresses: [10.0.0.1]",
                                 "addresses: [10.0.0.1/33]",
                                 "addresses: [10.0.0.1/0]",
                                 "addresses: [foo/24]",
                                 "addresses: 10.0.0.1/24",
                                 "addresses:",
                                 "addresses: [\" 10.0.0.1/24\"]",
                                 "addresses: [[10.0.0.1/24]]",
                                 "addresses:\n  - 10.0.0.1/24: x",
                                 "addresses:\n  - 10.0.0.1/24:",
                                 "addresses:\n  - 10.0.0.1/24: {lifetime: 5}",
                                 "addresses:\n  - 10.0.0.1/24: {foo: x}",
                                 "routes: [{via: 10.1.1.1}]",
                                 "routes: [{to: default}]",
                                 "routes: [{to: 10.0.0.0/8, via: \"fd00::1\"}]",
                                 "routes: [{to: 10.0.0.0/8, from: \"fd00::1\", via: 10.0.0.2}]",
                                 "routes: [{to: 10.0.0.0/8, scope: global}]",
                                 "routes: [{to: 10.0.0.0/8, scope: site}]",
                                 "routes: [{to: 10.0.0.0/8, type: foo}]",
                                 "routes: [{to: 10.0.0.0/8, foo: 1}]",
                                 "routes: [{to: 10.0.0.0/8, via: 10.0.0.1, metric: -1}]",
                                 "routes: [{to: 10.0.0.0/8, via: 10.1.1.1, table: main}]"}) {
    expect_refused(gre_text(body));
  }
  for (const std::string mode : {"sit", "ipip"}) expect_refused(gre_text("key: 5", mode));
  for (const std::string mode : {"gre", "sit", "ipip"})
    expect_refused(gre_text("", mode, "2001:db8::1", "2001:db8::2"));
  expect_refused(gre_text("", "ip6gre", "192.0.2.1", "2001:db8::2"));
  expect_refused(gre_text("", "gre", "192.0.2.1", "2001:db8::2"));
  for (const std::string body :
       {"mode: gre\nlocal: 192.0.2.1", "local: 192.0.2.1\nremote: 192.0.2.2", "mode: wireguard"}) {
    expect_refused(tunnel_text(body));
  }
  for (const std::string text :
       {"- 1\n", "network:\n", "network:\n  tunnels:\n", "network:\n  tunnels: []\n",
        "network:\n  tunnels:\n    hats0:\n", "network:\n  tunnels:\n    hats0: {}\n",
        "network:\n\ttunnels: {}\n", "network: {\n", "network: *x\n"}) {
    expect_refused(text);
  }
  expect_refused(gre_text("") + "# \xff\n");
  expect_refused(gre_text("") + "# \x04\n");
}

TEST_F(NetplanToolTest, WhatNetplanRefusesOfWireguardWeRefuse) {
  const std::string peers = "peers:\n" + peer_text("allowed-ips: [10.0.0.0/8]");
  for (const std::string body : {"port: auto\n", "mark: 0x10\n", "mark: off\n", "local: x\n", "key: abc\n"}) {
    expect_refused(wg_text(body + peers));
  }
  for (const std::string body :
       {"allowed-ips: [10.0.0.0]", "allowed-ips: [x/8]", "allowed-ips: [10.0.0.0/33]",
        "allowed-ips: 10.0.0.0/8", "allowed-ips: [10.0.0.0/8]\nkeepalive: off",
        "allowed-ips: [10.0.0.0/8]\nkeepalive: 65536", "allowed-ips: [10.0.0.0/8]\nendpoint: 1.2.3.4:65536",
        "allowed-ips: [10.0.0.0/8]\nendpoint: example.com", "allowed-ips: [10.0.0.0/8]\nfoo: 1",
        "allowed-ips: [10.0.0.0/8]\nkeys: {foo: 1}", "allowed-ips: [10.0.0.0/8]\nkeys: {public: x}",
        "allowed-ips: [10.0.0.0/8]\nkeys: {shared: bad}", "allowed-ips: [10.0.0.0/8]\nkeys: x"}) {
    expect_refused(wg_text("peers:\n" + peer_text(body)));
  }
  expect_refused(wg_text("peers:\n  - allowed-ips: [10.0.0.0/8]"));
}

TEST_F(NetplanToolTest, TheGuidesPlaceholdersAreRefusedByBoth) {
  expect_refused("network:\n  version: 2\n  tunnels:\n    { name }:\n      mode: gre\n");
  expect_refused(gre_text("addresses:\n  - { your tunnel ip cidr }"));
  expect_refused(gre_text("", "gre", "{ yourside ip }"));
}

// Where we differ on purpose (core/config/README.md); should netplan change its mind, this says so.
TEST_F(NetplanToolTest, WhereWeDifferNetplanStillDoes) {
  for (const std::string body :
       {"mtu: 70000", "key: 010", "routes: [{to: 10.0.0.0/8, via: 10.0.0.1/32, metric: 1}]",
        "addresses:\n  - 10.0.0.1/24: {label: toolonglabel12345}", "dhcp4: true", "link-local: [ipv4]",
        "activation-mode: off", "ipv6-privacy: true", "routing-policy: [{from: 10.0.0.1, table: 5}]"}) {
    EXPECT_TRUE(generate({{"10-a.yaml", gre_text(body)}}).taken) << body;
  }
  EXPECT_FALSE(generate({{"10-a.yaml", gre_text("", "ip6gre")}}).taken);
  EXPECT_TRUE(parse_netplan(Sources{{"F", gre_text("", "ip6gre")}}, "hats0"));
}

}  // namespace
}  // namespace hats::config
