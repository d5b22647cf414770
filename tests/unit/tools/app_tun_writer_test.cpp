// Inner packets into a TUN queue: a packet that GRO has merged goes out whole where the queue takes it, and
// as the packets that it was made of where it does not (formats.md 5.5).
#include "tools/hatsd-user/daemon/tun_writer.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::app {
namespace {

using packet::testing::build;
using packet::testing::Bytes;
using packet::testing::random_bytes;
using packet::testing::segments;
using packet::testing::Shape;

constexpr size_t kHeader = 10;  // bytes of struct virtio_net_hdr
constexpr uint8_t kGsoNone = 0, kGsoTcpV4 = 1, kGsoTcpV6 = 4;

/// A loop whose one queue remembers what is written, and may refuse large writes.
class FakeLoop final : public transport::Loop {
 public:
  std::vector<Bytes> written;
  bool refuses_offload = false;
  int refused = 0;
  size_t header = kHeader;
  int held = 0;  // leases that came along

  int write(transport::Tag, const transport::TunWrite& write) override {
    Bytes all;
    for (const iovec& part : write.parts) {
      const auto* data = static_cast<const uint8_t*>(part.iov_base);
      all.insert(all.end(), data, data + part.iov_len);
    }
    if (refuses_offload && header != 0 && all[1] != kGsoNone) {
      ++refused;
      return EINVAL;
    }
    written.push_back(std::move(all));
    held += static_cast<int>(write.slabs.size());
    return 0;
  }

  [[nodiscard]] std::string_view name() const override { return "fake"; }
  [[nodiscard]] transport::Arena& arena() override { return **arena_; }
  [[nodiscard]] transport::LoopCounters counters() const override { return {}; }
  void add_tun(transport::Tag, int) override {}
  void add_udp(transport::Tag, int) override {}
  void add_raw(transport::Tag, int) override {}
  void remove(transport::Tag) override {}
  void send(transport::Tag, transport::UdpSend) override {}
  void send_raw(transport::Tag, transport::RawSend) override {}
  void run(transport::Handler&) override {}
  void stop() override {}
  void post(std::function<void()>) override {}

 private:
  std::expected<std::unique_ptr<transport::Arena>, int> arena_ = transport::Arena::make(1);
};

constexpr tun::TunFeatures kAll{
    .vnet_header = true, .tso = true, .tso_ecn = true, .uso = true, .header_size = kHeader};
constexpr tun::TunFeatures kNoOffload{
    .vnet_header = true, .tso = false, .tso_ecn = false, .uso = false, .header_size = kHeader};
constexpr tun::TunFeatures kNoHeader{};

packet::Offload offload_of(const Shape& shape, uint16_t segment) {
  return {.kind = shape.v4 ? packet::Offload::Kind::tcp4 : packet::Offload::Kind::tcp6,
          .needs_checksum = true,
          .checksum_start = static_cast<uint16_t>(shape.transport()),
          .checksum_offset = 16,
          .header_size = static_cast<uint16_t>(shape.head()),
          .segment_size = segment};
}

std::vector<Bytes> without_headers(const std::vector<Bytes>& writes, size_t header) {
  std::vector<Bytes> out;
  for (const Bytes& one : writes) out.emplace_back(one.begin() + static_cast<long>(header), one.end());
  return out;
}

class TunWriterTest : public testing::TestWithParam<bool> {
 protected:
  TunWriterTest() { shape_.v4 = GetParam(); }

  std::vector<Bytes> write_merged(const tun::TunFeatures& features, const Bytes& payload, uint16_t segment) {
    Bytes merged = build(shape_, payload, true);
    TunWriter writer(loop_, 0, features, space_);
    writer.write_merged(merged, offload_of(shape_, segment));
    return loop_.written;
  }

