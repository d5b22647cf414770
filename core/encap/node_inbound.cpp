// Outer packets on their way in (RFC 2784 2, RFC 2890 2, RFC 4213 3.6; formats.md 5.1 to 5.5).
#include "core/encap/node_impl.hpp"

namespace hats::encap {

void Node::plan_inbound(Now, std::span<const Received> received, InboundBatch&) noexcept {
  for (size_t i = 0; i < received.size(); ++i) impl_->stray(StrayReason::no_tunnel);
}

void Node::work(InboundBatch&) noexcept {}

void Node::commit_inbound(Now, InboundBatch&, std::vector<InnerPacket>&) noexcept {}

}  // namespace hats::encap
