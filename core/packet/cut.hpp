// Cutting one large TUN read (TSO, USO) into the packets it stands for, without copying payload: each
// segment's header is written into a HeadArena and copied over the tail of the segment before it at the last
// moment (packet::Piece).
#pragma once

#include "core/packet/piece.hpp"

namespace hats::packet {

enum class CutResult : uint8_t { ok, malformed, arena_full };

/// Appends to `out` the packets that `packet` (an IP packet as read from TUN, virtio header removed) stands
/// for. `room` is how many bytes behind it may be overwritten. Finishes partial checksums. With a header
/// larger than HeadArena::kMaxHead, an offload that does not fit the bytes, or a length that is not the
/// read's: malformed, nothing appended. arena_full: nothing appended; clear the arena (send what is planned)
/// and call again.
CutResult cut(ByteSpan packet, uint32_t room, const Offload& offload, HeadArena& heads,
              std::vector<Piece>& out);

}  // namespace hats::packet
