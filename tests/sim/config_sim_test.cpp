// Changing a device while it runs: peers.md 4 and the kernel's set_device.
#include <gtest/gtest.h>

#include "tests/sim/paper.hpp"
#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

Prefix prefix(const char* text) {
  return *Prefix::parse(text);
}

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override { world.connect_all(); }
  /// An update of node 0's peer `peer`.
  wg::DeviceUpdate update_of(size_t peer) {
    wg::DeviceUpdate out;
    out.peers.emplace_back();
    out.peers[0].public_key = world.node(peer).public_key;
    return out;
  }
  wg::DeviceUpdate key_update(const crypto::PrivateKey& key) {
    wg::DeviceUpdate out;
    out.private_key = key.copy();
    return out;
  }
  void establish() {
    world.send(0, 1, 1);
    world.advance(seconds(1));
    ASSERT_EQ(world.node(1).delivered.size(), 1U);
  }
  World world{81, 3};
};

TEST_F(ConfigTest, PeerWithOurOwnKeyIsIgnoredInSilence) {
  world.apply(0, update_of(0));
  EXPECT_EQ(world.device(0).snapshot().peers.size(), 2U);
}

TEST_F(ConfigTest, TakingAPeersKeyAsOursRemovesThatPeer) {
  world.apply(0, key_update(world.node(1).private_key));
  const auto snapshot = world.device(0).snapshot();
  ASSERT_EQ(snapshot.peers.size(), 1U);
  EXPECT_EQ(snapshot.peers[0].public_key, world.node(2).public_key);
}

TEST_F(ConfigTest, KeyChangeExpiresSessionsAndAllowsAnImmediateHandshake) {
  establish();
  const crypto::PrivateKey fresh = crypto::PrivateKey(std::array<uint8_t, 32>{8, 7, 6});
  world.apply(0, key_update(fresh));
  wg::DeviceUpdate other;
  other.peers.push_back(world.peer_update(0));
  other.peers[0].public_key = world.device(0).snapshot().public_key;
  world.apply(1, other);
  world.trace.clear();
  world.send(0, 1, 2);
  EXPECT_EQ(world.count(0, Kind::data), 0U);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U) << "at once, though the last is a second old";
  world.advance(seconds(1));
  ASSERT_EQ(world.node(1).delivered.size(), 2U);
}

TEST_F(ConfigTest, SettingTheSameKeyChangesNothing) {
  establish();
  world.apply(0, key_update(world.node(0).private_key));
  world.send(0, 1, 2);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
  EXPECT_EQ(world.count(0, Kind::data), 2U);
}

TEST_F(ConfigTest, ZeroKeyRemovesTheIdentity) {
  establish();
  world.apply(0, key_update(crypto::PrivateKey()));
  EXPECT_FALSE(world.device(0).snapshot().private_key);
  world.trace.clear();
  world.send(0, 1);
  world.advance(seconds(30));
  EXPECT_EQ(world.count(0, Kind::data) + world.count(0, Kind::initiation), 0U);
}

TEST_F(ConfigTest, StagedPacketsGoWhenAKeyIsSet) {
  const crypto::PrivateKey key = world.node(0).private_key.copy();
  world.apply(0, key_update(crypto::PrivateKey()));
  world.send(0, 1, 6);
  EXPECT_TRUE(world.trace.empty());
  world.apply(0, key_update(key));
  world.advance(seconds(1));
  EXPECT_EQ(world.node(1).delivered.size(), 1U);
}

TEST_F(ConfigTest, RemoveAndUpdateOnlyNeverCreateAPeer) {
  wg::DeviceUpdate update = update_of(0);
  update.peers[0].public_key.bytes[5] ^= 1;
  update.peers[0].update_only = true;
  world.apply(0, update);
  update.peers[0].update_only = false;
  update.peers[0].remove = true;
  world.apply(0, update);
  EXPECT_EQ(world.device(0).snapshot().peers.size(), 2U);
}

TEST_F(ConfigTest, RemovedPeerIsGoneWithItsPrefixesAndSessions) {
  establish();
  wg::DeviceUpdate update = update_of(1);
  update.peers[0].remove = true;
  world.apply(0, update);
  EXPECT_EQ(world.device(0).snapshot().peers.size(), 1U);
  world.send(0, 1);
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::tx_no_peer], 1U);
  world.send(1, 0);
  world.advance(seconds(1));
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::rx_unknown_index], 1U);
}

