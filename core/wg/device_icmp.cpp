// ICMP errors for inner packets that have no way out (formats.md 5.5).
#include "core/packet/icmp.hpp"

#include <algorithm>
#include <cstring>

#include "core/wg/device_impl.hpp"

namespace hats::wg {

void Device::Impl::owe_icmp(BootTime now, const packet::Piece& piece) {
  const bool v4 = (piece.header()[0] >> 4) == 4;
  // Whoever writes the error quotes no more than its family's limit less the IP and ICMP headers.
  const size_t quote = v4 ? packet::kMaxIcmpError - 20 - 8 : packet::kMaxIcmpV6Error - 40 - 8;
  IcmpError error;
  error.packet.assign(piece.data, piece.data + std::min<size_t>(piece.size, quote));
  if (piece.head_size != 0) {
    std::memcpy(error.packet.data(), piece.head, std::min<size_t>(piece.head_size, error.packet.size()));
  }
  const packet::IcmpMessage message = packet::icmp_unreachable(v4 ? Family::v4 : Family::v6);
  if (!packet::may_answer(error.packet, message)) return;
  if (icmp.size() >= kMaxQueuedIcmp || !icmp_limit.allow(now)) return;
  error.type = message.type;
  error.code = message.code;
  icmp.push(std::move(error));
}

bool Device::poll_icmp(IcmpError& out) {
  if (impl_->icmp.empty()) return false;
  out = std::move(impl_->icmp.front());
  impl_->icmp.pop();
  return true;
}

}  // namespace hats::wg
