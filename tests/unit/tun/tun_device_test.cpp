#include "tun/tun_device.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <sys/wait.h>

#include "tests/unit/tun/private_namespace.hpp"

namespace hats::tun {
namespace {

using TunDeviceTest = testing::PrivateNamespace;

int plain_tun(const char* name, short flags) {
  const int fd = ::open("/dev/net/tun", O_RDWR);
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = flags;
  EXPECT_EQ(::ioctl(fd, TUNSETIFF, &request), 0) << std::strerror(errno);
  return fd;
}

TEST_F(TunDeviceTest, HasTheFlagsOfAWireGuardInterface) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_EQ(tun->name(), "hutest0");
  const auto link = netlink->link("hutest0");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->kind, "tun");
  EXPECT_TRUE(link->flags & IFF_POINTOPOINT);
  EXPECT_TRUE(link->flags & IFF_NOARP);
  EXPECT_FALSE(link->flags & IFF_MULTICAST);
  EXPECT_FALSE(link->flags & IFF_UP);
}

TEST_F(TunDeviceTest, GetsNoLinkLocalAddressWhenItComesUp) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(tun) << tun.error().message;
  const auto link = netlink->link("hutest0");
  ASSERT_TRUE(link);
  ASSERT_EQ(netlink->set_up(link->index, true), 0);
  const auto addresses = netlink->addresses(link->index);
  ASSERT_TRUE(addresses);
  EXPECT_TRUE(addresses->empty()) << addresses->front().text();
}

TEST_F(TunDeviceTest, OffloadOffMeansNoVirtioHeaderAtAll) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::off);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_FALSE(tun->features().vnet_header);
  EXPECT_FALSE(tun->features().tso);
  EXPECT_FALSE(tun->features().uso);
  EXPECT_EQ(tun->features().header_size, 0);
}

TEST_F(TunDeviceTest, OffloadAutoTurnsOnWhatTheKernelTakes) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(tun) << tun.error().message;
  EXPECT_TRUE(tun->features().vnet_header);
  EXPECT_EQ(tun->features().header_size, 10);
  EXPECT_TRUE(tun->features().tso);
  int size = 0;
  ASSERT_EQ(::ioctl(tun->fd(), TUNGETVNETHDRSZ, &size), 0);
  EXPECT_EQ(size, 10);
  EXPECT_TRUE(::fcntl(tun->fd(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(tun->fd(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(TunDeviceTest, RefusesANameThatATunDeviceHas) {
  auto first = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(first) << first.error().message;
  auto second = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().error == EEXIST || second.error().error == EBUSY);
  EXPECT_NE(second.error().message.find("hutest0"), std::string::npos);
  EXPECT_NE(second.error().message.find("exists"), std::string::npos);
}

TEST_F(TunDeviceTest, RefusesANameThatAPersistentTunWithoutAnOwnerHas) {
  const int fd = plain_tun("hutest0", IFF_TUN | IFF_NO_PI);
  ASSERT_EQ(::ioctl(fd, TUNSETPERSIST, 1), 0);
  ::close(fd);
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_FALSE(tun);
  const auto link = netlink->link("hutest0");
  ASSERT_TRUE(link);
  EXPECT_EQ(netlink->remove_link(link->index), 0);
}

TEST_F(TunDeviceTest, RefusesTheNameOfAnotherKindOfInterface) {
  auto tun = TunDevice::create("lo", OffloadChoice::automatic);
  ASSERT_FALSE(tun);
  EXPECT_EQ(tun.error().error, EEXIST);
}

TEST_F(TunDeviceTest, RefusesNamesThatCannotBe) {
  for (const char* name : {"", "sixteencharacter", "tun%d"}) {
    auto tun = TunDevice::create(name, OffloadChoice::automatic);
    ASSERT_FALSE(tun) << name;
    EXPECT_EQ(tun.error().error, EINVAL);
  }
}

TEST_F(TunDeviceTest, WithoutTheCapabilityNamesTheRemedy) {
  // Root in a user namespace of its own has no CAP_NET_ADMIN over the network namespace it was born in.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(2);
    auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
    const bool right = !tun && tun.error().error == EPERM &&
                       tun.error().message.find("CAP_NET_ADMIN") != std::string::npos &&
                       tun.error().message.find("--cap-add NET_ADMIN") != std::string::npos;
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "SKIPPED: user namespaces are not allowed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(TunDeviceTest, TheInterfaceVanishesWithItsDescriptor) {
  {
    auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
    ASSERT_TRUE(tun);
    TunDevice moved = std::move(*tun);
    EXPECT_TRUE(netlink->link("hutest0"));
  }
  const auto link = netlink->link("hutest0");
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error(), ENODEV);
}

TEST_F(TunDeviceTest, AdoptsADescriptorWithItsFlagsAndName) {
  auto with =
      TunDevice::adopt(plain_tun("huvnet", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR), OffloadChoice::automatic);
  ASSERT_TRUE(with) << with.error().message;
  EXPECT_EQ(with->name(), "huvnet");
  EXPECT_TRUE(with->features().vnet_header);
  EXPECT_TRUE(with->features().tso);
  EXPECT_TRUE(::fcntl(with->fd(), F_GETFL) & O_NONBLOCK);

  auto without = TunDevice::adopt(plain_tun("huplain", IFF_TUN | IFF_NO_PI), OffloadChoice::automatic);
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_FALSE(without->features().vnet_header);
  EXPECT_EQ(without->features().header_size, 0);

  // The maker chose a virtio header; "off" can then only ask that nothing be offloaded.
  auto off = TunDevice::adopt(plain_tun("huoff", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR), OffloadChoice::off);
  ASSERT_TRUE(off) << off.error().message;
  EXPECT_TRUE(off->features().vnet_header);
  EXPECT_FALSE(off->features().tso);
}

TEST_F(TunDeviceTest, DoesNotAdoptWhatIsNoTun) {
  EXPECT_FALSE(TunDevice::adopt(plain_tun("hutap", IFF_TAP | IFF_NO_PI), OffloadChoice::automatic));
  EXPECT_FALSE(TunDevice::adopt(::open("/dev/null", O_RDWR), OffloadChoice::automatic));
}

TEST_F(TunDeviceTest, FollowsARenameAndTellsItsNamespace) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(tun);
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "hutest0");
  std::strcpy(request.ifr_newname, "hutest1");
  ASSERT_EQ(::ioctl(control, SIOCSIFNAME, &request), 0);
  ::close(control);
  EXPECT_EQ(tun->current_name().value_or("?"), "hutest1");
  EXPECT_EQ(tun->name(), "hutest0");
  const auto ns = tun->namespace_fd();
  ASSERT_TRUE(ns);
  EXPECT_EQ(::setns(*ns, CLONE_NEWNET), 0);
  EXPECT_TRUE(netlink->link("hutest1"));
  ::close(*ns);
}

TEST_F(TunDeviceTest, CarrierFollows) {
  auto tun = TunDevice::create("hutest0", OffloadChoice::automatic);
  ASSERT_TRUE(tun);
  const auto index = netlink->link("hutest0")->index;
  ASSERT_EQ(netlink->set_up(index, true), 0);
  EXPECT_TRUE(netlink->link(index)->flags & IFF_RUNNING);
  ASSERT_EQ(tun->set_carrier(false), 0);
  EXPECT_FALSE(netlink->link(index)->flags & IFF_RUNNING);
  ASSERT_EQ(tun->set_carrier(true), 0);
}

}  // namespace
}  // namespace hats::tun
