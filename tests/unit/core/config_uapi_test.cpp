// The text of wg's cross-platform socket (peers.md 4).
#include <gtest/gtest.h>

#include <cerrno>

#include "core/config/uapi.hpp"

namespace hats::config {
namespace {

const std::string kKey = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";
const std::string kZeros(64, '0');

uint32_t zone_index(std::string_view zone) {
  return zone == "eth0" ? 7 : 0;
}
std::string zone_name(uint32_t index) {
  return index == 7 ? "eth0" : "";
}

UapiSet parse(const std::string& body) {
  return parse_uapi_set(body, zone_index);
}

TEST(UapiTest, ASetIsReadInOrder) {
  const UapiSet set =
      parse("private_key=" + kKey + "\nlisten_port=5\nfwmark=9\nreplace_peers=true\npublic_key=" + kKey +
            "\npreshared_key=" + kZeros +
            "\nendpoint=[fe80::1%eth0]:99\npersistent_keepalive_interval=0\n"
            "replace_allowed_ips=true\nallowed_ip=10.1.2.3/8\nallowed_ip=-::/0\npublic_key=" +
            kZeros + "\nupdate_only=true\nremove=true\nprotocol_version=1\n");
  ASSERT_EQ(set.error, 0);
  EXPECT_EQ(crypto::key_to_hex(set.update.private_key->view()), kKey);
  EXPECT_EQ(set.update.listen_port, 5);
  EXPECT_EQ(set.update.fwmark, 9u);
  EXPECT_TRUE(set.update.replace_peers);
  ASSERT_EQ(set.update.peers.size(), 2u);
  const wg::PeerUpdate& peer = set.update.peers[0];
  EXPECT_TRUE(peer.preshared_key->is_zero());
  EXPECT_EQ(peer.endpoint->scope_id, 7u);
  EXPECT_EQ(peer.persistent_keepalive_s, 0);
  EXPECT_TRUE(peer.replace_allowed_ips);
  ASSERT_EQ(peer.allowed_ips.size(), 2u);
  EXPECT_EQ(peer.allowed_ips[0].prefix.text(), "10.0.0.0/8");
  EXPECT_TRUE(peer.allowed_ips[1].remove);
  EXPECT_TRUE(set.update.peers[1].update_only && set.update.peers[1].remove);
}

TEST(UapiTest, WhatCameBeforeAnErrorTakesEffect) {
  const UapiSet set = parse("listen_port=5\nfwmark=x\nreplace_peers=true\n");
  EXPECT_EQ(set.error, EINVAL);
  EXPECT_EQ(set.update.listen_port, 5);
  EXPECT_FALSE(set.update.replace_peers);
}

TEST(UapiTest, EachBadLineHasItsErrno) {
  const std::string peer = "public_key=" + kKey + "\n";
  const struct {
    std::string body;
    int error;
  } cases[] = {
      {"nonsense\n", EPROTO},
      {"\n", EPROTO},
      {"colour=red\n", EINVAL},
      {"private_key=ab\n", EINVAL},
      {"private_key=" + kKey + "00\n", EINVAL},
      {"listen_port=65536\n", EINVAL},
      {"listen_port=-1\n", EINVAL},
      {"listen_port=+1\n", EINVAL},
      {"listen_port=\n", EINVAL},
      {"fwmark=0x1\n", EINVAL},
      {"fwmark=4294967296\n", EINVAL},
      {"replace_peers=false\n", EINVAL},
      {"replace_peers=1\n", EINVAL},
      {"remove=true\n", EINVAL},
      {"allowed_ip=::/0\n", EINVAL},
      {peer + "listen_port=5\n", EINVAL},
      {peer + "allowed_ip=10.0.0.0\n", EINVAL},
      {peer + "allowed_ip=10.0.0.0/33\n", EINVAL},
      {peer + "allowed_ip=--::/0\n", EINVAL},
      {peer + "endpoint=name.example:5\n", EINVAL},
      {peer + "endpoint=192.0.2.1\n", EINVAL},
      {peer + "endpoint=2001:db8::1:5\n", EINVAL},
      {peer + "endpoint=[192.0.2.1]:5\n", EINVAL},
      {peer + "endpoint=[fe80::1%none]:5\n", EINVAL},
      {peer + "protocol_version=2\n", EINVAL},
      {peer + "persistent_keepalive_interval=off\n", EINVAL},
      {peer + "preshared_key=\n", EINVAL},
      {"fwmark=0\n", 0},
      {"", 0},
      {peer + "endpoint=192.0.2.1:5", 0},
  };
  for (const auto& c : cases) EXPECT_EQ(parse(c.body).error, c.error) << c.body;
}

TEST(UapiTest, AGetIsInTheOrderThatWgReads) {
  wg::DeviceSnapshot device;
  EXPECT_EQ(format_uapi_get(device, zone_name), "listen_port=0\n");
  device.private_key.emplace();
  ASSERT_TRUE(crypto::key_from_hex(kKey, device.private_key->span()));
  device.listen_port = 51820;
  device.fwmark = 3;
  wg::PeerSnapshot& peer = device.peers.emplace_back();
  peer.endpoint = Endpoint{*IpAddress::parse("fe80::2"), 5, 7};
  peer.last_handshake_s = 11;
  peer.last_handshake_ns = 12;
  peer.tx_bytes = 13;
  peer.rx_bytes = 14;
  peer.persistent_keepalive_s = 15;
  peer.allowed_ips = {*Prefix::parse("10.0.0.0/8"), *Prefix::parse("::/0")};
  EXPECT_EQ(format_uapi_get(device, zone_name), "private_key=" + kKey +
                                                    "\nlisten_port=51820\nfwmark=3\npublic_key=" + kZeros +
                                                    "\npreshared_key=" + kZeros +
                                                    "\nprotocol_version=1\nendpoint=[fe80::2%eth0]:5\nlast_"
                                                    "handshake_time_sec=11\nlast_handshake_time_nsec=12\n"
                                                    "tx_bytes=13\nrx_bytes=14\npersistent_keepalive_interval="
                                                    "15\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\n");
}

}  // namespace
}  // namespace hats::config
