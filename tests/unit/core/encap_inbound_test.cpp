// Outer packets to inner packets, rule by rule (RFC 2784, 2890, 4213, 2003, 2473; formats.md 5.1 to 5.4).
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using packet::testing::put16;
using testing::Bytes;
using testing::Gre;
using testing::inner_v4;
using testing::inner_v6;
using testing::joined;
using testing::kOurs6;
using testing::kTheirs;
using testing::kTheirs6;
using testing::of_kind;
using testing::OneTunnel;
using testing::OuterV4;
using testing::over_v6;
using testing::Shape;

// One packet that is dropped for this reason, and nothing else happens.
void expect_drop(OneTunnel& t, DropReason reason, const std::vector<testing::Delivered>& delivered) {
  EXPECT_TRUE(delivered.empty());
  EXPECT_EQ(t.drops(reason), 1u) << kDropReasonNames[static_cast<size_t>(reason)];
  EXPECT_EQ(t.all_drops(), 1u);
  EXPECT_EQ(t.status().last_drop, reason);
  EXPECT_EQ(t.status().last_drop_at, t.now.boot);
  EXPECT_EQ(t.status().counters.rx_packets, 0u);
}

TEST(EncapInboundTest, EveryKindDeliversWhatItCarriesByteForByte) {
  OneTunnel gre, sit(of_kind(Kind::sit)), ipip(of_kind(Kind::ipip)), six(over_v6());
  const Gre v4, v6{.protocol = 0x86dd};
  const auto expect = [](OneTunnel& t, const std::vector<testing::Delivered>& out, const Bytes& inner) {
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].bytes, inner);
    EXPECT_EQ(out[0].packet.tunnel, t.tunnel);
    EXPECT_EQ(out[0].packet.offload.kind, packet::Offload::Kind::none);
    EXPECT_EQ(t.all_drops(), 0u);
  };
  expect(gre, gre.gre(v4, inner_v4()), inner_v4());
  expect(gre, gre.gre(v6, inner_v6()), inner_v6());
  expect(sit, sit.sit(inner_v6()), inner_v6());
  expect(ipip, ipip.ipip(inner_v4()), inner_v4());
  expect(six, six.gre6(v4, inner_v4()), inner_v4());
  expect(six, six.gre6(v6, inner_v6()), inner_v6());
  EXPECT_EQ(gre.status().counters.rx_packets, 2u);
  EXPECT_EQ(gre.status().counters.rx_bytes, inner_v4().size() + inner_v6().size());
}

TEST(EncapInboundTest, TheTagComesBackAndOuterOptionsAreSkipped) {
  OneTunnel t;
  const auto out = t.receive({OuterV4{.options = 40}.packet(Gre{}.packet(inner_v4()))}, {.tag = 77});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, inner_v4());
  EXPECT_EQ(out[0].packet.tag, 77u);
}

TEST(EncapInboundTest, NothingIsTakenWhileTheInterfaceIsDown) {
  OneTunnel t;
  t.node.set_up(t.now, t.tunnel, false);
  expect_drop(t, DropReason::rx_down, t.gre({}, inner_v4()));
}

