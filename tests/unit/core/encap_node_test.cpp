// Tunnels that come, change and go.
#include "tests/unit/core/encap_sender.hpp"

namespace hats::encap {
namespace {

using testing::Bytes;
using testing::Gre;
using testing::inner_v4;
using testing::kOurs;
using testing::kTheirs;
using testing::OneTunnel;
using testing::OuterV4;
using testing::send;

TunnelConfig keyed(std::optional<uint32_t> key) {
  TunnelConfig config;
  config.local = kOurs;
  config.remote = kTheirs;
  config.in_key = config.out_key = key;
  return config;
}

TEST(EncapNodeTest, TunnelsThatAreAlikeOnTheWireAreRefusedNamingTheOther) {
  Node node;
  const auto first = node.add(keyed(1), 1'476), second = node.add(keyed(2), 1'476);
  ASSERT_TRUE(first && second);
  TunnelConfig again = keyed(2);
  again.ttl = 9;
  again.out_key = 77;  // nobody sees it on arrival
  const auto refused = node.add(again, 1'476);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), *second);
  const auto not_changed = node.change(testing::at(seconds(1)), *first, again);
  ASSERT_FALSE(not_changed);
  EXPECT_EQ(not_changed.error(), *second);
  EXPECT_EQ(node.status({}, *first).config, keyed(1));
  EXPECT_TRUE(node.change(testing::at(seconds(1)), *second, again)) << "alike to itself";
  EXPECT_TRUE(node.add(keyed(std::nullopt), 1'476));
  EXPECT_TRUE(node.add(keyed(0), 1'476));
  TunnelConfig bound = keyed(1);
  bound.underlay = 3;
  EXPECT_TRUE(node.add(bound, 1'476));
  node.remove(*second);
  EXPECT_TRUE(node.add(keyed(2), 1'476));
}

TEST(EncapNodeTest, AChangedTunnelIsFoundByItsNewKeyAlone) {
  OneTunnel t(keyed(1));
  EXPECT_EQ(t.gre(Gre{.key = 1}, inner_v4()).size(), 1u);
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, keyed(2)));
  EXPECT_TRUE(t.gre(Gre{.key = 1}, inner_v4()).empty());
  EXPECT_EQ(t.strays(StrayReason::wrong_key), 1u);
  EXPECT_EQ(t.gre(Gre{.key = 2}, inner_v4()).size(), 1u);
  EXPECT_EQ(send(t, {inner_v4()})[0].bytes, Gre{.key = 2}.packet(inner_v4()));
  EXPECT_EQ(t.status().counters.rx_packets, 2u) << "counters stay";
}

TEST(EncapNodeTest, LearnedPathMtuOutlivesAChangeThatLeavesTheEnds) {
  OneTunnel t(keyed(1));
  t.node.set_path(t.now, t.tunnel, {1'500, kOurs});
  const Bytes quoted = OuterV4{.from = kOurs, .to = kTheirs}.packet(Gre{.key = 1}.packet(inner_v4()));
  t.node.outer_error(t.now, {.type = 3, .code = 4, .mtu = 1'000, .reporter = kTheirs, .quoted = quoted});
  ASSERT_EQ(t.status().path_mtu, 1'000u);
  TunnelConfig config = keyed(1);
  config.ttl = 3;
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, config));
  EXPECT_EQ(t.status().path_mtu, 1'000u);
  config.remote = *IpAddress::parse("203.0.113.9");
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, config));
  EXPECT_EQ(t.status().path_mtu, 0u);
}

TEST(EncapNodeTest, ANewTunnelInAnOldPlaceStartsAfresh) {
  TunnelConfig config = keyed(1);
  config.out_sequence = true;
  OneTunnel t(config);
  send(t, {inner_v4(), inner_v4(), Bytes(40, 0)});
  EXPECT_EQ(t.all_drops(), 1u);
  t.node.remove(t.tunnel);
  ASSERT_EQ(t.node.add(config, 1'476), t.tunnel);
  EXPECT_EQ(t.all_drops(), 0u);
  EXPECT_EQ(t.status().counters.tx_packets, 0u);
  EXPECT_FALSE(t.status().last_drop);
  EXPECT_TRUE(send(t, {inner_v4()}).empty()) << "down";
  t.node.set_up(t.now, t.tunnel, true);
  EXPECT_EQ(send(t, {inner_v4()})[0].bytes, (Gre{.key = 1, .sequence = 0}.packet(inner_v4())));
}

TEST(EncapNodeTest, WhatIsSaidOfNoTunnelDoesNothing) {
  Node node;
  const Now now = testing::at(seconds(1));
  for (const TunnelId id : {TunnelId{0}, TunnelId{7}, kNoTunnel}) {
    node.remove(id);
    node.set_mtu(id, 1'000);
    node.set_up(now, id, true);
    node.set_path(now, id, {1'500, kOurs});
    EXPECT_TRUE(node.change(now, id, keyed(1)));
    EXPECT_EQ(node.status(now, id).config, TunnelConfig{});
  }
  node.handle_timeout(now);
  EXPECT_FALSE(node.next_deadline());
}

// Thousands of tunnels between the same ends, told apart by their keys.
TEST(EncapNodeTest, ThousandsOfTunnelsEachGetTheirOwn) {
  Node node;
  const Now now = testing::at(seconds(1));
  constexpr uint32_t kTunnels = 3'000;
  for (uint32_t key = 0; key < kTunnels; ++key) {
    const auto id = node.add(keyed(key), 1'476);
    ASSERT_EQ(id, key);
    node.set_up(now, *id, true);
  }
  InboundBatch batch;
  std::vector<InnerPacket> out;
  for (uint32_t key = 0; key < kTunnels; key += 7) {
    if (key % 2 == 0) node.remove(key);
    Bytes packet = OuterV4{}.packet(Gre{.key = key}.packet(inner_v4()));
    Received received;
    received.bytes = packet;
    batch.clear();
    out.clear();
    node.plan_inbound(now, std::span(&received, 1), batch);
    Node::work(batch);
    node.commit_inbound(now, batch, out);
    ASSERT_EQ(out.size(), key % 2);
    for (const InnerPacket& one : out) EXPECT_EQ(one.tunnel, key);
  }
}

}  // namespace
}  // namespace hats::encap
