#include "tun/vnet_header.hpp"

#include <cstring>

namespace hats::tun {

namespace {

// virtio 1.2, 5.1.6 struct virtio_net_hdr; fields in the host's byte order, which is what a TUN queue uses
// unless TUNSETVNETLE or TUNSETVNETBE says otherwise.
constexpr uint8_t kFlagNeedsChecksum = 1;
constexpr uint8_t kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdpL4 = 5;
constexpr uint8_t kGsoEcn = 0x80;
constexpr size_t kOffHeaderLength = 2, kOffGsoSize = 4, kOffChecksumStart = 6, kOffChecksumOffset = 8;

uint16_t load_native(const uint8_t* p) noexcept {
  uint16_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}
void store_native(uint8_t* p, uint16_t v) noexcept {
  std::memcpy(p, &v, sizeof v);
}

}  // namespace

std::optional<packet::Offload> decode_vnet(ByteView header) noexcept {
  using Kind = packet::Offload::Kind;
  if (header.size() < kVnetHeaderSize) return std::nullopt;
  packet::Offload out;
  switch (header[1] & ~kGsoEcn) {
    case kGsoNone:
      break;
    case kGsoTcp4:
      out.kind = Kind::tcp4;
      break;
    case kGsoTcp6:
      out.kind = Kind::tcp6;
      break;
    case kGsoUdpL4:
      out.kind = Kind::udp;
      break;
    default:
      return std::nullopt;  // UFO and whatever comes later: never asked for
  }
  out.needs_checksum = (header[0] & kFlagNeedsChecksum) != 0;
  out.ecn = (header[1] & kGsoEcn) != 0;
  if (out.needs_checksum) {
    out.checksum_start = load_native(&header[kOffChecksumStart]);
    out.checksum_offset = load_native(&header[kOffChecksumOffset]);
  }
  // hdr_len is not taken: on a read the kernel fills it with the linear part of its buffer, often far more
  // than the headers. header_size stays "unknown".
  if (out.kind != Kind::none) out.segment_size = load_native(&header[kOffGsoSize]);
  return out;
}

std::array<uint8_t, kVnetHeaderSize> encode_vnet(const packet::Offload& offload) noexcept {
  using Kind = packet::Offload::Kind;
  std::array<uint8_t, kVnetHeaderSize> out{};
  // DATA_VALID is never set: the kernel ignores it on a TUN write.
  if (offload.needs_checksum) {
    out[0] = kFlagNeedsChecksum;
    store_native(&out[kOffChecksumStart], offload.checksum_start);
    store_native(&out[kOffChecksumOffset], offload.checksum_offset);
  }
  if (offload.kind == Kind::none) return out;
  out[1] = offload.kind == Kind::tcp4 ? kGsoTcp4 : offload.kind == Kind::tcp6 ? kGsoTcp6 : kGsoUdpL4;
  if (offload.ecn) out[1] |= kGsoEcn;
  store_native(&out[kOffHeaderLength], offload.header_size);
  store_native(&out[kOffGsoSize], offload.segment_size);
  return out;
}

}  // namespace hats::tun