TEST_F(ConfigTest, PeerRemovedWhileABatchIsUnderWayIsNotTouched) {
  establish();
  world.send(1, 0);
  Datagram datagram = world.last(1, Kind::data);
  auto aead = crypto::make_aead(crypto::AeadChoice::sodium);
  wg::InboundBatch in;
  wg::OutboundBatch out;
  Bytes slab(10'000), packet = World::packet(0, 1);
  const std::array received{wg::Received{.bytes = datagram.bytes, .from = datagram.from}};
  world.device(0).plan_inbound(world.now(), received, in);
  out.lend(slab);
  const std::array pieces{packet::Piece{.data = packet.data(), .size = static_cast<uint32_t>(packet.size())}};
  EXPECT_EQ(world.device(0).plan_outbound(world.now(), pieces, out), 1U);
  wg::DeviceUpdate update = update_of(1);
  update.peers[0].remove = true;
  world.apply(0, update);
  world.introduce(0, 1);  // takes the slot
  wg::Device::work(in, *aead);
  wg::Device::work(out, *aead);
  std::vector<wg::InnerPacket> inner;
  world.device(0).commit_inbound(world.now(), in, inner);
  world.device(0).commit_outbound(world.now(), out);
  EXPECT_TRUE(inner.empty());
  EXPECT_EQ(world.peer(0, 1).tx_bytes, 0U);
  EXPECT_EQ(world.peer(0, 1).rx_bytes, 0U);
}

TEST_F(ConfigTest, AllowedIpsMoveToWhoTookThemLast) {
  wg::DeviceUpdate update = update_of(2);
  update.peers[0].allowed_ips = {{prefix("10.0.0.2/32")}};
  world.apply(0, update);
  EXPECT_EQ(world.peer(0, 1).allowed_ips, std::vector{prefix("fd00::2/128")});
  EXPECT_EQ(world.peer(0, 2).allowed_ips,
            (std::vector{prefix("10.0.0.3/32"), prefix("fd00::3/128"), prefix("10.0.0.2/32")}));
}

TEST_F(ConfigTest, AllowedIpIsRemovedOnlyFromItsOwner) {
  wg::DeviceUpdate update = update_of(2);
  update.peers[0].allowed_ips = {{.prefix = prefix("10.0.0.2/32"), .remove = true},
                                 {.prefix = prefix("10.0.0.3/32"), .remove = true}};
  world.apply(0, update);
  EXPECT_EQ(world.peer(0, 1).allowed_ips.size(), 2U);
  EXPECT_EQ(world.peer(0, 2).allowed_ips, std::vector{prefix("fd00::3/128")});
}

TEST_F(ConfigTest, ReplaceAllowedIpsKeepsOnlyTheNewMaskedOnes) {
  wg::DeviceUpdate update = update_of(1);
  update.peers[0].replace_allowed_ips = true;
  update.peers[0].allowed_ips = {{prefix("172.16.5.77/12")}, {prefix("::/0")}};
  world.apply(0, update);
  EXPECT_EQ(world.peer(0, 1).allowed_ips, (std::vector{prefix("172.16.0.0/12"), prefix("::/0")}));
}

TEST_F(ConfigTest, ReplacePeersComesBeforeThePeersOfTheUpdate) {
  wg::DeviceUpdate update = update_of(2);
  update.replace_peers = true;
  world.apply(0, update);
  const auto snapshot = world.device(0).snapshot();
  ASSERT_EQ(snapshot.peers.size(), 1U);
  EXPECT_EQ(snapshot.peers[0].public_key, world.node(2).public_key);
  EXPECT_TRUE(snapshot.peers[0].allowed_ips.empty());
}

TEST_F(ConfigTest, WhatAnUpdateDoesNotNameStays) {
  establish();
  world.node(1).address.port = 7;
  world.send(1, 0);
  world.advance(seconds(1));
  ASSERT_EQ(world.peer(0, 1).endpoint.port, 7);
  world.apply(0, update_of(1));
  EXPECT_EQ(world.peer(0, 1).endpoint.port, 7) << "the roamed endpoint";
  EXPECT_EQ(world.peer(0, 1).allowed_ips.size(), 2U);
  EXPECT_GT(world.peer(0, 1).tx_bytes, 0U);
  world.send(0, 1);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U) << "and the session";
}

