// How fast this CPU encrypts: each backend of the batch AEAD, on one core.
#pragma once

#include <string>
#include <vector>

namespace hats::app::bench {

struct AeadSpeed {
  std::string name;
  double small_ns = 0, large_ns = 0;  // to seal a packet of kSmallPacket, kLargePacket bytes
};

inline constexpr unsigned kSmallPacket = 96, kLargePacket = 1'424;

/// Measures every backend that this build and CPU have, each for about `seconds`.
[[nodiscard]] std::vector<AeadSpeed> measure_aeads(double seconds);

}  // namespace hats::app::bench
