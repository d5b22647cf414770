// Nothing allocates per packet (DESIGN.md law 2): once the batches have grown, tunnels carry packets both
// ways without a single call of operator new.
#include "tests/support/allocations.hpp"

#include "tests/unit/core/encap_gro_reference.hpp"
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using hats::testing::g_allocations;
using testing::Bytes;
using testing::Gre;
using testing::OneTunnel;
using testing::OuterV4;

TEST(EncapAllocationTest, SteadyTrafficAllocatesNothing) {
  TunnelConfig config;
  config.in_key = config.out_key = 7;
  config.in_checksum = config.out_checksum = true;
  OneTunnel t(config);
  t.node.set_path(t.now, t.tunnel, {1'500, {}});
  testing::Shape s;
  const Bytes merged = testing::merge_like_gro(packet::testing::segments(s, Bytes(9'000, 1), 1'000), s);
  const OuterV4 outer;
  const Gre gre{.checksum = true, .key = 7};
  const std::vector<Bytes> originals = {outer.packet(gre.packet(testing::inner_v4())),
                                        outer.packet(gre.packet(merged)),
                                        outer.packet(Gre{.key = 8}.packet(testing::inner_v4())),  // a stray
                                        outer.packet(gre.packet(Bytes(30, 0x11)))};               // dropped
  std::vector<Bytes> arrived = originals;
  Bytes leaving = testing::inner_v4(1'000);
  const packet::Piece piece{.data = leaving.data(), .size = static_cast<uint32_t>(leaving.size())};
  InboundBatch in;
  OutboundBatch out;
  std::vector<InnerPacket> inner;
  std::vector<Received> received(arrived.size());
  size_t before = 0, delivered = 0;
  for (int round = 0; round < 50; ++round) {
    if (round == 5) before = g_allocations;
    for (size_t i = 0; i < arrived.size(); ++i) {
      std::copy(originals[i].begin(), originals[i].end(), arrived[i].begin());
      received[i].bytes = arrived[i];
    }
    inner.clear();
    t.node.plan_inbound(t.now, received, in);
    Node::work(in);
    t.node.commit_inbound(t.now, in, inner);
    delivered += inner.size();
    in.clear();
    t.node.plan_outbound(t.now, t.tunnel, std::span(&piece, 1), out);
    Node::work(out);
    t.node.commit_outbound(t.now, out);
    out.clear();
  }
  EXPECT_EQ(delivered, 50u * 2);
  EXPECT_GT(before, 0U) << "nothing is counted";
  EXPECT_EQ(g_allocations - before, 0U);
}

}  // namespace
}  // namespace hats::encap
