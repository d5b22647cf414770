// Link-local addresses against those that Debian's Linux 6.1.192 gave to its devices.
#include <gtest/gtest.h>

#include <array>

#include "core/config/link_local.hpp"
#include "tests/unit/core/config_ip_tunnel_support.hpp"

namespace hats::config {
namespace {

using namespace test;

std::string text_of(const std::vector<IpAddress>& addresses) {
  std::string out;
  for (const IpAddress& address : addresses) out += (out.empty() ? "" : " ") + address.text();
  return out;
}

std::string given(const std::string& words, LinkLocal choice, std::span<const IpAddress> host = {}) {
  return text_of(link_local_addresses(added("t mode " + words), choice, host));
}

TEST(LinkLocalTest, GreAndSitGetWhatTheKernelGives) {
  const struct {
    const char* local;
    const char* gre;
    const char* sit;
  } rows[] = {
      {"8.8.8.8", "fe80::200:5efe:808:808", "fe80::808:808"},
      {"10.1.2.3", "fe80::5efe:a01:203", "fe80::a01:203"},
      {"172.16.5.6", "fe80::5efe:ac10:506", "fe80::ac10:506"},
      {"172.32.0.1", "fe80::200:5efe:ac20:1", "fe80::ac20:1"},
      {"192.168.1.1", "fe80::5efe:c0a8:101", "fe80::c0a8:101"},
      {"169.254.1.1", "fe80::5efe:a9fe:101", "fe80::a9fe:101"},
      {"127.0.0.1", "fe80::5efe:7f00:1", "fe80::7f00:1"},
      {"192.0.2.1", "fe80::5efe:c000:201", "fe80::c000:201"},
      {"198.51.100.1", "fe80::200:5efe:c633:6401", "fe80::c633:6401"},
      {"203.0.113.1", "fe80::200:5efe:cb00:7101", "fe80::cb00:7101"},
      {"198.18.0.1", "fe80::5efe:c612:1", "fe80::c612:1"},
      {"100.64.0.1", "fe80::200:5efe:6440:1", "fe80::6440:1"},
      {"192.88.99.1", "fe80::5efe:c058:6301", "fe80::c058:6301"},
      {"240.0.0.1", "fe80::200:5efe:f000:1", "fe80::f000:1"},
      {"255.255.255.254", "fe80::200:5efe:ffff:fffe", "fe80::ffff:fffe"},
  };
  for (const auto& row : rows) {
    const std::string ends = std::string(" local ") + row.local + " remote 192.0.2.99";
    for (const LinkLocal choice : {LinkLocal::as_kernel, LinkLocal::isatap})
      EXPECT_EQ(given("gre" + ends, choice), row.gre);
    EXPECT_EQ(given("gre" + ends, LinkLocal::plain), row.sit);
    for (const LinkLocal choice : {LinkLocal::as_kernel, LinkLocal::isatap, LinkLocal::plain})
      EXPECT_EQ(given("sit" + ends, choice), row.sit);
    for (const char* mode : {"gre", "sit"}) EXPECT_EQ(given(mode + ends, LinkLocal::none), "");
    EXPECT_EQ(given("ipip" + ends, LinkLocal::as_kernel), "");
    // the guide's ip6gre is GRE over IPv4
    EXPECT_EQ(given("ip6gre" + ends, LinkLocal::as_kernel), row.gre);
  }
}

TEST(LinkLocalTest, WithoutALocalAddressTheHostsAddressesGiveThem) {
  const std::array<IpAddress, 3> host{ip("8.8.4.4"), ip("2001:db8::1"), ip("10.0.0.1")};
  for (const char* words : {"gre remote 192.0.2.99", "sit remote 192.0.2.99"}) {
    EXPECT_EQ(given(words, LinkLocal::as_kernel, host), "fe80::808:404 fe80::a00:1");
    EXPECT_EQ(given(words, LinkLocal::as_kernel), "");
    EXPECT_EQ(given(words, LinkLocal::none, host), "");
  }
  EXPECT_EQ(given("gre remote 192.0.2.99", LinkLocal::isatap, host),
            "fe80::200:5efe:808:404 fe80::5efe:a00:1");
}

TEST(LinkLocalTest, GreOverIpv6GetsAnEui64ThatStaysAndDiffersAtTheOtherEnd) {
  const auto there = link_local_addresses(added("t mode ip6gre local 2001:db8::1 remote 2001:db8::2"),
                                          LinkLocal::as_kernel, {});
  const auto back = link_local_addresses(added("t mode ip6gre local 2001:db8::2 remote 2001:db8::1"),
                                         LinkLocal::as_kernel, {});
  const auto again = link_local_addresses(added("t mode ip6gre local 2001:db8::1 remote 2001:db8::2 ttl 9"),
                                          LinkLocal::as_kernel, {});
  ASSERT_EQ(there.size(), 1u);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(there, again);
  EXPECT_NE(there, back);
  const auto& b = there[0].bytes;
  EXPECT_EQ(there[0].text().substr(0, 6), "fe80::");
  EXPECT_EQ(b[8] & 3, 0);  // unicast, and not universal
  EXPECT_EQ(b[11], 0xFF);
  EXPECT_EQ(b[12], 0xFE);
  EXPECT_EQ(given("ip6gre remote 2001:db8::2", LinkLocal::plain), "");
  EXPECT_EQ(given("ip6gre remote 2001:db8::2", LinkLocal::none), "");
}

}  // namespace
}  // namespace hats::config