  std::mt19937 rng_{7};
  Shape shape_;
  BatchSpace space_;
  FakeLoop loop_;
};

TEST_P(TunWriterTest, AMergedPacketGoesOutWholeWhereTheQueueTakesIt) {
  const Bytes payload = random_bytes(rng_, 9'000);
  const auto writes = write_merged(kAll, payload, 1'400);
  ASSERT_EQ(writes.size(), 1);
  EXPECT_EQ(writes[0][1], shape_.v4 ? kGsoTcpV4 : kGsoTcpV6);
  EXPECT_EQ(without_headers(writes, kHeader)[0], build(shape_, payload, true));
}

TEST_P(TunWriterTest, WhereTheQueueHasNoOffloadTheMergedPacketIsCut) {
  const Bytes payload = random_bytes(rng_, 9'001);
  EXPECT_EQ(without_headers(write_merged(kNoOffload, payload, 536), kHeader), segments(shape_, payload, 536));
}

TEST_P(TunWriterTest, AQueueWithoutVirtioHeaderGetsTheBarePieces) {
  const Bytes payload = random_bytes(rng_, 60'000);
  loop_.header = 0;
  EXPECT_EQ(write_merged(kNoHeader, payload, 300), segments(shape_, payload, 300));
}

TEST_P(TunWriterTest, ARefusedMergeIsWrittenPacketByPacketAndNotTriedAgain) {
  const Bytes payload = random_bytes(rng_, 7'000);
  const std::vector<Bytes> sent = segments(shape_, payload, 1'000);
  loop_.refuses_offload = true;
  TunWriter writer(loop_, 0, kAll, space_);
  for (int round = 1; round <= 2; ++round) {
    std::vector<Bytes> packets = sent;
    std::vector<ByteSpan> spans(packets.begin(), packets.end());
    writer.write(spans);
    EXPECT_EQ(loop_.refused, 1) << "the second batch is not merged any more";
    EXPECT_EQ(without_headers(loop_.written, kHeader), sent) << "byte for byte";
    loop_.written.clear();
  }
  EXPECT_FALSE(writer.limits().tcp);
  EXPECT_TRUE(writer.limits().udp) << "each protocol for itself";
}

TEST_P(TunWriterTest, ARefusedMergedPacketIsCut) {
  const Bytes payload = random_bytes(rng_, 4'000);
  loop_.refuses_offload = true;
  EXPECT_EQ(without_headers(write_merged(kAll, payload, 1'000), kHeader), segments(shape_, payload, 1'000));
}

TEST_P(TunWriterTest, PacketsOfAFlowAreOneWriteAndEachLenderComesAlongOnce) {
  const Bytes payload = random_bytes(rng_, 4'000);
  std::vector<Bytes> parts = segments(shape_, payload, 1'000);
  const transport::Lease lease = loop_.arena().take();
  ASSERT_TRUE(lease);
  std::vector<ByteSpan> packets;
  for (Bytes& part : parts) {
    packets.emplace_back(part);
    space_.lenders.push_back(
        {.data = part.data(), .size = static_cast<uint32_t>(part.size()), .slab = &lease});
  }
  TunWriter(loop_, 0, kAll, space_).write(packets);
  ASSERT_EQ(loop_.written.size(), 1);
  EXPECT_EQ(loop_.written[0].size(), kHeader + shape_.head() + payload.size());
  EXPECT_EQ(loop_.held, 1);
}

TEST_P(TunWriterTest, WithoutVirtioHeaderEachPacketIsAWrite) {
  const Bytes payload = random_bytes(rng_, 4'000);
  std::vector<Bytes> parts = segments(shape_, payload, 1'000);
  std::vector<ByteSpan> packets;
  for (Bytes& part : parts) packets.emplace_back(part);
  loop_.header = 0;
  TunWriter(loop_, 0, kNoHeader, space_).write(packets);
  EXPECT_EQ(loop_.written, segments(shape_, payload, 1'000));
}

INSTANTIATE_TEST_SUITE_P(Families, TunWriterTest, testing::Bool(),
                         [](const auto& chosen) { return chosen.param ? "IPv4" : "IPv6"; });

}  // namespace
}  // namespace hats::app
