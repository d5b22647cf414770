// open_udp: what the kernel's WireGuard sockets are like (formats.md 6.6).
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

class UdpSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_namespace()) GTEST_SKIP() << "no network namespace: this needs CAP_SYS_ADMIN and ip(8)";
  }
};

TEST_F(UdpSocketTest, BothFamiliesShareOnePort) {
  for (int i = 0; i < 50; ++i) {
    const auto sockets = open_udp(0, 0);
    ASSERT_TRUE(sockets);
    EXPECT_NE(sockets->port, 0);
    for (const int fd : {sockets->v4.get(), sockets->v6.get()}) {
      sockaddr_in6 name{};
      socklen_t size = sizeof name;
      ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
      EXPECT_EQ(ntohs(name.sin6_port), sockets->port);
    }
  }
}

TEST_F(UdpSocketTest, AGivenPortIsTakenOrRefused) {
  const auto first = open_udp(51'820, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->port, 51'820);
  const auto second = open_udp(51'820, 0);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), EADDRINUSE);
}

TEST_F(UdpSocketTest, ARandomPortTakenInOneFamilyIsTriedAgain) {
  // Every second port of the range is taken in IPv6: IPv4 alone would choose one of them half of the time.
  ASSERT_EQ(std::system("sysctl -qw net.ipv4.ip_local_port_range='40000 40019'"), 0);
  std::vector<PlainSocket> taken;
  for (uint16_t port = 40'000; port < 40'020; port += 2) taken.emplace_back(Family::v6, port);
  for (int i = 0; i < 20; ++i) {
    const auto sockets = open_udp(0, 0);
    ASSERT_TRUE(sockets) << std::strerror(sockets.error());
  }
  EXPECT_EQ(std::system("sysctl -qw net.ipv4.ip_local_port_range='32768 60999'"), 0);
}

TEST_F(UdpSocketTest, OptionsAreThoseOfTheKernelsSockets) {
  const auto sockets = open_udp(0, 0x1234);
  ASSERT_TRUE(sockets);
  EXPECT_EQ(option(sockets->v4.get(), IPPROTO_IP, IP_MTU_DISCOVER), 0);      // IP_PMTUDISC_DONT: DF=0
  EXPECT_EQ(option(sockets->v6.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER), 0);  // IPV6_PMTUDISC_DONT
  EXPECT_EQ(option(sockets->v6.get(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_EQ(option(sockets->v4.get(), SOL_SOCKET, SO_MARK), 0x1234);
  EXPECT_EQ(option(sockets->v6.get(), SOL_SOCKET, SO_MARK), 0x1234);
  EXPECT_EQ(set_fwmark(*sockets, 0x77), 0);
  EXPECT_EQ(option(sockets->v6.get(), SOL_SOCKET, SO_MARK), 0x77);
  EXPECT_EQ(set_fwmark(*sockets, 0), 0);
  EXPECT_EQ(option(sockets->v4.get(), SOL_SOCKET, SO_MARK), 0);
}

}  // namespace
}  // namespace hats::transport::test