TEST(EncapInboundTest, ATunnelRemovedInTheMiddleOfABatchTakesNothing) {
  OneTunnel t;
  Bytes packet = OuterV4{}.packet(Gre{}.packet(inner_v4()));
  InboundBatch batch;
  std::vector<InnerPacket> out;
  Received received;
  received.bytes = packet;
  t.node.plan_inbound(t.now, std::span(&received, 1), batch);
  Node::work(batch);
  t.node.remove(t.tunnel);
  TunnelConfig other;
  other.remote = *IpAddress::parse("203.0.113.9");
  ASSERT_EQ(t.node.add(other, 1'476), t.tunnel);  // the number is in use again
  t.node.set_up(t.now, t.tunnel, true);
  t.node.commit_inbound(t.now, batch, out);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(t.strays(StrayReason::no_tunnel), 1u);
}

TEST(EncapInboundTest, InABatchEveryPacketFindsItsOwnTunnel) {
  OneTunnel t;
  TunnelConfig keyed = t.status().config, elsewhere = keyed;
  keyed.in_key = 5;
  elsewhere.remote = *IpAddress::parse("198.51.100.3");
  const TunnelId second = *t.node.add(keyed, 1'476), third = *t.node.add(elsewhere, 1'476);
  t.node.set_up(t.now, second, true);
  t.node.set_up(t.now, third, true);
  const Bytes one = OuterV4{}.packet(Gre{}.packet(inner_v4()));
  const Bytes two = OuterV4{}.packet(Gre{.key = 5}.packet(inner_v4()));
  const Bytes three = OuterV4{.from = elsewhere.remote}.packet(Gre{}.packet(inner_v4()));
  const Bytes stray = OuterV4{}.packet(Gre{.key = 6}.packet(inner_v4()));
  std::vector<TunnelId> found;
  for (const auto& out : t.receive({one, one, two, stray, stray, one, three, three, two, one})) {
    found.push_back(out.packet.tunnel);
  }
  EXPECT_EQ(found,
            (std::vector<TunnelId>{t.tunnel, t.tunnel, second, t.tunnel, third, third, second, t.tunnel}));
  EXPECT_EQ(t.strays(StrayReason::wrong_key), 2u);
}

// ---- strays ----

TEST(EncapInboundTest, StrangersAreCountedAndGetNothing) {
  OneTunnel t;
  EXPECT_TRUE(t.gre({}, inner_v4(), {.from = *IpAddress::parse("198.51.100.3")}).empty());
  EXPECT_TRUE(t.gre({}, inner_v4(), {.to = *IpAddress::parse("192.0.2.9")}).empty());
  EXPECT_EQ(t.strays(StrayReason::no_tunnel), 2u);
  EXPECT_TRUE(t.gre({.key = 1}, inner_v4()).empty());
  EXPECT_EQ(t.strays(StrayReason::wrong_key), 1u);
  EXPECT_EQ(t.all_drops(), 0u);
  ControlPacket control;
  EXPECT_FALSE(t.node.poll_packet(control));
}

TEST(EncapInboundTest, AnOuterPacketThatIsNoneIsCounted) {
  OneTunnel t;
  const Bytes good = OuterV4{}.packet(Gre{}.packet(inner_v4()));
  std::vector<Bytes> bad;
  for (size_t size = 0; size < good.size(); ++size)
    bad.emplace_back(good.begin(), good.begin() + static_cast<long>(size));
  const auto changed = [&](size_t where, uint8_t value) {
    bad.push_back(good);
    bad.back()[where] = value;
  };
  changed(0, 0x65);
  changed(0, 0x44);
  changed(9, 41);
  changed(6, 0x20);  // more fragments
  changed(7, 1);     // an offset
  EXPECT_TRUE(t.receive(bad).empty());
  EXPECT_EQ(t.strays(StrayReason::malformed), bad.size());
}

TEST(EncapInboundTest, ALengthOfZeroIsThatOfTheReceive) {
  OneTunnel t;
  Bytes packet = OuterV4{}.packet(Gre{}.packet(inner_v4()));
  put16(packet, 2, 0);
  EXPECT_EQ(t.receive({packet}).size(), 1u);
}

TEST(EncapInboundTest, BytesBehindTheOuterPacketAreNotPartOfIt) {
  OneTunnel t;
  Bytes packet = OuterV4{}.packet(Gre{.checksum = true}.packet(inner_v4()));
  packet.resize(packet.size() + 9, 0xee);
  EXPECT_EQ(t.receive({packet}).size(), 1u);
}

// ---- GRE header ----

TEST(EncapInboundTest, AGreHeaderThatIsNoneIsDropped) {
  for (const unsigned flags : {0x4000u, 0x0800u, 0x0400u, 0x0001u, 0x0007u}) {  // R, s, recursion, versions
    OneTunnel t;
    expect_drop(t, DropReason::rx_malformed, t.gre({.more_flags = flags}, inner_v4()));
  }
  OneTunnel t;
  expect_drop(t, DropReason::rx_malformed,
              t.receive({OuterV4{}.packet({0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0})}));
}

TEST(EncapInboundTest, ReservedFlagsAreIgnored) {
  for (const unsigned flags :
       {0x0200u, 0x0100u, 0x0080u, 0x0040u, 0x0020u, 0x0010u, 0x0008u}) {  // RFC 2784 2.3
    OneTunnel t;
    EXPECT_EQ(t.gre({.more_flags = flags}, inner_v4()).size(), 1u) << flags;
  }
}

TEST(EncapInboundTest, OtherProtocolTypesAreDropped) {
  for (const unsigned protocol : {0x6558u, 0x0806u, 0x8847u, 1u, 0u}) {
    OneTunnel t;
    expect_drop(t, DropReason::rx_unknown_protocol, t.gre({.protocol = protocol}, inner_v4()));
  }
}

TEST(EncapInboundTest, WccpIsTakenForIp) {
  OneTunnel t;
  const Gre wccp{.protocol = 0x883e};
  EXPECT_EQ(t.gre(wccp, inner_v4()).size(), 1u);
  const auto redirected = t.gre(wccp, joined({0x12, 0x34, 0x56, 0x78}, inner_v4()));
  ASSERT_EQ(redirected.size(), 1u);
  EXPECT_EQ(redirected[0].bytes, inner_v4());
}

TEST(EncapInboundTest, AKeyMustBeThereExactlyIfWeHaveOne) {
  TunnelConfig keyed;
  keyed.in_key = 0;
  OneTunnel t(keyed);
  EXPECT_EQ(t.gre({.key = 0}, inner_v4()).size(), 1u);
  EXPECT_TRUE(t.gre({.key = 5}, inner_v4()).empty());
  EXPECT_TRUE(t.gre({}, inner_v4()).empty());
  EXPECT_EQ(t.strays(StrayReason::wrong_key), 2u);
}

// ---- checksum (RFC 2784 2.2) ----

TEST(EncapInboundTest, AChecksumIsVerifiedWhetherOrNotItIsDemanded) {
  for (const bool demanded : {false, true}) {
    for (const size_t payload : {100u, 101u}) {
      TunnelConfig config;
      config.in_checksum = demanded;
      OneTunnel t(config);
      const Gre gre{.checksum = true};
      EXPECT_EQ(t.gre(gre, inner_v4(payload)).size(), 1u);
      for (const size_t where :
           {20u, 24u, 26u, 60u, static_cast<unsigned>(28 + inner_v4(payload).size() - 1)}) {
        Bytes bad = OuterV4{}.packet(gre.packet(inner_v4(payload)));
        bad[where] ^= where == 20 ? 0x01 : 0x10;  // of the flags only an ignored one
        EXPECT_TRUE(t.receive({bad}).empty()) << where;
      }
      EXPECT_EQ(t.drops(DropReason::rx_checksum_bad), 5u);
      EXPECT_EQ(t.all_drops(), 5u);
    }
  }
}

// A kernel on the same machine leaves it to a network card that there is none of, and writes zero.
TEST(EncapInboundTest, AChecksumOfZeroIsOneThatNoCardHasFinished) {
  for (const bool demanded : {false, true}) {
    TunnelConfig config;
    config.in_checksum = demanded;
    OneTunnel t(config);
    Bytes unfinished = OuterV4{}.packet(Gre{.checksum = true}.packet(inner_v4()));
    constexpr size_t kChecksumAt = 24;
    ASSERT_NE(unfinished[kChecksumAt] | unfinished[kChecksumAt + 1], 0);
    unfinished[kChecksumAt] = unfinished[kChecksumAt + 1] = 0;
    EXPECT_EQ(t.receive({unfinished}).size(), 1u);
    unfinished[kChecksumAt + 1] = 1;
    EXPECT_TRUE(t.receive({unfinished}).empty());
    EXPECT_EQ(t.drops(DropReason::rx_checksum_bad), 1u);
  }
}

TEST(EncapInboundTest, AMissingChecksumIsDroppedOnlyIfDemanded) {
  TunnelConfig config;
  config.in_checksum = true;
  OneTunnel t(config);
  expect_drop(t, DropReason::rx_checksum_missing, t.gre({}, inner_v4()));
}

// ---- sequence (RFC 2890 2.2) ----

class SequenceTest : public ::testing::Test {
 protected:
  SequenceTest() : t_(config()) {}
  static TunnelConfig config() {
    TunnelConfig config;
    config.in_sequence = true;
    return config;
  }
  bool taken(std::optional<uint32_t> sequence) {
    return t_.gre({.sequence = sequence}, inner_v4()).size() == 1;
  }
  OneTunnel t_;
};

TEST_F(SequenceTest, ItCountsFromZero) {
  for (uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(taken(i));
  EXPECT_EQ(t_.all_drops(), 0u);
}

TEST_F(SequenceTest, OneThatIsNotThereIsDropped) {
  expect_drop(t_, DropReason::rx_sequence_missing, t_.gre({}, inner_v4()));
}

TEST_F(SequenceTest, OlderOnesAreDropped) {
  EXPECT_TRUE(taken(10));
  EXPECT_FALSE(taken(10));
  EXPECT_FALSE(taken(9));
  EXPECT_TRUE(taken(15));
  EXPECT_FALSE(taken(11));
  EXPECT_TRUE(taken(16));
  EXPECT_EQ(t_.drops(DropReason::rx_sequence_old), 3u);
}

TEST_F(SequenceTest, ItWraps) {
  EXPECT_TRUE(taken(0x7fff'fff0));
  EXPECT_TRUE(taken(0xffff'fff0));  // 2^31 ahead
  EXPECT_TRUE(taken(0xffff'ffff));
  EXPECT_TRUE(taken(0));
  EXPECT_TRUE(taken(1));
  EXPECT_FALSE(taken(0xffff'fffe));
  EXPECT_FALSE(taken(0x8000'0003));  // more than 2^31 ahead is behind
  EXPECT_TRUE(taken(0x8000'0001));
}

TEST_F(SequenceTest, TheFirstMayBeAny) {
  EXPECT_TRUE(taken(0x9000'0000));
  EXPECT_FALSE(taken(0x8fff'ffff));
  EXPECT_TRUE(taken(0x9000'0001));
}

TEST_F(SequenceTest, ADroppedPacketTakesNoNumber) {
  EXPECT_TRUE(taken(1));
  EXPECT_TRUE(t_.gre({.sequence = 50}, Bytes(30, 0x11)).empty());
  EXPECT_TRUE(t_.gre({.protocol = 0x6558, .sequence = 50}, inner_v4()).empty());
  EXPECT_TRUE(taken(2));
}

TEST(EncapInboundTest, ASequenceNumberThatWeDoNotWantIsIgnored) {
  OneTunnel t;
  EXPECT_EQ(t.gre({.sequence = 9}, inner_v4()).size(), 1u);
  EXPECT_EQ(t.gre({.sequence = 3}, inner_v4()).size(), 1u);
}

// ---- inner packet ----

TEST(EncapInboundTest, AnInnerPacketThatIsNoneIsDropped) {
  const auto changed = [](Bytes packet, size_t where, uint8_t value) {
    packet[where] = value;
    return packet;
  };
  const Bytes v4 = inner_v4(), v6 = inner_v6();
  for (const Bytes& inner : {Bytes{}, Bytes(19, 0x45), changed(v4, 0, 0x55), changed(v4, 0, 0x44),
                             changed(v4, 3, 0xff), changed(v4, 3, 19), Bytes(v4.begin(), v4.end() - 1), v6}) {
    OneTunnel t;
    expect_drop(t, DropReason::rx_inner_malformed, t.gre({}, inner));
  }
  for (const Bytes& inner : {Bytes(39, 0x60), changed(v6, 5, 0xff), Bytes(v6.begin(), v6.end() - 1), v4}) {
    OneTunnel gre, sit(of_kind(Kind::sit));
    expect_drop(gre, DropReason::rx_inner_malformed, gre.gre({.protocol = 0x86dd}, inner));
    expect_drop(sit, DropReason::rx_inner_malformed, sit.sit(inner));
  }
  OneTunnel ipip(of_kind(Kind::ipip));
  expect_drop(ipip, DropReason::rx_inner_malformed, ipip.ipip(v6));
}

TEST(EncapInboundTest, WhatStandsBehindTheInnerPacketIsCutOff) {
  OneTunnel sit(of_kind(Kind::sit)), gre;
  const auto six = sit.sit(joined(inner_v6(), Bytes(33, 0xee)));
  ASSERT_EQ(six.size(), 1u);
  EXPECT_EQ(six[0].bytes, inner_v6());
  const auto four = gre.gre({}, joined(inner_v4(), Bytes(33, 0xee)));
  ASSERT_EQ(four.size(), 1u);
  EXPECT_EQ(four[0].bytes, inner_v4());
}

TEST(EncapInboundTest, ATunnelInATunnelIsOnlyAPacket) {
  OneTunnel t;
  Bytes inner = inner_v4();
  for (int depth = 0; depth < 20; ++depth) {
    inner = OuterV4{.from = *IpAddress::parse("10.0.0.1"), .to = *IpAddress::parse("10.0.0.2")}.packet(
        Gre{}.packet(inner));
  }
  const auto out = t.gre({}, inner);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, inner);
}

TEST(EncapInboundTest, SitTakesNoSourceThatIsNobodys) {
  const auto from = [](const char* source) {
    Bytes inner = inner_v6();
    const IpAddress address = *IpAddress::parse(source);
    std::copy_n(address.bytes.begin(), 16, inner.begin() + 8);
    return inner;
  };
  for (const char* source :
       {"ff02::1", "ff00::", "::1", "::192.0.2.7", "::ffff:192.0.2.7", "::ffff:0:0", "::2"}) {
    OneTunnel t(of_kind(Kind::sit));
    expect_drop(t, DropReason::rx_inner_source, t.sit(from(source)));
  }
  for (const char* source :
       {"::", "fe80::1", "2001:db8::1", "fe00::1", "::1:0:0", "0:1::", "0:0:0:1::ffff:1.2.3.4"}) {
    OneTunnel t(of_kind(Kind::sit));
    EXPECT_EQ(t.sit(from(source)).size(), 1u) << source;
  }
}

TEST(EncapInboundTest, SitTakesNoOuterSourceButTheRemote) {
  OneTunnel t(of_kind(Kind::sit));
  EXPECT_TRUE(t.sit(inner_v6(), {.from = *IpAddress::parse("198.51.100.3")}).empty());
  EXPECT_EQ(t.strays(StrayReason::no_tunnel), 1u);
}

// ---- loops (RFC 2784 3.1, RFC 2473 4.1.2) ----

TEST(EncapInboundTest, APacketForWhoSentItIsDropped) {
  Bytes inner = inner_v4();
  std::copy_n(kTheirs.bytes.begin(), 4, inner.begin() + 16);
  OneTunnel gre, ipip(of_kind(Kind::ipip));
  expect_drop(gre, DropReason::rx_loop, gre.gre({}, inner));
  expect_drop(ipip, DropReason::rx_loop, ipip.ipip(inner));

  Bytes six = inner_v6();
  std::copy_n(kTheirs6.bytes.begin(), 16, six.begin() + 24);
  OneTunnel over6(over_v6());
  expect_drop(over6, DropReason::rx_loop, over6.gre6({.protocol = 0x86dd}, six));
}

TEST(EncapInboundTest, OverIpv6APacketWithTheTunnelsOwnEndsIsDropped) {
  Bytes inner = inner_v6();
  std::copy_n(kTheirs6.bytes.begin(), 16, inner.begin() + 8);
  OneTunnel t(over_v6());
  const Gre gre{.protocol = 0x86dd};
  EXPECT_EQ(t.gre6(gre, inner).size(), 1u);  // the remote may speak to others
  std::copy_n(kOurs6.bytes.begin(), 16, inner.begin() + 24);
  EXPECT_TRUE(t.gre6(gre, inner).empty());
  EXPECT_EQ(t.drops(DropReason::rx_loop), 1u);
}

// ---- ECN (RFC 6040 4.2), DSCP ----

TEST(EncapInboundTest, CongestionMarksFollowRfc6040) {
  constexpr int kDrop = -1;
  // Rows: inner Not-ECT, ECT(1), ECT(0), CE by their bits 0 to 3; columns: the outer ones.
  constexpr int kTable[4][4] = {{0, 0, 0, kDrop}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (unsigned inner = 0; inner < 4; ++inner) {
    for (unsigned outer = 0; outer < 4; ++outer) {
      for (const bool v4 : {true, false}) {
        Shape s;
        s.v4 = v4;
        s.tos = static_cast<uint8_t>(0xb8 | inner);
        const Bytes packet = packet::testing::build(s, Bytes(50, 1));
        const Gre gre{.protocol = v4 ? 0x0800u : 0x86ddu};
        const auto outer_ds = static_cast<uint8_t>(0x28 | outer);
        OneTunnel over4, over6(over_v6()), sit(of_kind(Kind::sit)), ipip(of_kind(Kind::ipip));
        OneTunnel& other = v4 ? ipip : sit;
        const bool suspicious = inner == 0 ? outer != 0 : inner == 3 && outer == 1;
        const auto check = [&](OneTunnel& t, const std::vector<testing::Delivered>& out) {
          EXPECT_EQ(t.status().counters.ecn_suspicious, suspicious ? 1u : 0u) << inner << " " << outer;
          if (kTable[inner][outer] == kDrop) return expect_drop(t, DropReason::rx_ecn, out);
          s.tos = static_cast<uint8_t>(0xb8 | kTable[inner][outer]);
          ASSERT_EQ(out.size(), 1u);
          EXPECT_EQ(out[0].bytes, packet::testing::build(s, Bytes(50, 1))) << inner << " " << outer;
        };
        check(over4, over4.gre(gre, packet, {.tos = outer_ds}));
        check(over6, over6.gre6(gre, packet, outer_ds));
        check(other, v4 ? ipip.ipip(packet, {.tos = outer_ds}) : sit.sit(packet, {.tos = outer_ds}));
      }
    }
  }
}

TEST(EncapInboundTest, TheOuterDscpIsCopiedOnlyWhereAsked) {
  for (const bool inherit : {false, true}) {
    for (const bool v4 : {true, false}) {
      TunnelConfig config = over_v6();
      config.dscp_inherit = inherit;
      OneTunnel t(config);
      Shape s;
      s.v4 = v4;
      s.tos = 0x2a;  // ECT(0)
      const Bytes packet = packet::testing::build(s, Bytes(50, 1));
      const auto out = t.gre6({.protocol = v4 ? 0x0800u : 0x86ddu}, packet, 0xbb);
      ASSERT_EQ(out.size(), 1u);
      s.tos = inherit ? 0xbb : 0x2b;
      EXPECT_EQ(out[0].bytes, packet::testing::build(s, Bytes(50, 1)));
    }
  }
}

TEST(EncapInboundTest, TheInnerTtlIsTheForwardersBusiness) {
  OneTunnel t;
  Shape s;
  s.ttl = 1;
  const auto out = t.gre({}, packet::testing::build(s, Bytes(50, 1)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes[8], 1);
}

}  // namespace
}  // namespace hats::encap
