#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "tests/unit/tun/private_namespace.hpp"
#include "tun/link.hpp"
#include "tun/tun_device.hpp"

namespace hats::tun {
namespace {

Prefix prefix(const char* text) {
  return Prefix::parse(text).value();
}
IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

class NetlinkTest : public testing::PrivateNamespace {
 protected:
  void SetUp() override {
    PrivateNamespace::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto made = TunDevice::create("hutest0", OffloadChoice::automatic);
    ASSERT_TRUE(made) << made.error().message;
    tun = std::make_unique<TunDevice>(std::move(*made));
    index = netlink->link("hutest0")->index;
    ASSERT_EQ(netlink->set_up(index, true), 0);
  }

  // All events until `wanted` comes, or two seconds are over.
  static std::optional<LinkEvent> wait_for(LinkEvents& events, auto wanted) {
    for (int i = 0; i < 20; ++i) {
      pollfd p{events.fd(), POLLIN, 0};
      (void)::poll(&p, 1, 100);
      for (const LinkEvent& event : events.read()) {
        if (wanted(event)) return event;
      }
    }
    return std::nullopt;
  }

  std::unique_ptr<TunDevice> tun;
  uint32_t index = 0;
};

TEST_F(NetlinkTest, FindsALinkByNameAndByIndex) {
  const auto by_index = netlink->link(index);
  ASSERT_TRUE(by_index);
  EXPECT_EQ(by_index->name, "hutest0");
  EXPECT_EQ(by_index->mtu, 1500u);
  EXPECT_EQ(netlink->link("nothere").error(), ENODEV);
  EXPECT_EQ(netlink->link("longer-than-a-name-can-be").error(), ENODEV);
  EXPECT_EQ(netlink->link(uint32_t{4711}).error(), ENODEV);
}

TEST_F(NetlinkTest, MakesAVethPairWithItsOtherEndInAnotherNamespace) {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  const int there = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  auto of_there = Netlink::open();
  ASSERT_TRUE(of_there);
  EXPECT_EQ(netlink->add_veth_pair("huveth0", "huveth1", there), 0);
  EXPECT_EQ(netlink->add_veth_pair("huveth0", "huveth2", there), EEXIST);
  const auto near = netlink->link("huveth0");
  const auto far = of_there->link("huveth1");
  ASSERT_TRUE(near);
  ASSERT_TRUE(far);
  EXPECT_EQ(near->kind, "veth");
  EXPECT_EQ(far->kind, "veth");
  EXPECT_FALSE(netlink->link("huveth1"));
  EXPECT_EQ(near->flags & IFF_UP, 0u);
  ::close(there);
}

TEST_F(NetlinkTest, SetsTheMtu) {
  ASSERT_EQ(netlink->set_mtu(index, 1420), 0);
  EXPECT_EQ(netlink->link(index)->mtu, 1420u);
  EXPECT_EQ(netlink->set_mtu(index, 20), EINVAL);
}

TEST_F(NetlinkTest, SetsTheQueueLength) {
  ASSERT_EQ(netlink->set_queue_length(index, 777), 0);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  ASSERT_NE(if_indextoname(index, request.ifr_name), nullptr);
  EXPECT_EQ(::ioctl(fd, SIOCGIFTXQLEN, &request), 0);
  EXPECT_EQ(request.ifr_qlen, 777);
  ::close(fd);
  EXPECT_EQ(netlink->set_queue_length(0x7fff'0000, 777), ENODEV);
}

TEST_F(NetlinkTest, AddsListsAndRemovesAddresses) {
  ASSERT_EQ(netlink->add_address(index, prefix("10.1.2.3/24")), 0);
  ASSERT_EQ(netlink->add_address(index, prefix("fd00::1/64")), 0);
  ASSERT_EQ(netlink->add_address(index, prefix("10.9.0.1/32"), {.peer = address("10.9.0.2")}), 0);
  EXPECT_EQ(netlink->add_address(index, prefix("10.1.2.3/24")), EEXIST);
  EXPECT_EQ(netlink->add_address(index, prefix("fd00::1/64")), EEXIST);
  auto list = netlink->addresses(index);
  ASSERT_TRUE(list);
  std::ranges::sort(*list);
  std::vector<Prefix> expected = {prefix("10.1.2.3/24"), prefix("10.9.0.1/32"), prefix("fd00::1/64")};
  std::ranges::sort(expected);
  EXPECT_EQ(*list, expected);
  EXPECT_EQ(netlink->remove_address(index, prefix("fd00::1/64")), 0);
  EXPECT_EQ(netlink->remove_address(index, prefix("fd00::1/64")), EADDRNOTAVAIL);
  EXPECT_EQ(netlink->addresses(index)->size(), 2u);
}

TEST_F(NetlinkTest, RoutesLiveInTablesAboveTheByte) {
  for (const uint32_t table : {uint32_t{254}, uint32_t{200}, uint32_t{51820}, uint32_t{4'000'000'000}}) {
    for (const char* to : {"0.0.0.0/0", "::/0", "192.0.2.0/24", "2001:db8::/48"}) {
      const Route route{.destination = prefix(to),
                        .gateway = {},
                        .interface_index = index,
                        .table = table,
                        .metric = {},
                        .mtu = {},
                        .source = {}};
      ASSERT_EQ(netlink->add_route(route), 0) << to << " table " << table;
      EXPECT_EQ(netlink->add_route(route), EEXIST) << to << " table " << table;
      const auto list = netlink->routes(route.destination.address.family, index, table);
      ASSERT_TRUE(list);
      EXPECT_TRUE(std::ranges::any_of(*list,
                                      [&](const Route& r) {
                                        return r.destination == route.destination && r.table == table &&
                                               r.interface_index == index;
                                      }))
          << to << " table " << table;
      EXPECT_EQ(netlink->remove_route(route), 0);
      EXPECT_EQ(netlink->remove_route(route), ESRCH);
    }
  }
}

TEST_F(NetlinkTest, RouteLookUpGivesInterfaceSourceMtuAndFollowsTheMark) {
  ASSERT_EQ(netlink->add_address(index, prefix("10.1.2.3/24")), 0);
  ASSERT_EQ(netlink->add_address(index, prefix("fd00::1/64")), 0);
  Route far{.destination = prefix("198.51.100.0/24"),
            .gateway = address("10.1.2.9"),
            .interface_index = index,
            .table = 254,
            .metric = 7,
            .mtu = 1300,
            .source = address("10.1.2.3")};
  ASSERT_EQ(netlink->add_route(far), 0);
  auto found = netlink->route_to(address("198.51.100.77"), 0);
  ASSERT_TRUE(found) << std::strerror(found.error());
  EXPECT_EQ(found->interface_index, index);
  EXPECT_EQ(found->gateway, address("10.1.2.9"));
  EXPECT_EQ(found->source, address("10.1.2.3"));
  EXPECT_EQ(found->mtu, 1300u);
  EXPECT_EQ(found->table, 254u);

  // The kernel ends an IPv6 address's tentative state from a work queue, a moment after the request.
  for (int i = 0; i < 100; ++i) {
    found = netlink->route_to(address("fd00::99"), 0);
    if (found && found->source == address("fd00::1")) break;
    (void)::poll(nullptr, 0, 10);
  }
  ASSERT_TRUE(found) << std::strerror(found.error());
  EXPECT_EQ(found->interface_index, index);
  EXPECT_EQ(found->source, address("fd00::1"));

  EXPECT_EQ(netlink->route_to(address("203.0.113.1"), 0).error(), ENETUNREACH);
  EXPECT_EQ(netlink->route_to(address("2001:db8::1"), 0).error(), ENETUNREACH);

  // A mark selects another table.
  for (const char* all : {"0.0.0.0/0", "::/0"}) {
    ASSERT_EQ(netlink->add_route({.destination = prefix(all),
                                  .gateway = {},
                                  .interface_index = index,
                                  .table = 51820,
                                  .metric = {},
                                  .mtu = {},
                                  .source = {}}),
              0);
    ASSERT_EQ(netlink->add_rule({.family = prefix(all).address.family,
                                 .fwmark = 0x1234,
                                 .table = 51820,
                                 .suppress_prefix_length = {},
                                 .priority = {}}),
              0);
  }
  for (const char* to : {"203.0.113.1", "2001:db8::1"}) {
    found = netlink->route_to(address(to), 0x1234);
    ASSERT_TRUE(found) << to << ": " << std::strerror(found.error());
    EXPECT_EQ(found->interface_index, index);
    EXPECT_EQ(found->table, 51820u);
    EXPECT_FALSE(netlink->route_to(address(to), 0x1235));
  }
  EXPECT_TRUE(netlink->route_to(address("198.51.100.77"), 0, address("10.1.2.3")));
  EXPECT_EQ(netlink->route_to(address("198.51.100.77"), 0, address("::1")).error(), EINVAL);
}

TEST_F(NetlinkTest, RulesOfWgQuickComeBackAsTheyWereMade) {
  for (const Family family : {Family::v4, Family::v6}) {
    const Rule not_marked{.family = family,
                          .invert = true,
                          .fwmark = 51820,
                          .table = 51820,
                          .suppress_prefix_length = {},
                          .priority = 32000};
    const Rule suppress{.family = family,
                        .invert = false,
                        .fwmark = {},
                        .table = 254,
                        .suppress_prefix_length = 0,
                        .priority = 31999};
    ASSERT_EQ(netlink->add_rule(not_marked), 0);
    ASSERT_EQ(netlink->add_rule(suppress), 0);
    EXPECT_EQ(netlink->add_rule(suppress), EEXIST);
    const auto list = netlink->rules(family);
    ASSERT_TRUE(list);
    const auto same = [](const Rule& a, const Rule& b) {
      return a.family == b.family && a.invert == b.invert && a.fwmark == b.fwmark && a.table == b.table &&
             a.suppress_prefix_length == b.suppress_prefix_length && a.priority == b.priority;
    };
    EXPECT_TRUE(std::ranges::any_of(*list, [&](const Rule& r) { return same(r, not_marked); }));
    EXPECT_TRUE(std::ranges::any_of(*list, [&](const Rule& r) { return same(r, suppress); }));
    EXPECT_EQ(netlink->remove_rule(not_marked), 0);
    EXPECT_EQ(netlink->remove_rule(suppress), 0);
    EXPECT_EQ(netlink->remove_rule(suppress), ENOENT);
  }
}

TEST_F(NetlinkTest, ADumpOfThousandsOfRoutesIsComplete) {
  constexpr int kRoutes = 5'000;
  for (int i = 0; i < kRoutes; ++i) {
    const uint8_t bytes[4] = {10, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), 0};
    ASSERT_EQ(netlink->add_route({.destination = {IpAddress::v4(bytes), 24},
                                  .gateway = {},
                                  .interface_index = index,
                                  .table = 1000,
                                  .metric = {},
                                  .mtu = {},
                                  .source = {}}),
              0);
  }
  const auto list = netlink->routes(Family::v4, index, 1000);
  ASSERT_TRUE(list);
  EXPECT_EQ(list->size(), size_t{kRoutes});
  EXPECT_TRUE(netlink->routes(Family::v4, index, 254)->empty());
}

TEST_F(NetlinkTest, ReportsLinksAddressesAndRoutes) {
  auto events = LinkEvents::open();
  ASSERT_TRUE(events);
  ASSERT_EQ(netlink->set_mtu(index, 1400), 0);
  const auto link = wait_for(*events, [&](const LinkEvent& e) {
    return e.kind == LinkEvent::Kind::link_new && e.index == index && e.link.mtu == 1400;
  });
  ASSERT_TRUE(link);
  EXPECT_EQ(link->link.name, "hutest0");
  EXPECT_FALSE(link->from_other_namespace);
  ASSERT_EQ(netlink->add_address(index, prefix("10.1.2.3/24")), 0);
  EXPECT_TRUE(wait_for(*events, [&](const LinkEvent& e) {
    return e.kind == LinkEvent::Kind::address_changed && e.index == index;
  }));
  ASSERT_EQ(netlink->add_route({.destination = prefix("192.0.2.0/24"),
                                .gateway = {},
                                .interface_index = index,
                                .table = 254,
                                .metric = {},
                                .mtu = {},
                                .source = {}}),
            0);
  EXPECT_TRUE(wait_for(*events, [&](const LinkEvent& e) {
    return e.kind == LinkEvent::Kind::route_changed && e.index == index;
  }));
  tun.reset();
  const auto gone = wait_for(*events, [&](const LinkEvent& e) {
    return e.kind == LinkEvent::Kind::link_deleted && e.index == index;
  });
  EXPECT_TRUE(gone);
}

TEST_F(NetlinkTest, AMoveIsNotADeletionAndTheMovedLinkKeepsReporting) {
  auto events = LinkEvents::open();
  ASSERT_TRUE(events);
  const int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(home, 0);
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  const int away = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  auto there = Netlink::open();
  ASSERT_TRUE(there);
  ASSERT_EQ(::setns(home, CLONE_NEWNET), 0);
  const std::string move =
      "ip link set hutest0 netns /proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(away);
  ASSERT_EQ(std::system(move.c_str()), 0);

  const auto moved = wait_for(*events, [&](const LinkEvent& e) {
    return e.index == index &&
           (e.kind == LinkEvent::Kind::link_moved || e.kind == LinkEvent::Kind::link_deleted) &&
           !e.from_other_namespace;
  });
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->kind, LinkEvent::Kind::link_moved);
  ASSERT_TRUE(moved->new_nsid);
  const auto link = there->link("hutest0");
  ASSERT_TRUE(link);
  EXPECT_TRUE(moved->new_index == 0 || moved->new_index == link->index);

  ASSERT_EQ(there->set_mtu(link->index, 1333), 0);
  const auto report = wait_for(*events, [&](const LinkEvent& e) {
    return e.kind == LinkEvent::Kind::link_new && e.from_other_namespace && e.link.mtu == 1333;
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->nsid, moved->new_nsid);

  // The queue says the same: it lives in the other namespace now.
  const auto ns = tun->namespace_fd();
  ASSERT_TRUE(ns);
  ASSERT_EQ(::setns(*ns, CLONE_NEWNET), 0);
  EXPECT_TRUE(Netlink::open()->link("hutest0"));
  ::close(*ns);
  ::close(home);
  ::close(away);
}

}  // namespace
}  // namespace hats::tun
