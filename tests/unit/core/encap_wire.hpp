// Outer packets for the tests of core/encap, written byte by byte without the product's own code, and a node
// with one tunnel that is given them.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "core/encap/node.hpp"
#include "tests/unit/core/packet_builder.hpp"

namespace hats::encap::testing {

using packet::testing::Bytes;
using packet::testing::Shape;

inline const IpAddress kOurs = *IpAddress::parse("192.0.2.1");
inline const IpAddress kTheirs = *IpAddress::parse("198.51.100.2");
inline const IpAddress kOurs6 = *IpAddress::parse("2001:db8::1");
inline const IpAddress kTheirs6 = *IpAddress::parse("2001:db8::2");

inline Bytes joined(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A GRE header and what follows (RFC 2784 2.1, RFC 2890 2).
struct Gre {
  unsigned protocol = 0x0800;
  bool checksum = false;
  std::optional<uint32_t> key{}, sequence{};
  unsigned more_flags = 0;

  [[nodiscard]] Bytes packet(const Bytes& inner) const {
    Bytes b(4, 0);
    unsigned flags = more_flags;
    const auto add = [&](unsigned flag, uint32_t value) {
      flags |= flag;
      b.resize(b.size() + 4);
      packet::testing::put32(b, b.size() - 4, value);
    };
    if (checksum) add(0x8000, 0);
    if (key) add(0x2000, *key);
    if (sequence) add(0x1000, *sequence);
    packet::testing::put16(b, 0, flags);
    packet::testing::put16(b, 2, protocol);
    b = joined(b, inner);
    if (checksum) packet::testing::put16(b, 4, packet::testing::naive_sum(b.data(), b.size()) ^ 0xffff);
    return b;
  }
};

struct OuterV4 {
  unsigned protocol = 47;
  IpAddress from = kTheirs, to = kOurs;
  uint8_t tos = 0;
  size_t options = 0;  // bytes, a multiple of 4

  [[nodiscard]] Bytes packet(const Bytes& payload) const {
    Bytes b(20 + options, 1);
    b[0] = static_cast<uint8_t>(0x45 + options / 4);
    b[1] = tos;
    packet::testing::put16(b, 2, static_cast<unsigned>(b.size() + payload.size()));
    packet::testing::put32(b, 4, 0x12344000);
    b[8] = 60;
    b[9] = static_cast<uint8_t>(protocol);
    packet::testing::put16(b, 10, 0);
    std::copy_n(from.bytes.begin(), 4, b.begin() + 12);
    std::copy_n(to.bytes.begin(), 4, b.begin() + 16);
    packet::testing::put16(b, 10, packet::testing::naive_sum(b.data(), b.size()) ^ 0xffff);
    return joined(b, payload);
  }
};

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
