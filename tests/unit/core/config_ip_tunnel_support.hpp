// What the tests of `ip tunnel`'s words share.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "core/config/ip_tunnel.hpp"

namespace hats::config::test {

/// A part of Debian's /etc/iproute2/rt_dsfield.
inline const std::string kDsfieldFile =
    "# Differentiated field values\n"
    "0x0\tdefault\n"
    "# Newer RFC2597 values\n"
    "0x28\tAF11\n0x30\tAF12   # a comment\n"
    "0x20\tCS1\n"
    "184 EF\n"
    "garbage\n0x1G nothing\n256 large\n";

inline std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

inline TunnelCommand accept_words(const std::string& line) {
  auto command = parse_ip_tunnel(words_of(line), DsfieldNames::parse(kDsfieldFile));
  EXPECT_TRUE(command) << line << "\n" << (command ? "" : command.error());
  return command ? std::move(*command) : TunnelCommand{};
}

inline std::string refuse_words(const std::string& line) {
  const auto command = parse_ip_tunnel(words_of(line), DsfieldNames::parse(kDsfieldFile));
  EXPECT_FALSE(command) << line;
  return command ? "" : command.error();
}

/// The tunnel that `add` with these words makes.
inline encap::TunnelConfig added(const std::string& line) {
  auto tunnel = apply(accept_words("add " + line), {});
  EXPECT_TRUE(tunnel) << line << "\n" << (tunnel ? "" : tunnel.error());
  return tunnel ? *tunnel : encap::TunnelConfig{};
}

inline IpAddress ip(const std::string& text) {
  return *IpAddress::parse(text);
}

}  // namespace hats::config::test
