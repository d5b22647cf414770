// ICMP errors for inner packets that have no way out (formats.md 5.5).
#include "core/packet/icmp.hpp"

#include "core/wg/device_impl.hpp"

namespace hats::wg {

void Device::Impl::owe_icmp(BootTime now, const packet::Piece& piece) {
  const Family family = (piece.header()[0] >> 4) == 4 ? Family::v4 : Family::v6;
  const packet::IcmpMessage message = packet::icmp_unreachable(family);
  if (!packet::may_answer(piece.header(), message)) return;
  if (icmp.size() >= packet::kMaxQueuedIcmp || !icmp_limit.allow(now)) return;
  icmp.push(packet::quote(piece, message));
}

bool Device::poll_icmp(IcmpError& out) {
  if (impl_->icmp.empty()) return false;
  out = std::move(impl_->icmp.front());
  impl_->icmp.pop();
  return true;
}

}  // namespace hats::wg
