#include "tools/hatsd-user/bench/network_space.hpp"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <thread>

#include "tun/link.hpp"

namespace hats::app::bench {

namespace {

constexpr const char* kOfThisThread = "/proc/thread-self/ns/net";

int open_space(const char* path) {
  return ::open(path, O_RDONLY | O_CLOEXEC);
}

}  // namespace

AppResult<NetworkSpace> NetworkSpace::make() {
  AppResult<NetworkSpace> out = fail("");
  // A thread of its own: it leaves its namespace and need not find the way back.
  std::thread([&out] {
    if (unshare(CLONE_NEWNET) != 0) {
      out = fail(errno_text("no network namespace can be made", errno));
      return;
    }
    if (auto netlink = tun::Netlink::open(); netlink) (void)netlink->set_up(1, true);  // loopback is always 1
    out = open(kOfThisThread);
  }).join();
  return out;
}

AppResult<NetworkSpace> NetworkSpace::open(const std::string& path) {
  const int fd = open_space(path.c_str());
  if (fd < 0) return fail(errno_text(path, errno));
  return NetworkSpace(fd);
}

StayInSpace::StayInSpace(const NetworkSpace& space) : back_(open_space(kOfThisThread)) {
  entered_ = back_ && setns(space.fd(), CLONE_NEWNET) == 0;
}

StayInSpace::~StayInSpace() {
  if (entered_) (void)setns(back_.get(), CLONE_NEWNET);
}

}  // namespace hats::app::bench
