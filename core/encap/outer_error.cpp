// ICMP errors about our outer packets.
#include "core/encap/node_impl.hpp"

namespace hats::encap {

std::optional<OuterError> parse_outer_error(Family, ByteView, const IpAddress&) {
  return std::nullopt;
}
void Node::outer_error(Now, const OuterError&) {}

}  // namespace hats::encap
