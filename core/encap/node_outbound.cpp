// Inner packets on their way out.
#include "core/encap/node_impl.hpp"

namespace hats::encap {

void Node::plan_outbound(Now now, TunnelId id, std::span<const packet::Piece> pieces, OutboundBatch&) {
  if (Tunnel* tunnel = impl_->find(id)) Impl::drop(*tunnel, DropReason::tx_down, now, pieces.size());
}
void Node::work(OutboundBatch&) noexcept {}
void Node::commit_outbound(Now, OutboundBatch&) noexcept {}
void Node::send_refused(Now, TunnelId, ByteView, uint32_t) {}

}  // namespace hats::encap
