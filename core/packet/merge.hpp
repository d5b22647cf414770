// Merging inner packets of one flow into large TUN writes (TSO/USO), so that cutting them again gives the
// same bytes.
#pragma once

#include <span>

#include "core/packet/piece.hpp"

namespace hats::packet {

/// One write to TUN: an offload description and the fragments [first, first + count) of
/// MergedWrites::fragments. Fragments point into the packets given; the first packet's header was changed in
/// place if count of packets > 1.
struct TunWritePlan {
  Offload offload;
  uint32_t first = 0, count = 0;
  uint32_t bytes = 0;
};

struct MergedWrites {
  std::vector<TunWritePlan> writes;
  std::vector<Fragment> fragments;
  void clear() {
    writes.clear();
    fragments.clear();
  }
};

struct MergeLimits {
  bool tcp = true;  // the device takes TSO writes
  bool udp = true;  // the device takes USO writes
};

/// Plans the writes for `packets` (whole IP packets in arrival order). Packets of a flow keep their order;
/// flows may overtake each other only where both are TCP or UDP data. Never merges across differing TOS/ECN,
/// TTL, flags other than PSH (and FIN, last), options, or sizes that would not be cut into the same bytes
/// again.
void merge(std::span<const ByteSpan> packets, const MergeLimits& limits, MergedWrites& out);

}  // namespace hats::packet
