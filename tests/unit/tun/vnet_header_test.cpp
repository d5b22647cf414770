#include "tun/vnet_header.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace hats::tun {
namespace {

// virtio 1.2, 5.1.6, written down anew: <linux/virtio_net.h> is no C++.
struct virtio_net_hdr {
  uint8_t flags, gso_type;
  uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
constexpr uint8_t VIRTIO_NET_HDR_F_NEEDS_CSUM = 1, VIRTIO_NET_HDR_F_DATA_VALID = 2;
constexpr uint8_t VIRTIO_NET_HDR_GSO_TCPV4 = 1, VIRTIO_NET_HDR_GSO_TCPV6 = 4, VIRTIO_NET_HDR_GSO_UDP_L4 = 5,
                  VIRTIO_NET_HDR_GSO_ECN = 0x80;

using packet::Offload;

virtio_net_hdr as_kernel(const std::array<uint8_t, kVnetHeaderSize>& bytes) {
  virtio_net_hdr out{};
  static_assert(sizeof out == kVnetHeaderSize);
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

std::array<uint8_t, kVnetHeaderSize> as_bytes(const virtio_net_hdr& header) {
  std::array<uint8_t, kVnetHeaderSize> out{};
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

TEST(VnetHeaderTest, APlainPacketIsAllZeroAndNeverClaimsAValidChecksum) {
  const auto bytes = encode_vnet({});
  for (const uint8_t b : bytes) EXPECT_EQ(b, 0);
}

TEST(VnetHeaderTest, EveryKindIsWrittenAsTheKernelReadsIt) {
  const std::array<std::pair<Offload::Kind, uint8_t>, 3> kinds = {{
      {Offload::Kind::tcp4, VIRTIO_NET_HDR_GSO_TCPV4},
      {Offload::Kind::tcp6, VIRTIO_NET_HDR_GSO_TCPV6},
      {Offload::Kind::udp, VIRTIO_NET_HDR_GSO_UDP_L4},
  }};
  for (const auto& [kind, gso_type] : kinds) {
    for (const bool ecn : {false, true}) {
      const Offload offload{.kind = kind,
                            .needs_checksum = true,
                            .ecn = ecn,
                            .checksum_start = 40,
                            .checksum_offset = 16,
                            .header_size = 72,
                            .segment_size = 1368};
      const virtio_net_hdr header = as_kernel(encode_vnet(offload));
      EXPECT_EQ(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
      EXPECT_EQ(header.gso_type, gso_type | (ecn ? VIRTIO_NET_HDR_GSO_ECN : 0));
      EXPECT_EQ(header.hdr_len, 72);
      EXPECT_EQ(header.gso_size, 1368);
      EXPECT_EQ(header.csum_start, 40);
      EXPECT_EQ(header.csum_offset, 16);
      const auto back = decode_vnet(encode_vnet(offload));
      ASSERT_TRUE(back);
      EXPECT_EQ(back->kind, kind);
      EXPECT_EQ(back->ecn, ecn);
      EXPECT_TRUE(back->needs_checksum);
      EXPECT_EQ(back->checksum_start, 40);
      EXPECT_EQ(back->checksum_offset, 16);
      EXPECT_EQ(back->segment_size, 1368);
    }
  }
}

TEST(VnetHeaderTest, TheKernelsHeaderLengthHintIsNotBelieved) {
  virtio_net_hdr header{};
  header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  header.hdr_len = 1200;  // the linear part of an skb, not the headers
  const auto offload = decode_vnet(as_bytes(header));
  ASSERT_TRUE(offload);
  EXPECT_EQ(offload->header_size, 0);
}

TEST(VnetHeaderTest, DataValidAloneAsksForNothing) {
  virtio_net_hdr header{};
  header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
  header.csum_start = 77;
  const auto offload = decode_vnet(as_bytes(header));
  ASSERT_TRUE(offload);
  EXPECT_FALSE(offload->needs_checksum);
  EXPECT_EQ(offload->checksum_start, 0);
}

TEST(VnetHeaderTest, ShortHeadersAndKindsNeverAskedForAreRefused) {
  const std::array<uint8_t, kVnetHeaderSize> zero{};
  for (size_t size = 0; size < kVnetHeaderSize; ++size) EXPECT_FALSE(decode_vnet(ByteView(zero).first(size)));
  for (unsigned type = 0; type < 256; ++type) {
    virtio_net_hdr header{};
    header.gso_type = static_cast<uint8_t>(type);
    const unsigned plain = type & ~unsigned{VIRTIO_NET_HDR_GSO_ECN};
    const bool known = plain == 0 || plain == 1 || plain == 4 || plain == 5;
    EXPECT_EQ(decode_vnet(as_bytes(header)).has_value(), known) << type;
  }
}

}  // namespace
}  // namespace hats::tun
