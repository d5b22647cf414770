// HostSetup: what networkd's and netplan's files say beyond wg-quick's: addresses with all they may have, and
// routes that are written out.
#include "tests/unit/tools/quick_world.hpp"

namespace hats::app::testing {
namespace {

using WrittenTest = QuickWorld;

IpAddress address(const char* text) {
  return *IpAddress::parse(text);
}

config::InterfaceConfig base() {
  config::InterfaceConfig config;
  config.format = config::Format::networkd;
  config.table.kind = config::RouteTable::Kind::off;
  return config;
}

config::InterfaceConfig with_addresses() {
  config::InterfaceConfig config = base();
  config.addresses.push_back({.prefix = *Prefix::parse("10.9.0.1/32"), .peer = address("10.9.0.2")});
  config.addresses.push_back({.prefix = *Prefix::parse("10.8.0.1/24"), .label = "wgq:second", .scope = 253});
  config.addresses.push_back(
      {.prefix = *Prefix::parse("fd09::1/64"), .preferred_lifetime_s = 0, .route_metric = 77});
  config.addresses.push_back(
      {.prefix = *Prefix::parse("fd0a::1/64"), .prefix_route = false, .duplicate_detection = false});
  return config;
}

TEST_F(WrittenTest, AnAddressGetsWhatItsFileSays) {
  make_device();
  HostSetup host(with_addresses(), "wgq", "/etc/systemd/network/x.netdev", options());
  const auto done = host.up(device);
  ASSERT_TRUE(done) << done.error().text("x");
  const std::string shown = sh("ip addr show dev wgq");
  EXPECT_NE(shown.find("inet 10.9.0.1 peer 10.9.0.2/32"), std::string::npos) << shown;
  EXPECT_NE(shown.find("inet 10.8.0.1/24 scope link wgq:second"), std::string::npos) << shown;
  EXPECT_NE(shown.find("fd09::1/64 metric 77 scope global deprecated"), std::string::npos) << shown;
  const std::string routes = sh("ip -6 route show dev wgq");
  EXPECT_NE(routes.find("fd09::/64 proto kernel metric 77"), std::string::npos) << routes;
  EXPECT_EQ(routes.find("fd0a::/64"), std::string::npos) << routes;
  host.before_delete(&device);
  delete_device();
  host.after_delete();
}

TEST_F(WrittenTest, RoutesAreAddedAndReloadAppliesTheDifference) {
  make_device();
  const auto config_with = [](bool second) {
    config::InterfaceConfig config = with_addresses();
    config::InterfaceRoute through;
    through.destination = *Prefix::parse("10.77.0.0/16");
    through.gateway = address("10.8.0.9");
    through.metric = 55;
    through.advertised_mss = 1300;
    through.mtu = 1400;
    through.preferred_source = address("10.8.0.1");
    config.routes.push_back(through);
    config::InterfaceRoute other;
    other.destination = *Prefix::parse(second ? "0.0.0.0/0" : "10.78.0.0/16");
    other.table = "77";
    other.gateway = address("192.0.2.77");
    other.on_link = true;
    config.routes.push_back(other);
    return config;
  };
  HostSetup host(config_with(false), "wgq", "/etc/systemd/network/x.netdev", options());
  const auto done = host.up(device);
  ASSERT_TRUE(done) << done.error().text("x");
  EXPECT_EQ(sh("ip route show 10.77.0.0/16 | sed 's/ *$//'"),
            "10.77.0.0/16 via 10.8.0.9 dev wgq src 10.8.0.1 metric 55 mtu 1400 advmss 1300\n");
  EXPECT_EQ(sh("ip route show table 77 | sed 's/ *$//'"), "10.78.0.0/16 via 192.0.2.77 dev wgq onlink\n");
  ASSERT_TRUE(host.reload(config_with(true), device));
  EXPECT_EQ(sh("ip route show table 77 | sed 's/ *$//'"), "default via 192.0.2.77 dev wgq onlink\n");
  EXPECT_NE(sh("ip route show 10.77.0.0/16"), "");
  host.before_delete(&device);
  delete_device();
  host.after_delete();
}

TEST_F(WrittenTest, AGatewayOutOfReachIsNamedWithItsLineAndFile) {
  make_device();
  config::InterfaceConfig config = base();
  config::InterfaceRoute route;
  route.destination = *Prefix::parse("10.77.0.0/16");
  route.gateway = address("203.0.113.250");
  route.line = 7;
  route.file = "/etc/systemd/network/x.network";
  config.routes.push_back(route);
  HostSetup host(std::move(config), "wgq", "/etc/systemd/network/x.netdev", options());
  const auto done = host.up(device);
  ASSERT_FALSE(done);
  const std::string text = done.error().text("x");
  EXPECT_TRUE(text.starts_with("/etc/systemd/network/x.network:7: Route: route to 10.77.0.0/16: ")) << text;
  EXPECT_NE(text.find("on-link"), std::string::npos) << text;
}

TEST_F(WrittenTest, WhereNetworkdRunsItsAddressesAndRoutesAreLeftToIt) {
  make_device();
  config::InterfaceConfig config = with_addresses();
  config.addresses_elsewhere = true;
  HostSetup host(std::move(config), "wgq", "/etc/systemd/network/x.netdev", options());
  ASSERT_TRUE(host.up(device));
  EXPECT_EQ(sh("ip -br addr show dev wgq | grep -c 10.8 || true"), "0\n");
  EXPECT_EQ(sh("ip -br link show dev wgq | grep -c UP"), "1\n");
}

}  // namespace
}  // namespace hats::app::testing
