// A route to the endpoint that leads into the tunnel itself must not make packets grow for ever.
#include <gtest/gtest.h>

#include "tests/sim/world.hpp"

namespace hats::sim {
namespace {

// The outer IPv4 packet of a datagram, as the host would route it back into the tunnel.
Bytes outer_packet(const Datagram& datagram) {
  Bytes out(28);
  out[0] = 0x45;
  store_be16(&out[2], static_cast<uint16_t>(28 + datagram.bytes.size()));
  out[8] = 64;
  out[9] = 17;
  std::copy_n(datagram.from.address.bytes.begin(), 4, &out[12]);
  std::copy_n(datagram.to.address.bytes.begin(), 4, &out[16]);
  store_be16(&out[20], datagram.from.port);
  store_be16(&out[22], datagram.to.port);
  store_be16(&out[24], static_cast<uint16_t>(8 + datagram.bytes.size()));
  out.insert(out.end(), datagram.bytes.begin(), datagram.bytes.end());
  return out;
}

TEST(LoopTest, OurOwnDatagramThatComesBackThroughTheTunnelIsDroppedAndOthersToThatHostAreNot) {
  World world(1);
  world.connect_all();
  wg::PeerUpdate everything = world.peer_update(1);
  everything.allowed_ips.push_back({*Prefix::parse("0.0.0.0/0"), false});
  wg::DeviceUpdate update;
  update.peers.push_back(std::move(everything));
  world.apply(0, update);
  world.device(0).set_listen_port(world.node(0).address.port);
  world.send(0, 1);
  world.advance(seconds(1));
  const size_t before = world.count(0, Kind::data);
  const Datagram sent = world.last(0, Kind::data);
  Bytes looped = outer_packet(sent);
  world.send(0, {looped});
  EXPECT_EQ(world.count(0, Kind::data), before);
  EXPECT_EQ(world.device(0).drops()[wg::DropReason::tx_loop], 1U);
  // Another program's datagram to the same host, a tunnel inside the tunnel say, passes.
  store_be16(&looped[20], static_cast<uint16_t>(sent.from.port + 1));
  world.send(0, {looped});
  EXPECT_EQ(world.count(0, Kind::data), before + 1);
}

}  // namespace
}  // namespace hats::sim
