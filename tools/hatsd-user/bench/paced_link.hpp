// UDP packets at a steady rate from one network namespace to another, counted at both ends. No segmentation
// offload on either side: it stands for programs that send packet by packet.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/address.hpp"
#include "tools/hatsd-user/bench/network_space.hpp"
#include "tools/hatsd-user/bench/rate_search.hpp"

namespace hats::app::bench {

/// The `n`th address after `first`.
[[nodiscard]] IpAddress address_after(IpAddress first, unsigned n);

class PacedLink {
 public:
  /// Sockets from `from` to `to` at `first`. With more than one flow, flow n goes to the address first + n:
  /// the receiving namespace must have those addresses (a local route will do).
  [[nodiscard]] static AppResult<PacedLink> open(const NetworkSpace& from, const NetworkSpace& to,
                                                 const Endpoint& first, unsigned flows);

  /// Sends packets with `size` bytes of payload (at least 8, at most kMostPayload) for `seconds` at `rate`,
  /// round robin over the flows; a sender that has fallen behind catches up with a few milliseconds' worth of
  /// packets, not with all it owes.
  [[nodiscard]] RateTrial run(uint32_t size, double rate, double seconds);

  static constexpr uint32_t kMostPayload = 8'192;

 private:
  struct Counted {
    uint64_t packets = 0;
    double seconds = 0;
  };
  [[nodiscard]] Counted send(uint32_t size, double rate, double seconds, uint64_t mark) const;
  [[nodiscard]] uint64_t receive(uint64_t mark) const;

  transport::UniqueFd sender_, receiver_;
  std::vector<Endpoint> flows_;
  uint64_t run_ = 0;  // marks the packets of one run, so that stragglers of the one before do not count
};

/// Tries rates of packets of `size` bytes, each for `seconds`; returns the best.
[[nodiscard]] RateTrial search_rate(PacedLink& link, uint32_t size, double seconds,
                                    const RateSearchOptions& options);

}  // namespace hats::app::bench
