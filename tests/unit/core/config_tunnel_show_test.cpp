// What `show` prints, against what the real `ip tunnel show` printed of the kernel's tunnels.
#include <gtest/gtest.h>

#include "core/config/tunnel_show.hpp"
#include "tests/unit/core/config_ip_tunnel_support.hpp"
#include "tests/unit/core/config_real_tunnels.hpp"

namespace hats::config {
namespace {

using namespace test;

constexpr uint32_t kLoopback = 1;

std::string shown(const encap::TunnelConfig& tunnel) {
  return tunnel_text("t1", tunnel, DsfieldNames::parse(kDsfieldFile),
                     [](uint32_t index) { return index == kLoopback ? std::string("lo") : std::string(); });
}

TEST(TunnelShowTest, EveryTunnelIsShownAsTheRealToolShowsTheKernels) {
  for (const RealTunnel& real : kRealTunnels) {
    const TunnelCommand command = accept_words("add t1 " + std::string(real.words));
    auto tunnel = apply(command, {});
    ASSERT_TRUE(tunnel) << real.words;
    if (command.underlay == "lo") tunnel->underlay = kLoopback;
    EXPECT_EQ(shown(*tunnel), real.shown) << real.words;
  }
}

TEST(TunnelShowTest, WhatTheRealToolDoesNotKnowIsNotInTheText) {
  const encap::TunnelConfig plain = added("t1 mode gre remote 192.0.2.2 ttl 255");
  EXPECT_EQ(shown(added("t1 mode gre remote 192.0.2.2 ttl 255 keepalive 10 3")), shown(plain));
  // as the real one says of `ip link add t2 type gre ... ttl 255 nopmtudisc ignore-df`
  EXPECT_EQ(shown(added("t1 mode gre local 192.0.2.1 remote 192.0.2.2 ttl 255 ignore-df")),
            "t1: gre/ip remote 192.0.2.2 local 192.0.2.1 ttl 255 nopmtudisc");
  // GRE over IPv4, whatever it was called
  EXPECT_EQ(shown(added("t1 mode ip6gre remote 192.0.2.2 ttl 255")), shown(plain));
  encap::TunnelConfig gone = plain;
  gone.underlay = 77;
  EXPECT_EQ(shown(gone), shown(plain));
}

TEST(TunnelShowTest, TheNamesOfTheDsFieldComeFromTheTable) {
  const DsfieldNames names = DsfieldNames::parse(kDsfieldFile);
  EXPECT_EQ(names.text(0x28), "AF11");
  EXPECT_EQ(names.text(0x30), "AF12");
  EXPECT_EQ(names.text(184), "EF");
  EXPECT_EQ(names.text(0x04), "0x04");
  EXPECT_EQ(names.value("CS1"), 0x20);
  EXPECT_EQ(names.value("cs1"), std::nullopt);
  EXPECT_EQ(names.value("nothing"), std::nullopt);
  EXPECT_EQ(names.value("large"), std::nullopt);
  EXPECT_EQ(names.value("ff"), 0xff);
  EXPECT_EQ(DsfieldNames().text(0x28), "0x28");
  EXPECT_EQ(DsfieldNames().value("AF11"), std::nullopt);
}

}  // namespace
}  // namespace hats::config
