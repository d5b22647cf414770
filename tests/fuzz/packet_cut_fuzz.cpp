// Cutting whatever a TUN queue might give: bounds, lengths, checksums and payload of what comes out; nothing
// changed when it is refused; and what was cut, merged and cut again stays the same.
#include "core/packet/cut.hpp"

#include <vector>

#include "core/packet/merge.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;

constexpr size_t kRoom = 16;

Offload offload(fuzz::Input& input) {
  Offload out;
  out.kind = static_cast<Offload::Kind>(input.below(4));
  const uint8_t bits = input.byte();
  out.needs_checksum = (bits & 1) != 0;
  out.ecn = (bits & 2) != 0;
  out.segment_size = input.u16();
  out.checksum_start = input.byte();
  out.checksum_offset = input.byte();
  return out;
}

// Most inputs would die at the version or the length; these bits put them right.
void mend(Bytes& packet, Offload& offload, uint8_t choice) {
  if (packet.size() < 60) return;
  const bool v4 = offload.kind == Offload::Kind::tcp4 || (choice & 1) != 0;
  const bool tcp = offload.kind != Offload::Kind::udp;
  packet[0] = v4 ? 0x45 : 0x60;
  if (v4) {
    packet[6] &= 0x40;
    packet[7] = 0;
    packet[9] = tcp ? 6 : 17;
    testing::put16(packet, 2, static_cast<unsigned>(packet.size()));
  } else {
    packet[6] = tcp ? 6 : 17;
    testing::put16(packet, 4, static_cast<unsigned>(packet.size() - 40));
  }
  offload.needs_checksum = true;
  offload.checksum_start = v4 ? 20 : 40;
  offload.checksum_offset = tcp ? 16 : 6;
  if (offload.segment_size == 0) offload.segment_size = 1;
}

std::vector<Bytes> use(const std::vector<Piece>& pieces) {
  std::vector<Bytes> out;
  for (const Piece& piece : pieces) {
    if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
    out.emplace_back(piece.data, piece.data + piece.size);
  }
  return out;
}

void check_segments(const std::vector<Bytes>& segments, const Bytes& before, const Offload& offload) {
  const bool tcp = offload.kind != Offload::Kind::udp;
  const size_t transport = offload.checksum_start;
  const size_t head = transport + (tcp ? before[transport + 12] / 16 * 4u : 8u);
  Bytes payload;
  for (const Bytes& segment : segments) {
    testing::Shape s;
    s.v4 = before[0] >> 4 == 4;
    s.tcp = tcp;
    (s.v4 ? s.ip_options : s.extension) = transport - (s.v4 ? 20 : 40);
    HATS_FUZZ_CHECK(segment.size() >= head);
    HATS_FUZZ_CHECK(testing::get16(segment, s.v4 ? 2 : 4) == segment.size() - (s.v4 ? 0 : 40));
    if (s.v4) HATS_FUZZ_CHECK(testing::naive_sum(segment.data(), transport) == 0xffff);
    const unsigned sum =
        testing::naive_sum(&segment[transport], segment.size() - transport, testing::pseudo_sum(segment, s));
    HATS_FUZZ_CHECK(sum == 0xffff);
    payload.insert(payload.end(), segment.begin() + static_cast<long>(head), segment.end());
  }
  HATS_FUZZ_CHECK(payload == Bytes(before.begin() + static_cast<long>(head), before.end()));
}

void check_identity(const std::vector<Bytes>& segments) {
  std::vector<Bytes> copy = segments;
  std::vector<ByteSpan> spans(copy.begin(), copy.end());
  MergedWrites merged;
  merge(spans, {}, merged);
  std::vector<Bytes> again;
  HeadArena heads(kMaxMergedPackets);
  for (const TunWritePlan& plan : merged.writes) {
    Bytes bytes;
    for (uint32_t i = 0; i < plan.count; ++i) {
      const Fragment& f = merged.fragments[plan.first + i];
      bytes.insert(bytes.end(), f.data, f.data + f.size);
    }
    std::vector<Piece> pieces;
    heads.clear();
    if (plan.count == 1) {
      again.push_back(bytes);
      continue;
    }
    HATS_FUZZ_CHECK(cut(bytes, 0, plan.offload, heads, pieces) == CutResult::ok);
    for (Bytes& b : use(pieces)) again.push_back(std::move(b));
  }
  HATS_FUZZ_CHECK(again == segments);
}

}  // namespace
}  // namespace hats::packet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  using namespace hats::packet;
  fuzz::Input input(data, size);
  Offload what = offload(input);
  const uint8_t choice = input.byte();
  const ByteView rest = input.rest();
  Bytes packet(rest.begin(), rest.end());
  if ((choice & 2) != 0) mend(packet, what, choice);

  const Bytes before = packet;
  packet.resize(packet.size() + kRoom, 0xaa);
  HeadArena heads(256);
  std::vector<Piece> pieces;
  const CutResult result = cut(ByteSpan(packet).first(before.size()), kRoom, what, heads, pieces);
  if (result != CutResult::ok) {
    HATS_FUZZ_CHECK(result == CutResult::malformed);  // a fresh arena is never too full
    HATS_FUZZ_CHECK(pieces.empty() && heads.left() == heads.capacity());
    HATS_FUZZ_CHECK(std::equal(before.begin(), before.end(), packet.begin()));
    return 0;
  }
  for (const Piece& piece : pieces) {
    HATS_FUZZ_CHECK(piece.data >= packet.data());
    HATS_FUZZ_CHECK(piece.data + piece.size + piece.room <= packet.data() + packet.size());
    HATS_FUZZ_CHECK(piece.head_size <= piece.size);
  }
  const auto segments = use(pieces);
  if (what.kind == Offload::Kind::none) {
    HATS_FUZZ_CHECK(segments.size() == 1);
    return 0;
  }
  check_segments(segments, before, what);
  check_identity(segments);
  return 0;
}
