// What Linux's GRO makes of TCP segments of one flow (tcp_gro_receive, inet_gro_complete, ipv6_gro_complete,
// tcp_gro_complete), written down without the product's own code.
#pragma once

#include "tests/unit/core/packet_builder.hpp"

namespace hats::encap::testing {

using packet::testing::Bytes;
using packet::testing::Shape;

/// The segments (of shape `s`, in order, at least one) as one packet: the first header; FIN and PSH of the
/// others; the whole length; the pseudo-header's sum as the checksum.
inline Bytes merge_like_gro(const std::vector<Bytes>& segments, const Shape& s) {
  Bytes out = segments.front();
  for (size_t i = 1; i < segments.size(); ++i) {
    out[s.transport() + 13] |= segments[i][s.transport() + 13] & 0x09;
    out.insert(out.end(), segments[i].begin() + static_cast<long>(s.head()), segments[i].end());
  }
  packet::testing::seal(out, s, true);
  return out;
}

}  // namespace hats::encap::testing
