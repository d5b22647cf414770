// A fixture whose every test runs in a fresh network namespace with nothing but `lo` (up) in it.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tun/link.hpp"

namespace hats::tun::testing {

class PrivateNamespace : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "SKIPPED: no private network namespace (needs root): " << std::strerror(errno);
    }
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "SKIPPED: no /dev/net/tun: " << std::strerror(errno);
    }
    auto opened = Netlink::open();
    ASSERT_TRUE(opened);
    netlink = std::make_unique<Netlink>(std::move(*opened));
    const auto lo = netlink->link("lo");
    ASSERT_TRUE(lo);
    ASSERT_EQ(netlink->set_up(lo->index, true), 0);
  }

  std::unique_ptr<Netlink> netlink;
};

}  // namespace hats::tun::testing
