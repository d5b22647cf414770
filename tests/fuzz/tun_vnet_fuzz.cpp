// A TUN read as a whole: virtio header and packet. Decoding and encoding agree, and cutting survives what was
// decoded.
#include <vector>

#include "core/packet/cut.hpp"
#include "tests/fuzz/input.hpp"
#include "tun/vnet_header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  const auto decoded = tun::decode_vnet({data, size});
  if (size < tun::kVnetHeaderSize) {
    HATS_FUZZ_CHECK(!decoded);
    return 0;
  }
  if (!decoded) return 0;
  const auto again = tun::decode_vnet(tun::encode_vnet(*decoded));
  HATS_FUZZ_CHECK(again.has_value());
  HATS_FUZZ_CHECK(again->kind == decoded->kind && again->segment_size == decoded->segment_size);
  HATS_FUZZ_CHECK(again->needs_checksum == decoded->needs_checksum);
  HATS_FUZZ_CHECK(again->checksum_start == decoded->checksum_start);
  HATS_FUZZ_CHECK(again->checksum_offset == decoded->checksum_offset);
  if (decoded->kind != packet::Offload::Kind::none) HATS_FUZZ_CHECK(again->ecn == decoded->ecn);

  std::vector<uint8_t> bytes(data + tun::kVnetHeaderSize, data + size);
  packet::HeadArena heads(256);
  std::vector<packet::Piece> pieces;
  const auto result = packet::cut(bytes, 0, *decoded, heads, pieces);
  HATS_FUZZ_CHECK(pieces.empty() == (result != packet::CutResult::ok));
  return 0;
}
