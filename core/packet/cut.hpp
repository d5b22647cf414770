// Cutting one large TUN read (TSO, USO) into the packets it stands for, without copying payload: each
// segment's header is written into a HeadArena and copied over the tail of the segment before it at the last
// moment (packet::Piece).
#pragma once

#include "core/packet/piece.hpp"

namespace hats::packet {

enum class CutResult : uint8_t { ok, malformed, arena_full };

/// Appends to `out` the packets that `packet` (an IP packet as read from TUN, virtio header removed) stands
/// for. `room` is how many bytes behind it may be overwritten; only the last piece gets it (and what is
/// behind the packet's own length), since behind every other piece lies the payload of the next.
///
/// The segments are those that the kernel would make (RFC 9293 3.7.1; Linux tcp_gso_segment,
/// __udp_gso_segment): IPv4 identifications count up, FIN and PSH only in the last, CWR only in the first,
/// full checksums. A partial checksum of a single packet is finished.
///
/// malformed, nothing appended or changed: not an IP packet; a length that is not the read's; a header larger
/// than HeadArena::kMaxHead; an offload that does not fit the bytes, has no partial checksum or a segment
/// size of 0; more segments than the whole arena has heads for. arena_full, nothing appended or changed:
/// clear the arena (send what is planned) and call again.
[[nodiscard]] CutResult cut(ByteSpan packet, uint32_t room, const Offload& offload, HeadArena& heads,
                            std::vector<Piece>& out);

}  // namespace hats::packet
