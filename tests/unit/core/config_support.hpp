// What the tests of wg-quick's file share: keys, and parsing with a readable failure.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/config/wg_quick.hpp"

namespace hats::config::test {

inline const std::string kPrivate = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
inline const std::string kPublic = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
inline const std::string kOther = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=";

/// The guide's wg-quick file, its placeholders filled in.
inline const std::string kGuide =
    "[Interface]\nAddress    = 10.0.0.1/30\nListenPort = 51820\nPrivateKey = " + kPrivate +
    "\n# Disable WireGuard's built-in routing table management when using\n# an external routing daemon "
    "(e.g. BIRD, FRR)\n"
    "Table = off\n\n[Peer]\nPublicKey           = " +
    kPublic +
    "\nAllowedIPs          = 0.0.0.0/0, ::/0\nEndpoint            = 192.0.2.2:51821\nPersistentKeepalive = "
    "25\n";

inline InterfaceConfig accept(const std::string& text) {
  auto config = parse_wg_quick(text);
  EXPECT_TRUE(config) << (config ? "" : config.error().text("F")) << "\n" << text;
  return config ? std::move(*config) : InterfaceConfig{};
}

inline std::string refuse(const std::string& text) {
  const auto config = parse_wg_quick(text);
  EXPECT_FALSE(config) << text;
  return config ? "" : config.error().text("F");
}

inline std::string interface_with(const std::string& line) {
  return "[Interface]\n" + line + "\n";
}
inline std::string peer_with(const std::string& line, const std::string& key = kPublic) {
  return "[Peer]\nPublicKey = " + key + "\n" + line + "\n";
}

inline crypto::PublicKey public_key(const std::string& text) {
  crypto::PublicKey key;
  EXPECT_TRUE(crypto::key_from_base64(text, key.bytes));
  return key;
}

}  // namespace hats::config::test
