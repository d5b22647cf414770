#include "tools/hatsd-user/daemon/tun_writer.hpp"

#include <cerrno>
#include <cstring>

#include "core/packet/cut.hpp"
#include "tun/vnet_header.hpp"

namespace hats::app {

void TunWriter::write(std::span<const ByteSpan> packets) {
  if (packets.empty()) return;
  if (features_.header_size == 0) {
    for (const ByteSpan packet : packets) {
      const packet::Fragment whole{packet.data(), static_cast<uint32_t>(packet.size())};
      write_one({}, {&whole, 1});
    }
    return;
  }
  space_.merged.clear();
  packet::merge(packets, limits_, space_.merged);
  for (const packet::TunWritePlan& plan : space_.merged.writes) write_plan(plan);
}

void TunWriter::write_plan(const packet::TunWritePlan& plan) {
  const auto fragments = std::span(space_.merged.fragments).subspan(plan.first, plan.count);
  if (write_one(plan.offload, fragments) != EINVAL || plan.count == 1) return;
  turn_off(plan.offload.kind);
  space_.unmerged.clear();
  packet::unmerge(plan, space_.merged, space_.unmerged);
  for (const packet::Fragment& whole : space_.unmerged) write_one({}, {&whole, 1});
}

void TunWriter::turn_off(packet::Offload::Kind kind) {
  (kind == packet::Offload::Kind::udp ? limits_.udp : limits_.tcp) = false;
}

bool TunWriter::takes(const packet::Offload& offload) const {
  if (features_.header_size == 0 || (offload.ecn && !features_.tso_ecn)) return false;
  return offload.kind == packet::Offload::Kind::udp ? limits_.udp : limits_.tcp;
}

void TunWriter::write_merged(ByteSpan packet, const packet::Offload& offload) {
  if (takes(offload)) {
    const packet::Fragment whole{packet.data(), static_cast<uint32_t>(packet.size())};
    // Refused, it turns nothing off: here it may be a stranger's packet that is odd, not the kernel.
    if (write_one(offload, {&whole, 1}) != EINVAL) return;
  }
  // In the same arena as what is sent: the two never stand in it at once.
  space_.pieces.clear();
  space_.heads.clear();
  if (packet::cut(packet, 0, offload, space_.heads, space_.pieces) == packet::CutResult::ok) {
    for (const packet::Piece& piece : space_.pieces) {
      if (piece.head_size != 0) std::memcpy(piece.data, piece.head, piece.head_size);
      const packet::Fragment whole{piece.data, piece.size};
      write_one({}, {&whole, 1});
    }
  }
  space_.pieces.clear();
  space_.heads.clear();
}

int TunWriter::write_one(const packet::Offload& offload, std::span<const packet::Fragment> fragments) {
  space_.parts.clear();
  space_.held.clear();
  if (features_.header_size != 0) {
    space_.vnet = tun::encode_vnet(offload);
    space_.parts.push_back({space_.vnet.data(), features_.header_size});
  }
  const std::span<const Lender> lenders = space_.lenders;
  uint32_t last_slab = UINT32_MAX;
  size_t at = 0;
  for (const packet::Fragment& fragment : fragments) {
    space_.parts.push_back({const_cast<uint8_t*>(fragment.data), fragment.size});
    // The fragments of one write come in the order of the receives, nearly always: the search goes on from
    // where it stopped.
    for (size_t tried = 0; tried < lenders.size(); ++tried, at = (at + 1) % lenders.size()) {
      const Lender& one = lenders[at];
      if (fragment.data < one.data || fragment.data >= one.data + one.size) continue;
      if (*one.slab && one.slab->index() != last_slab) {
        last_slab = one.slab->index();
        space_.held.push_back(*one.slab);
      }
      break;
    }
  }
  const int error = loop_.write(tag_, {.parts = space_.parts, .slabs = space_.held});
  space_.held.clear();  // else they would be lent until the next write
  return error;
}

}  // namespace hats::app
