// A decapsulator written straight from the RFCs, one packet at a time with nothing of the product's own,
// against the node, over random packets and random damage.
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using packet::testing::get16;
using packet::testing::get32;
using packet::testing::naive_sum;
using packet::testing::put16;
using packet::testing::random_bytes;
using testing::Bytes;
using testing::Gre;
using testing::kOurs;
using testing::kTheirs;
using testing::OneTunnel;
using testing::OuterV4;

struct Expected {
  std::optional<DropReason> drop;
  std::optional<StrayReason> stray;
  Bytes inner;  // delivered, if neither
};

class Reference {
 public:
  explicit Reference(const TunnelConfig& config) : config_(config) {}

  Expected take(const Bytes& received) {
    const auto stray = [](StrayReason reason) { return Expected{{}, reason, {}}; };
    if (received.size() < 20 || received[0] / 16 != 4) return stray(StrayReason::malformed);
    const size_t header = received[0] % 16 * 4u, total = get16(received, 2);
    if (header < 20 || total < header || total > received.size()) return stray(StrayReason::malformed);
    if (received[9] != protocol_of(config_.kind)) return stray(StrayReason::malformed);
    if ((get16(received, 6) & 0x3fff) != 0) return stray(StrayReason::malformed);
    const bool ends = same(received, 12, kTheirs) && same(received, 16, kOurs);
    const Bytes payload(received.begin() + static_cast<long>(header),
                        received.begin() + static_cast<long>(total));
    if (config_.kind == Kind::gre) return take_gre(payload, ends, received[1]);
    if (!ends) return stray(StrayReason::no_tunnel);
    return take_inner(payload, config_.kind == Kind::ipip, received[1]);
  }

 private:
  static bool same(const Bytes& bytes, size_t where, const IpAddress& address) {
    return std::equal(address.bytes.begin(), address.bytes.begin() + 4,
                      bytes.begin() + static_cast<long>(where));
  }

