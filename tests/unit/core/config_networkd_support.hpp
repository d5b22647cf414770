// What the tests of networkd's files share: sources out of texts, and parsing with a readable failure.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/config/netdev.hpp"
#include "core/config/network.hpp"

namespace hats::config::test {

inline const std::string kPrivate = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
inline const std::string kPublic = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
inline const std::string kOther = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

inline NetworkdSources sources_of(const std::string& netdev, const std::string& network = "") {
  NetworkdSources out;
  out.netdev.push_back({"N.netdev", netdev});
  if (!network.empty()) out.network.push_back({"N.network", network});
  return out;
}

inline InterfaceConfig accept(const NetworkdSources& sources) {
  auto config = parse_networkd(sources);
  EXPECT_TRUE(config) << (config ? "" : config.error().text("F")) << "\n" << sources.netdev.front().text;
  return config ? std::move(*config) : InterfaceConfig{};
}
inline InterfaceConfig accept(const std::string& netdev, const std::string& network = "") {
  return accept(sources_of(netdev, network));
}

inline std::string refuse(const NetworkdSources& sources) {
  const auto config = parse_networkd(sources);
  EXPECT_FALSE(config) << sources.netdev.front().text;
  return config ? "" : config.error().text("F");
}
inline std::string refuse(const std::string& netdev, const std::string& network = "") {
  return refuse(sources_of(netdev, network));
}

/// FILE:LINE of all faults, with blanks between.
inline std::string refuse_all(const std::string& netdev, const std::string& network = "") {
  const auto config = parse_networkd(sources_of(netdev, network));
  EXPECT_FALSE(config) << netdev;
  if (config) return {};
  std::string out = config.error().file + ":" + std::to_string(config.error().line);
  for (const ConfigError& other : config.error().more)
    out += " " + other.file + ":" + std::to_string(other.line);
  return out;
}

/// All warnings, one a line.
inline std::string warnings_of(const InterfaceConfig& config) {
  std::string out;
  for (const ConfigError& warning : config.warnings) out += warning.text("F") + "\n";
  return out;
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
#define EXPECT_HAS(text, part) EXPECT_TRUE(::hats::config::test::has(text, part)) << (text)

/// A tunnel of `kind` with both ends, and `lines` in its [Tunnel], the first of which is line 7.
inline std::string tunnel_with(const std::string& kind, const std::string& lines) {
  const bool v6 = kind == "ip6gre";
  return "[NetDev]\nName=t0\nKind=" + kind + "\n[Tunnel]\nLocal=" + (v6 ? "2001:db8::1" : "192.0.2.1") +
         "\nRemote=" + (v6 ? "2001:db8::2" : "192.0.2.2") + "\n" + lines + "\n";
}
inline encap::TunnelConfig tunnel_of(const std::string& kind, const std::string& lines) {
  const InterfaceConfig config = accept(tunnel_with(kind, lines));
  return config.tunnel ? config.tunnel->tunnel : encap::TunnelConfig{};
}

/// A WireGuard interface with a key; `lines` go on in [WireGuard] from line 6.
inline std::string wireguard_with(const std::string& lines) {
  return "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey=" + kPrivate + "\n" + lines + "\n";
}
/// With one peer; `lines` go on in [WireGuardPeer] from line 8.
inline std::string peer_with(const std::string& lines) {
  return wireguard_with("[WireGuardPeer]\nPublicKey=" + kPublic + "\n" + lines);
}

}  // namespace hats::config::test
