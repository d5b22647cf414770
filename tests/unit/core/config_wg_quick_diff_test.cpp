// What `reload` does between two files: applied to a real device, it must end where the new file alone would.
#include <gtest/gtest.h>

#include "core/config/wg_quick_diff.hpp"
#include "tests/support/seeded_rng.hpp"
#include "tests/unit/core/config_device_state.hpp"
#include "tests/unit/core/config_support.hpp"

namespace hats::config {
namespace {

using namespace test;

const std::string kInterface =
    "[Interface]\nPrivateKey = " + kPrivate + "\nListenPort = 5\nAddress = 10.0.0.1/24\nTable = off\n";

TEST(WgQuickDiffTest, TheSameFileChangesNothing) {
  const ConfigChanges changes = diff(accept(kGuide), accept(kGuide));
  EXPECT_FALSE(changes.device.private_key || changes.device.listen_port || changes.device.fwmark);
  EXPECT_FALSE(changes.device.replace_peers);
  EXPECT_TRUE(changes.device.peers.empty());
  EXPECT_TRUE(changes.names.empty() && changes.listen_service.empty());
  EXPECT_TRUE(changes.host.is_empty());
}

TEST(WgQuickDiffTest, UnchangedPeersAreNotTouchedHoweverTheyAreWritten) {
  const std::string before = peer_with("AllowedIPs = 10.0.0.0/8, ::/0\nPersistentKeepalive = off");
  const std::string after = "# moved\n" + peer_with("AllowedIPs = ::/0\nAllowedIPs = 10.1.2.3/8") +
                            peer_with("Endpoint = 192.0.2.9:9", kOther);
  const ConfigChanges changes = diff(accept(kInterface + before), accept(kInterface + after));
  ASSERT_EQ(changes.device.peers.size(), 1u);
  EXPECT_EQ(changes.device.peers[0].public_key, public_key(kOther));
  EXPECT_EQ(changes.device.peers[0].endpoint->text(), "192.0.2.9:9");
}

TEST(WgQuickDiffTest, OnlyWhatChangedIsInThePeersUpdate) {
  const ConfigChanges changes = diff(accept(peer_with("Endpoint = 192.0.2.1:1\nAllowedIPs = ::/0")),
                                     accept(peer_with("Endpoint = 192.0.2.1:2\nAllowedIPs = ::/0")));
  ASSERT_EQ(changes.device.peers.size(), 1u);
  const wg::PeerUpdate& update = changes.device.peers[0];
  EXPECT_EQ(update.endpoint->port, 2);
  EXPECT_FALSE(update.replace_allowed_ips || update.preshared_key || update.persistent_keepalive_s ||
               update.remove);
}

TEST(WgQuickDiffTest, WhatIsGoneGoesBackToItsDefaultAsSyncconfDoes) {
  const InterfaceConfig before =
      accept(kInterface + "FwMark = 7\nMTU = 1400\nDNS = 1.1.1.1\nPostDown = true\n" +
             peer_with("PresharedKey = " + kOther + "\nPersistentKeepalive = 25\nEndpoint = 192.0.2.1:1") +
             peer_with("", kOther));
  const ConfigChanges changes = diff(before, accept(peer_with("")));
  EXPECT_TRUE(changes.device.private_key->is_zero());
  EXPECT_EQ(changes.device.listen_port, 0);
  EXPECT_EQ(changes.device.fwmark, 0u);
  ASSERT_EQ(changes.device.peers.size(), 2u);
  EXPECT_TRUE(changes.device.peers[0].remove);
  EXPECT_EQ(changes.device.peers[0].public_key, public_key(kOther));
  EXPECT_TRUE(changes.device.peers[1].preshared_key->is_zero());
  EXPECT_EQ(changes.device.peers[1].persistent_keepalive_s, 0);
  EXPECT_FALSE(changes.device.peers[1].endpoint);
  EXPECT_EQ(changes.host.addresses_removed.at(0).text(), "10.0.0.1/24");
  EXPECT_TRUE(changes.host.mtu_changed && changes.host.dns_changed && changes.host.hooks_changed);
}

TEST(WgQuickDiffTest, ANameThatIsNewIsToBeLookedUp) {
  const std::string named = peer_with("Endpoint = name.example:5");
  EXPECT_TRUE(diff(accept(named), accept(named)).names.empty());
  const ConfigChanges changes = diff(accept(peer_with("Endpoint = 192.0.2.1:5")), accept(named));
  EXPECT_TRUE(changes.device.peers.empty());
  ASSERT_EQ(changes.names.size(), 1u);
  EXPECT_EQ(changes.names[0].public_key, public_key(kPublic));
  EXPECT_EQ(changes.names[0].endpoint.host, "name.example");
  EXPECT_EQ(diff(accept(""), accept("[Interface]\nListenPort = ntp\n")).listen_service, "ntp");
}

TEST(WgQuickDiffTest, RoutesFollowAllowedIpsAndTable) {
  const auto texts = [](const std::vector<Prefix>& prefixes) {
    std::vector<std::string> out;
    for (const Prefix& prefix : prefixes) out.push_back(prefix.text());
    return out;
  };
  using Texts = std::vector<std::string>;
  const std::string one = peer_with("AllowedIPs = 10.0.0.0/8, fd00::/8");
  const std::string two = peer_with("AllowedIPs = 10.0.0.0/8, 10.1.0.0/16");
  const HostChanges same_table = diff(accept(one), accept(two)).host;
  EXPECT_EQ(texts(same_table.routes_added), Texts{"10.1.0.0/16"});
  EXPECT_EQ(texts(same_table.routes_removed), Texts{"fd00::/8"});
  EXPECT_FALSE(same_table.routing_changed);
  const HostChanges off = diff(accept(one), accept("[Interface]\nTable = off\n" + one)).host;
  EXPECT_TRUE(off.routing_changed && off.routes_added.empty());
  EXPECT_EQ(off.routes_removed.size(), 2u);
  const HostChanges moved =
      diff(accept("[Interface]\nTable = 5\n" + one), accept("[Interface]\nTable = 6\n" + one)).host;
  EXPECT_EQ(moved.routes_added.size(), 2u);
  EXPECT_EQ(moved.routes_removed.size(), 2u);
}

// ---- Against a real device: old file, then the difference, is the new file ----

std::string random_file(hats::test::SeededRng& rng, const std::vector<std::string>& keys) {
  std::string text = "[Interface]\n";
  if (!rng.one_in(4)) text += "PrivateKey = " + keys[rng.below(2)] + "\n";
  const uint64_t peers = rng.below(6);
  for (uint64_t i = 0; i < peers; ++i) {
    text += "[Peer]\nPublicKey = " + keys[2 + rng.below(keys.size() - 2)] + "\n";
    if (rng.one_in(2)) text += "PresharedKey = " + keys[rng.below(3)] + "\n";
    text += "Endpoint = 192.0.2.1:" + std::to_string(1 + rng.below(3)) + "\n";
    if (rng.one_in(2)) text += "PersistentKeepalive = " + std::to_string(rng.below(3)) + "\n";
    for (uint64_t n = rng.below(5); n > 0; --n) {
      const char* sign = rng.one_in(6) ? "+" : rng.one_in(6) ? "-" : "";
      text += std::string("AllowedIPs = ") + sign + "10." + std::to_string(rng.below(4)) + ".0.0/" +
              std::to_string(8 * (1 + rng.below(2))) + "\n";
    }
  }
  return text;
}

TEST(WgQuickDiffTest, TheDifferenceAppliedToTheOldDeviceIsTheNewOne) {
  const uint64_t seed = hats::test::run_seed();
  HATS_TRACE_SEED(seed);
  hats::test::SeededRng rng(seed);
  std::vector<std::string> keys;
  for (int i = 0; i < 7; ++i) {
    std::array<uint8_t, 32> bytes{};
    rng.fill(bytes);
    bytes[31] &= 0x7f;
    keys.push_back(crypto::key_to_base64(bytes));
  }
  for (int round = 0; round < 2000; ++round) {
    const std::string old_text = random_file(rng, keys), new_text = random_file(rng, keys);
    const InterfaceConfig old_config = accept(old_text), new_config = accept(new_text);
    wg::Device device(rng, 1420), fresh(rng, 1420);
    device.apply(at(1), old_config.device_update());
    device.apply(at(2), diff(old_config, new_config).device);
    fresh.apply(at(1), new_config.device_update());
    ASSERT_EQ(state_of(device), state_of(fresh)) << "old:\n" << old_text << "new:\n" << new_text;
    ASSERT_TRUE(diff(new_config, new_config).device.peers.empty());
  }
}

}  // namespace
}  // namespace hats::config
