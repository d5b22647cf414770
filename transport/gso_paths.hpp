// Which paths refuse UDP_SEGMENT, and from which datagram size on. A segment larger than the route's MTU
// fails with EMSGSIZE where the plain datagram would be fragmented (DESIGN.md 9), so one narrow path must
// lose GSO without slowing the others. Bounded; entries expire, because routes change.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/address.hpp"
#include "core/base/time.hpp"

namespace hats::transport {

class GsoPaths {
 public:
  /// Paths remembered at once; the one that expires first makes room.
  static constexpr size_t kMaxPaths = 64;
  /// As long as the kernel believes in a learned path MTU (net.ipv4.route.mtu_expires).
  static constexpr Duration kLifetime = seconds(600);

  /// May datagrams of `segment_size` bytes to `to` go out in one UDP_SEGMENT send?
  [[nodiscard]] bool allows(const IpAddress& to, uint32_t segment_size, BootTime now) const noexcept {
    return used_ == 0 || allows_listed(to, segment_size, now);
  }
  /// UDP_SEGMENT with this size failed and a plain datagram did not. Returns true if this is news.
  bool learn(const IpAddress& to, uint32_t segment_size, BootTime now) noexcept;

 private:
  struct Path {
    IpAddress to;
    uint32_t refused_size = 0;  // this and all larger
    BootTime expires;
  };
  [[nodiscard]] bool allows_listed(const IpAddress& to, uint32_t segment_size, BootTime now) const noexcept;

  std::array<Path, kMaxPaths> paths_{};
  size_t used_ = 0;
};

}  // namespace hats::transport
