// A TCP stream as fast as it goes from one network namespace to another.
#pragma once

#include "core/base/address.hpp"
#include "tools/hatsd-user/bench/network_space.hpp"

namespace hats::app::bench {

struct TcpResult {
  double bytes = 0;    // that the receiver read
  double seconds = 0;  // from the first of them to the last
};

/// Sends for `seconds` from `from` to `to`, which listens at `at`.
[[nodiscard]] AppResult<TcpResult> run_tcp(const NetworkSpace& from, const NetworkSpace& to,
                                           const Endpoint& at, double seconds);

}  // namespace hats::app::bench