  Expected take_gre(const Bytes& gre, bool ends, uint8_t tos) {
    const auto malformed = [&] {
      return ends ? Expected{DropReason::rx_malformed, {}, {}} : Expected{{}, StrayReason::malformed, {}};
    };
    if (gre.size() < 4) return malformed();
    const unsigned flags = get16(gre, 0);
    if ((flags & 0x4c07) != 0) return malformed();
    size_t at = 4;
    std::optional<uint32_t> key, sequence;
    const auto field = [&](unsigned flag) -> std::optional<size_t> {
      if ((flags & flag) == 0) return std::nullopt;
      at += 4;
      return at - 4;
    };
    const auto checksum_at = field(0x8000), key_at = field(0x2000), sequence_at = field(0x1000);
    if (gre.size() < at) return malformed();
    if (key_at) key = get32(gre, *key_at);
    if (sequence_at) sequence = get32(gre, *sequence_at);
    if (!ends) return {{}, StrayReason::no_tunnel, {}};
    if (key != config_.in_key) return {{}, StrayReason::wrong_key, {}};

    const unsigned protocol = get16(gre, 2);
    const bool unfinished = checksum_at && get16(gre, *checksum_at) == 0;
    if (checksum_at && !unfinished && naive_sum(gre.data(), gre.size()) != 0xffff)
      return {DropReason::rx_checksum_bad, {}, {}};
    if (protocol == 0) return {DropReason::rx_unknown_protocol, {}, {}};
    if (config_.in_checksum && !checksum_at) return {DropReason::rx_checksum_missing, {}, {}};
    if (protocol != 0x0800 && protocol != 0x86dd) return {DropReason::rx_unknown_protocol, {}, {}};
    if (config_.in_sequence) {
      if (!sequence) return {DropReason::rx_sequence_missing, {}, {}};
      // Behind, or the same: less than half the circle back from the last one taken.
      if (last_ && *last_ - *sequence < 0x8000'0000) return {DropReason::rx_sequence_old, {}, {}};
    }
    const Bytes inner(gre.begin() + static_cast<long>(at), gre.end());
    Expected out = take_inner(inner, protocol == 0x0800, tos);
    if (config_.in_sequence && !out.drop) last_ = sequence;
    return out;
  }

  Expected take_inner(Bytes inner, bool v4, uint8_t tos) const {
    const size_t least = v4 ? 20 : 40;
    if (inner.size() < least || inner[0] / 16 != (v4 ? 4 : 6))
      return {DropReason::rx_inner_malformed, {}, {}};
    const size_t length = v4 ? get16(inner, 2) : 40 + get16(inner, 4);
    if (length < least || length > inner.size()) return {DropReason::rx_inner_malformed, {}, {}};
    if (v4 && (inner[0] % 16 < 5 || inner[0] % 16 * 4u > length))
      return {DropReason::rx_inner_malformed, {}, {}};
    inner.resize(length);
    if (config_.kind == Kind::sit && bad_source(inner)) return {DropReason::rx_inner_source, {}, {}};
    if (v4 && same(inner, 16, kTheirs)) return {DropReason::rx_loop, {}, {}};
    return mark(std::move(inner), v4, tos % 4);
  }

  static bool bad_source(const Bytes& inner) {
    if (inner[8] == 0xff) return true;
    for (size_t i = 8; i < 18; ++i) {
      if (inner[i] != 0) return false;
    }
    if (inner[18] == 0xff && inner[19] == 0xff) return true;
    return inner[18] == 0 && inner[19] == 0 && get32(inner, 20) != 0;
  }

  static Expected mark(Bytes inner, bool v4, unsigned outer) {
    const unsigned ds = v4 ? inner[1] : get16(inner, 0) / 16 % 256;
    unsigned ecn = ds % 4;
    if (outer == 3 && ecn == 0) return {DropReason::rx_ecn, {}, {}};
    if (outer == 3) ecn = 3;
    if (outer == 1 && ecn == 2) ecn = 1;
    if (v4) {
      // The header's checksum, right or wrong, changes by as much as what it covers (RFC 1624).
      const unsigned before = get16(inner, 0);
      inner[1] = static_cast<uint8_t>(ds / 4 * 4 + ecn);
      if (get16(inner, 0) != before) {
        unsigned sum = (get16(inner, 10) ^ 0xffff) + (before ^ 0xffff) + get16(inner, 0);
        while (sum > 0xffff) sum = sum % 0x10000 + sum / 0x10000;
        put16(inner, 10, sum ^ 0xffff);
      }
    } else {
      put16(inner, 0, (get16(inner, 0) & 0xffcf) | ecn << 4);
    }
    return {{}, {}, std::move(inner)};
  }

  TunnelConfig config_;
  std::optional<uint32_t> last_;
};

TunnelConfig random_config(std::mt19937& rng) {
  TunnelConfig config = testing::of_kind(static_cast<Kind>(rng() % 3));
  if (config.kind != Kind::gre) return config;
  if (rng() % 2 == 0) config.in_key = rng() % 3;
  config.in_checksum = rng() % 2;
  config.in_sequence = rng() % 2;
  return config;
}

Bytes random_inner(std::mt19937& rng) {
  const Bytes payload = random_bytes(rng, rng() % 60);
  Bytes inner = packet::testing::build(packet::testing::random_shape(rng), payload);
  if (inner[0] / 16 == 4 && rng() % 10 == 0) std::copy_n(kTheirs.bytes.begin(), 4, inner.begin() + 16);
  if (inner[0] / 16 == 6 && rng() % 4 == 0) {
    std::fill_n(inner.begin() + 8, 12, uint8_t{0});
    if (rng() % 3 == 0) inner[8 + rng() % 12] = 0xff;
    if (rng() % 3 == 0) std::fill_n(inner.begin() + 18, 2, uint8_t{0xff});
    if (rng() % 3 == 0) std::fill_n(inner.begin() + 20, 4, uint8_t{0});
  }
  if (rng() % 4 == 0) inner = testing::joined(inner, random_bytes(rng, rng() % 8));
  return inner;
}

Bytes random_received(std::mt19937& rng, const TunnelConfig& config, uint32_t& sequence) {
  const Bytes inner = random_inner(rng);
  OuterV4 outer{.protocol = protocol_of(config.kind), .tos = static_cast<uint8_t>(rng())};
  if (rng() % 10 == 0) outer.options = rng() % 11 * 4;
  Bytes out;
  if (config.kind == Kind::gre) {
    Gre gre{.protocol = inner[0] / 16 == 4 ? 0x0800u : 0x86ddu};
    gre.checksum = rng() % 8 == 0 ? rng() % 2 : config.in_checksum;
    if (config.in_key) gre.key = config.in_key;
    if (rng() % 10 == 0) gre.key = rng() % 3;
    if (rng() % 10 != 0) gre.sequence = sequence += rng() % 4 == 0 ? rng() % 5 - 2 : 1;
    if (rng() % 30 == 0) sequence = static_cast<uint32_t>(rng());
    out = outer.packet(gre.packet(inner));
  } else {
    out = outer.packet(inner);
  }
  // Damage: of a bit, of a byte among the headers, or of the length.
  const unsigned damage = rng() % 8;
  if (damage == 0) out[rng() % out.size()] ^= static_cast<uint8_t>(1u << rng() % 8);
  if (damage == 1) out[rng() % std::min<size_t>(60, out.size())] = static_cast<uint8_t>(rng());
  if (damage == 2) out.resize(rng() % (out.size() + 1));
  return out;
}

TEST(EncapInboundRandomTest, TheNodeDoesAsTheRfcsSay) {
  std::mt19937 rng(20);
  std::array<uint64_t, kDropReasonTexts.size()> seen{};
  uint64_t delivered = 0;
  for (int node = 0; node < 600; ++node) {
    const TunnelConfig config = random_config(rng);
    OneTunnel t(config);
    Reference reference(config);
    auto sequence = static_cast<uint32_t>(rng());
    for (int i = 0; i < 60; ++i) {
      const Bytes received = random_received(rng, config, sequence);
      if (received.size() >= 4 && get16(received, 2) == 0) continue;  // its own rule, tested apart
      const Expected expected = reference.take(received);
      const auto drops = t.status().counters.drops;
      const auto strays = t.node.strays();
      Received like;
      like.kind = config.kind;
      const auto out = t.receive({received}, like);
      auto expected_drops = drops;
      auto expected_strays = strays;
      if (expected.drop) ++expected_drops[static_cast<size_t>(*expected.drop)];
      if (expected.stray) ++expected_strays[static_cast<size_t>(*expected.stray)];
      ASSERT_EQ(t.status().counters.drops, expected_drops) << "node " << node << " packet " << i;
      ASSERT_EQ(t.node.strays(), expected_strays) << "node " << node << " packet " << i;
      ASSERT_EQ(out.size(), expected.drop || expected.stray ? 0u : 1u);
      if (!out.empty()) {
        ASSERT_EQ(out[0].bytes, expected.inner) << "node " << node << " packet " << i;
      }
      delivered += out.size();
    }
    for (size_t i = 0; i < seen.size(); ++i) seen[i] += t.status().counters.drops[i];
  }
  // The generator reaches what it is meant to reach.
  EXPECT_GT(delivered, 10'000u);
  for (const DropReason reason :
       {DropReason::rx_malformed, DropReason::rx_unknown_protocol, DropReason::rx_checksum_bad,
        DropReason::rx_checksum_missing, DropReason::rx_sequence_missing, DropReason::rx_sequence_old,
        DropReason::rx_inner_malformed, DropReason::rx_inner_source, DropReason::rx_loop,
        DropReason::rx_ecn}) {
    EXPECT_GT(seen[static_cast<size_t>(reason)], 10u) << kDropReasonNames[static_cast<size_t>(reason)];
  }
}

}  // namespace
}  // namespace hats::encap
