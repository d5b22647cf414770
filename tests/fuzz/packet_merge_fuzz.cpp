// Merging any mixture of packets and cutting the writes again: the same packets, in order flow by flow, none
// mended, and nothing overtaking what is neither TCP nor UDP.
#include "core/packet/merge.hpp"

#include <map>
#include <vector>

#include "core/packet/cut.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

constexpr size_t kFlows = 6;
constexpr size_t kMostPackets = 300;
constexpr uint32_t kMostPayload = 400;

Shape first_shape(fuzz::Input& input, uint8_t number) {
  Shape s;
  const uint8_t bits = input.byte();
  s.v4 = (bits & 1) != 0;
  s.tcp = (bits & 2) != 0;
  s.dont_fragment = (bits & 4) != 0;
  if (s.tcp) s.options = (bits >> 3 & 3) * 4u;
  if (!s.v4 && (bits & 0x20) != 0) s.extension = 8;
  if (s.v4 && (bits & 0x40) != 0) s.ip_options = 4;
  s.host = number;
  s.sequence = input.u32();
  s.id = input.u16();
  return s;
}

// The next packet of a flow, most often one that continues it.
Bytes next_packet(fuzz::Input& input, Shape& flow, size_t segment) {
  Shape s = flow;
  size_t size = segment;
  const uint8_t oddity = input.byte();
  switch (oddity % 32) {
    case 0:
      s.tos = input.byte();
      break;
    case 1:
      --s.ttl;
      break;
    case 2:
      s.flags = input.byte();
      break;
    case 3:
      size = input.below(kMostPayload);
      break;
    case 4:
      s.sequence += input.byte();
      break;
    case 5:
      s.acknowledgement += input.byte();
      break;
    case 6:
      s.window = input.u16();
      break;
    case 7:
      s.option_byte = input.byte();
      break;
    case 8:
      s.id = input.u16();
      break;
    default:
      break;
  }
  Bytes packet = build(s, Bytes(size, input.byte()));
  if (oddity % 32 ==
      9) {  // broken in one place; addresses, protocol and length stay: the flow is told by them
    packet[s.transport() + 4 + input.below(static_cast<uint32_t>(packet.size() - s.transport() - 4))] ^=
        input.byte();
  }
  flow.sequence += static_cast<uint32_t>(size);
  if ((oddity & 0x20) != 0 || !flow.dont_fragment) ++flow.id;
  return packet;
}

bool is_barrier(const Bytes& p) {
  if (p.size() < 28) return true;
  const bool v4 = p[0] >> 4 == 4;
  const uint8_t protocol = v4 ? p[9] : p[6];
  return protocol != 6 && protocol != 17;
}

/// Equal but for the identification where DF says that it means nothing (RFC 6864 4.1).
Bytes normal(Bytes p) {
  if (p.size() >= 20 && p[0] >> 4 == 4 && (p[6] & 0x40) != 0) {
    testing::put16(p, 4, 0);
    testing::put16(p, 10, 0);
  }
  return p;
}

std::map<int, std::vector<Bytes>> by_flow(const std::vector<Bytes>& packets) {
  std::map<int, std::vector<Bytes>> out;
  for (const Bytes& p : packets) {
    const int key = is_barrier(p) ? -1 : p[0] >> 4 == 4 ? p[15] : p[23];
    out[key].push_back(normal(p));
  }
  return out;
}

std::vector<size_t> barriers(const std::vector<Bytes>& packets) {
  std::vector<size_t> out;
  for (size_t i = 0; i < packets.size(); ++i) {
    if (is_barrier(packets[i])) out.push_back(i);
  }
  return out;
}

std::vector<Bytes> through(std::vector<Bytes> packets, const MergeLimits& limits) {
  std::vector<ByteSpan> spans(packets.begin(), packets.end());
  static MergedWrites merged;
  merged.clear();
  merge(spans, limits, merged);
  std::vector<Bytes> out;
  HeadArena heads(kMaxMergedPackets);
  for (const TunWritePlan& plan : merged.writes) {
    Bytes bytes;
    for (uint32_t i = 0; i < plan.count; ++i) {
      const Fragment& f = merged.fragments[plan.first + i];
      bytes.insert(bytes.end(), f.data, f.data + f.size);
    }
    HATS_FUZZ_CHECK(bytes.size() == plan.bytes);
    if (plan.count == 1) {
      HATS_FUZZ_CHECK(plan.offload.kind == Offload::Kind::none && !plan.offload.needs_checksum);
      out.push_back(bytes);
      continue;
    }
    HATS_FUZZ_CHECK(bytes.size() <= 65'575 && plan.count <= kMaxMergedPackets);
    std::vector<Piece> pieces;
    heads.clear();
    HATS_FUZZ_CHECK(cut(bytes, 0, plan.offload, heads, pieces) == CutResult::ok);
    HATS_FUZZ_CHECK(pieces.size() == plan.count);
    for (const Piece& piece : pieces) {
      if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
      out.emplace_back(piece.data, piece.data + piece.size);
    }
  }
  return out;
}

}  // namespace
}  // namespace hats::packet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  using namespace hats::packet;
  fuzz::Input input(data, size);
  const uint8_t lanes = input.byte();
  const size_t segment = 1 + input.below(kMostPayload);
  std::vector<Shape> flows;
  for (uint8_t i = 0; i < kFlows; ++i) flows.push_back(first_shape(input, i));
  std::vector<Bytes> packets;
  while (!input.empty() && packets.size() < kMostPackets) {
    const uint32_t which = input.below(64);
    if (which == 0) {  // anything at all, but never taken for TCP or UDP
      const ByteView raw = input.bytes(input.byte());
      packets.emplace_back(raw.begin(), raw.end());
      if (packets.back().size() >= 10) packets.back()[6] = packets.back()[9] = 1;
      continue;
    }
    packets.push_back(next_packet(input, flows[which % kFlows], segment));
  }
  const auto after = through(packets, {.tcp = (lanes & 1) == 0, .udp = (lanes & 2) == 0});
  HATS_FUZZ_CHECK(after.size() == packets.size());
  HATS_FUZZ_CHECK(barriers(after) == barriers(packets));
  HATS_FUZZ_CHECK(by_flow(after) == by_flow(packets));
  return 0;
}
