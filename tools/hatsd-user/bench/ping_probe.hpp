// Round trips of ICMP echo requests: the far end is its kernel, so that only the path is measured.
#pragma once

#include <vector>

#include "core/base/address.hpp"
#include "tools/hatsd-user/bench/network_space.hpp"

namespace hats::app::bench {

struct RoundTrips {
  std::vector<double> microseconds;  // of those that came back
  unsigned sent = 0;
};

/// Sends `count` echo requests with 56 bytes of payload from `from`, one each `interval_s` seconds, and waits
/// a second for the last. Arrival is timed by the kernel: waiting for the CPU at this end is not the
/// tunnel's. Needs CAP_NET_RAW.
[[nodiscard]] AppResult<RoundTrips> measure_round_trips(const NetworkSpace& from, const IpAddress& to,
                                                        unsigned count, double interval_s);

}  // namespace hats::app::bench
