// What the tests of netplan's files share: keys, texts around a tunnel, and parsing with a readable failure.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/config/netplan.hpp"
#include "tests/unit/core/config_support.hpp"

namespace hats::config::test {

using Sources = std::vector<SourceText>;

/// A file with one tunnel, hats0; `body` has no indentation of its own beyond YAML's.
inline std::string tunnel_text(const std::string& body) {
  std::string out = "network:\n  version: 2\n  tunnels:\n    hats0:\n";
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    out += "      " + body.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}
/// The first line of the body is line 8.
inline std::string gre_text(const std::string& body, const std::string& mode = "gre",
                            const std::string& local = "192.0.2.1", const std::string& remote = "192.0.2.2") {
  return tunnel_text("mode: " + mode + "\nlocal: " + local + "\nremote: " + remote + "\n" + body);
}
/// The first line of the body is line 7.
inline std::string wg_text(const std::string& body) {
  return tunnel_text("mode: wireguard\nkey: " + kPrivate + "\n" + body);
}
inline std::string peer_text(const std::string& body, const std::string& key = kPublic) {
  std::string out = "  - keys: {public: " + key + "}\n";
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    out += "    " + body.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}

inline InterfaceConfig accept_netplan(const Sources& sources, const Sources& keys = {},
                                      const std::string& name = "hats0") {
  auto config = parse_netplan(sources, name, keys);
  EXPECT_TRUE(config) << (config ? "" : config.error().text("?")) << "\n" << sources.front().text;
  return config ? std::move(*config) : InterfaceConfig{};
}
inline InterfaceConfig accept_netplan(const std::string& text) {
  return accept_netplan(Sources{{"F", text}});
}
inline std::string refuse_netplan(const Sources& sources, const Sources& keys = {},
                                  const std::string& name = "hats0") {
  const auto config = parse_netplan(sources, name, keys);
  EXPECT_FALSE(config) << sources.front().text;
  return config ? "" : config.error().text("?");
}
inline std::string refuse_netplan(const std::string& text) {
  return refuse_netplan(Sources{{"F", text}});
}
/// The texts of the warnings, one a line.
inline std::string warnings_of(const InterfaceConfig& config) {
  std::string out;
  for (const ConfigError& warning : config.warnings) out += warning.text("?") + "\n";
  return out;
}

}  // namespace hats::config::test