TEST_F(ConfigTest, EndpointSetWhilePacketsWaitStartsTheHandshakeAtOnce) {
  wg::DeviceUpdate update;
  update.replace_peers = true;
  world.apply(0, update);
  world.introduce(0, 1, false);
  world.set_keepalive(0, 1, 25);  // owed, but there is nowhere to send it
  EXPECT_TRUE(world.trace.empty());
  update = update_of(1);
  update.peers[0].endpoint = world.node(1).address;
  world.apply(0, update);
  EXPECT_EQ(world.count(0, Kind::initiation), 1U);
}

TEST_F(ConfigTest, DownErasesKeysStopsTimersAndDropsWhatWaits) {
  establish();
  world.set_up(0, false);
  EXPECT_EQ(world.device(0).next_deadline(), std::nullopt);
  world.send(0, 1);
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::tx_down], 1U);
  world.send(1, 0);
  world.advance(seconds(1));
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::rx_down], 1U);
  world.set_up(0, true);
  world.send(1, 0);
  world.advance(milliseconds(20));
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::rx_unknown_index], 1U);
  EXPECT_EQ(world.device(0).snapshot().peers.size(), 2U);
  world.send(0, 1, 3);
  world.advance(seconds(1));
  EXPECT_EQ(World::mark_of(world.node(1).delivered.back()), 3U);
}

TEST_F(ConfigTest, SnapshotListsPeersInTheOrderOfTheirCreation) {
  wg::DeviceUpdate update = update_of(1);
  update.peers[0].remove = true;
  world.apply(0, update);
  world.introduce(0, 1);
  const auto snapshot = world.device(0).snapshot();
  ASSERT_EQ(snapshot.peers.size(), 2U);
  EXPECT_EQ(snapshot.peers[0].public_key, world.node(2).public_key);
  EXPECT_EQ(snapshot.peers[1].public_key, world.node(1).public_key);
}

TEST_F(ConfigTest, LastHandshakeIsTheWallClockOfItsCompletion) {
  EXPECT_EQ(world.peer(0, 1).last_handshake_s, 0);
  establish();
  EXPECT_EQ(world.peer(0, 1).last_handshake_s, 1'700'000'000);
  EXPECT_EQ(world.peer(0, 1).last_handshake_ns, 20'000'000U);
  EXPECT_EQ(world.peer(1, 0).last_handshake_ns, 30'000'000U) << "at the first packet under the key";
}

TEST_F(ConfigTest, UnansweredHandshakesShowInTheStatus) {
  world.filter = [](Datagram&) { return false; };
  world.send(0, 1);
  EXPECT_FALSE(world.device(0).peer_status()[0].handshake_failing);
  for (int i = 0; i < 12; ++i) {
    world.advance(seconds(1));
    world.send(0, 1);  // new data starts the count of tries again, but not this one
  }
  EXPECT_TRUE(world.device(0).peer_status()[0].handshake_failing);
  EXPECT_EQ(world.device(0).peer_status()[0].attempts, 3U);
  world.filter = nullptr;
  world.advance(seconds(6));
  EXPECT_FALSE(world.device(0).peer_status()[0].handshake_failing);
}

TEST_F(ConfigTest, TenThousandPeersAndManyPrefixesAreAppliedQuickly) {
  wg::DeviceUpdate update;
  for (uint32_t i = 0; i < 10'000; ++i) {
    wg::PeerUpdate& peer = update.peers.emplace_back();
    store_be32(peer.public_key.bytes.data(), i);
    peer.public_key.bytes[31] = 9;
    for (uint8_t j = 0; j < 6; ++j) {
      std::array<uint8_t, 4> address{10, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), j};
      peer.allowed_ips.push_back({{IpAddress::v4(address.data()), 32}});
    }
  }
  world.apply(0, update);
  const auto snapshot = world.device(0).snapshot();
  EXPECT_EQ(snapshot.peers.size(), 10'002U);
  EXPECT_EQ(snapshot.peers.back().allowed_ips.size(), 6U);
}

}  // namespace
}  // namespace hats::sim
