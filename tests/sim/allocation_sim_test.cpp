// Nothing allocates per packet (DESIGN.md law 2): once the batches have grown, a session carries packets
// without a single call of operator new.
#include <gtest/gtest.h>

#include "tests/sim/world.hpp"
#include "tests/support/allocations.hpp"

namespace hats::sim {
namespace {

using hats::testing::g_allocations;

TEST(AllocationTest, SteadyTrafficAllocatesNothing) {
  World world(91);
  world.connect_all();
  world.send(0, 1);
  world.advance(seconds(1));
  world.send(1, 0);
  world.advance(seconds(1));

  const auto aead = crypto::make_aead(crypto::AeadChoice::sodium);
  std::vector<Bytes> slabs(2, Bytes(66'000)), packets;
  for (uint32_t i = 0; i < 45; ++i) packets.push_back(World::packet(0, 1, i, 100 + i));
  std::vector<packet::Piece> pieces;
  for (Bytes& bytes : packets) {
    pieces.push_back({.data = bytes.data(), .size = static_cast<uint32_t>(bytes.size())});
  }
  wg::OutboundBatch out;
  wg::InboundBatch in;
  std::vector<wg::Received> received;
  std::vector<wg::InnerPacket> inner;
  size_t before = 0, delivered = 0;
  for (int round = 0; round < 50; ++round) {
    if (round == 5) {
      before = g_allocations;
      delivered = 0;
    }
    for (Bytes& slab : slabs) out.lend(slab);
    ASSERT_EQ(world.device(0).plan_outbound(world.now(), pieces, out), pieces.size());
    wg::Device::work(out, *aead);
    world.device(0).commit_outbound(world.now(), out);
    received.clear();
    inner.clear();
    for (const wg::DatagramRun& run : out.runs) {
      received.push_back({.bytes = {const_cast<uint8_t*>(run.data), run.size},
                          .segment_size = run.segment_size,
                          .from = world.node(0).address});
    }
    world.device(1).plan_inbound(world.now(), received, in);
    wg::Device::work(in, *aead);
    world.device(1).commit_inbound(world.now(), in, inner);
    delivered += inner.size();
    in.clear();
    out.clear();
    ASSERT_TRUE(world.device(0).next_deadline());
    ASSERT_TRUE(world.device(1).next_deadline());
  }
  EXPECT_EQ(delivered, 45 * pieces.size());
  EXPECT_GT(before, 0U) << "nothing is counted";
  EXPECT_EQ(g_allocations - before, 0U);
}

}  // namespace
}  // namespace hats::sim
