// A node with one tunnel that is given outer packets, for the tests of core/encap.
#pragma once

#include <gtest/gtest.h>

#include "core/encap/node.hpp"
#include "tests/unit/core/encap_outer.hpp"

namespace hats::encap::testing {

/// An inner packet between hosts behind the tunnel.
inline Bytes inner_v4(size_t payload = 100) {
  return packet::testing::build(Shape{}, Bytes(payload, 0x5a));
}
inline Bytes inner_v6(size_t payload = 100) {
  Shape s;
  s.v4 = false;
  return packet::testing::build(s, Bytes(payload, 0x5a));
}

inline Now at(Duration since_boot) {
  return {BootTime{} + since_boot, {}};
}

struct Delivered {
  Bytes bytes;
  InnerPacket packet;
};

/// A node with one tunnel from kOurs to kTheirs (or kOurs6 to kTheirs6) that is up.
class OneTunnel {
 public:
  explicit OneTunnel(TunnelConfig config = {}, uint32_t mtu = 1'476) {
    if (!config.remote.is_set()) config.remote = kTheirs;
    const bool v4 = config.remote.family == Family::v4;
    if (!config.local.is_set()) config.local = v4 ? kOurs : kOurs6;
    add(config, mtu);
  }
  /// For a tunnel whose local address is any.
  struct AsItIs {};
  OneTunnel(AsItIs, const TunnelConfig& config) { add(config, 1'476); }

  /// All packets of one batch.
  std::vector<Delivered> receive(std::vector<Bytes> packets, Received like = {}) {
    std::vector<Received> received;
    for (Bytes& packet : packets) {
      like.bytes = packet;
      received.push_back(like);
    }
    InboundBatch batch;
    std::vector<InnerPacket> inner;
    node.plan_inbound(now, received, batch);
    Node::work(batch);
    node.commit_inbound(now, batch, inner);
    std::vector<Delivered> out;
    for (const InnerPacket& p : inner) out.push_back({{p.data, p.data + p.size}, p});
    return out;
  }
  std::vector<Delivered> gre(const Gre& gre, const Bytes& inner, const OuterV4& outer = {}) {
    return receive({outer.packet(gre.packet(inner))});
  }
  std::vector<Delivered> sit(const Bytes& inner, OuterV4 outer = {}) {
    outer.protocol = 41;
    return receive({outer.packet(inner)}, {.kind = Kind::sit});
  }
  std::vector<Delivered> ipip(const Bytes& inner, OuterV4 outer = {}) {
    outer.protocol = 4;
    return receive({outer.packet(inner)}, {.kind = Kind::ipip});
  }
  std::vector<Delivered> gre6(const Gre& gre, const Bytes& inner, uint8_t ds = 0) {
    return receive(
        {gre.packet(inner)},
        {.kind = Kind::gre, .from = kTheirs6, .to = kOurs6, .ds = ds, .hop_limit = 60, .family = Family::v6});
  }

  [[nodiscard]] TunnelStatus status() const { return node.status(now, tunnel); }
  [[nodiscard]] uint64_t drops(DropReason reason) const {
    return status().counters.drops[static_cast<size_t>(reason)];
  }
  [[nodiscard]] uint64_t all_drops() const {
    uint64_t sum = 0;
    for (const uint64_t n : status().counters.drops) sum += n;
    return sum;
  }
  [[nodiscard]] uint64_t strays(StrayReason reason) const {
    return node.strays()[static_cast<size_t>(reason)];
  }

  Node node;
  TunnelId tunnel = kNoTunnel;
  Now now = at(seconds(1'000));

 private:
  void add(const TunnelConfig& config, uint32_t mtu) {
    const auto added = node.add(config, mtu);
    EXPECT_TRUE(added);
    tunnel = added.value_or(kNoTunnel);
    node.set_up(now, tunnel, true);
  }
};

inline TunnelConfig of_kind(Kind kind) {
  TunnelConfig config;
  config.kind = kind;
  return config;
}
inline TunnelConfig over_v6() {
  TunnelConfig config;
  config.local = kOurs6;
  config.remote = kTheirs6;
  return config;
}

}  // namespace hats::encap::testing
