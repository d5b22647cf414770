// What the kernel's IPv6 does on a link of our making without being asked (formats.md 8.1, DESIGN.md 8): no
// address of its own, and router advertisements are taken only where the operator says so. The kernel forgets
// both when it makes the link's IPv6 anew, as it does after an MTU below 1280. In the namespace of the
// process.
#pragma once

#include <cstdint>
#include <string>

#include "tun/link.hpp"

namespace hats::app {

class LinkIpv6 {
 public:
  explicit LinkIpv6(tun::Netlink& netlink) : netlink_(netlink) {}

  /// Sets it now, and whenever restore() finds it lost. 0, also where the link has no IPv6; or errno.
  [[nodiscard]] int accept_advertisements(const std::string& link, bool accept);
  /// Looks whether IPv6 went and came back since the last look. If so, sets what was lost, takes the address
  /// away that the kernel has made, and returns true: other IPv6 addresses of the link are gone too.
  [[nodiscard]] bool restore(const std::string& link, uint32_t index);

 private:
  tun::Netlink& netlink_;
  bool accept_ = false;
  bool off_ = false;  // at the last look: there was none, or it was disabled
};

}  // namespace hats::app
