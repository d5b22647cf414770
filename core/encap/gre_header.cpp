#include "core/encap/gre_header.hpp"

#include "core/packet/checksum.hpp"

namespace hats::encap {
namespace {

constexpr uint16_t kChecksum = 0x8000, kKey = 0x2000, kSequence = 0x1000;
constexpr uint16_t kVersion = 0x0007;
constexpr uint16_t kForbidden = 0x4c00;  // routing, strict source route, first recursion bit
constexpr uint16_t kEtherWccp = 0x883e;

}  // namespace

size_t write_gre_header(uint8_t* to, const GreHeader& header) noexcept {
  uint16_t flags = 0;
  size_t at = kGreMinHeader;
  if (header.has_checksum) {
    flags |= kChecksum;
    store_be32(to + at, 0);
    at += 4;
  }
  if (header.key) {
    flags |= kKey;
    store_be32(to + at, *header.key);
    at += 4;
  }
  if (header.sequence) {
    flags |= kSequence;
    store_be32(to + at, *header.sequence);
    at += 4;
  }
  store_be16(to, flags);
  store_be16(to + 2, header.protocol);
  return at;
}

std::optional<GreHeader> parse_gre_header(ByteView bytes, Family outer) noexcept {
  if (bytes.size() < kGreMinHeader) return std::nullopt;
  const uint16_t flags = load_be16(bytes.data());
  if ((flags & (kVersion | kForbidden)) != 0) return std::nullopt;
  GreHeader out;
  out.protocol = load_be16(&bytes[2]);
  out.has_checksum = (flags & kChecksum) != 0;
  const bool key = (flags & kKey) != 0, sequence = (flags & kSequence) != 0;
  size_t size = gre_header_size(out.has_checksum, key, sequence);
  if (bytes.size() < size) return std::nullopt;
  size_t at = kGreMinHeader + (out.has_checksum ? 4 : 0);
  if (key) {
    out.key = load_be32(&bytes[at]);
    at += 4;
  }
  if (sequence) out.sequence = load_be32(&bytes[at]);
  if (flags == 0 && out.protocol == kEtherWccp) {
    if (bytes.size() < size + 4) return std::nullopt;
    out.protocol = outer == Family::v6 ? kEtherIpv6 : kEtherIpv4;
    if ((bytes[size] >> 4) != 4) size += 4;
  }
  out.size = static_cast<uint32_t>(size);
  return out;
}

std::optional<GreFlags> read_gre_flags(ByteView bytes) noexcept {
  if (bytes.size() < kGreMinHeader) return std::nullopt;
  const uint16_t flags = load_be16(bytes.data());
  if ((flags & kVersion) != 0) return std::nullopt;
  const bool checksum = (flags & kChecksum) != 0, key = (flags & kKey) != 0;
  return GreFlags{.protocol = load_be16(&bytes[2]),
                  .has_key = key,
                  .key_at = gre_header_size(checksum, false, false),
                  .size = gre_header_size(checksum, key, (flags & kSequence) != 0)};
}

bool gre_checksum_good(ByteView bytes) noexcept {
  return packet::finish(packet::sum_of(bytes)) == 0;
}

bool gre_checksum_unfinished(ByteView bytes) noexcept {
  return load_be16(&bytes[kGreChecksumAt]) == 0;
}

}  // namespace hats::encap
