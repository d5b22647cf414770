// Inner packets to outer packets, option by option (RFC 2784, 2890, 2473, 4213, 6040; formats.md 5.1 to 5.4).
#include "tests/support/seeded_rng.hpp"
#include "tests/unit/core/encap_sender.hpp"

namespace hats::encap {
namespace {

using packet::testing::Bytes;
using packet::testing::put16;
using testing::errors;
using testing::Gre;
using testing::inner_of;
using testing::inner_v4;
using testing::inner_v6;
using testing::kOurs;
using testing::kOurs6;
using testing::kTheirs;
using testing::kTheirs6;
using testing::of_kind;
using testing::OneTunnel;
using testing::over_v6;
using testing::send;
using testing::Shape;

Bytes with_ds(bool v4, uint8_t ds, uint8_t ttl = 64) {
  Shape s;
  s.v4 = v4;
  s.tos = ds;
  s.ttl = ttl;
  return packet::testing::build(s, Bytes(50, 1));
}

// One packet that is not sent, for this reason, and without a word to its sender.
void expect_drop(OneTunnel& t, DropReason reason, const Bytes& inner) {
  const uint64_t before = t.drops(reason), all = t.all_drops();
  EXPECT_TRUE(send(t, {inner}).empty());
  EXPECT_EQ(t.drops(reason), before + 1);
  EXPECT_EQ(t.all_drops(), all + 1);
  EXPECT_TRUE(errors(t).empty());
}

TEST(EncapOutboundTest, EveryKindAndOptionMakesTheBytesOfTheRfc) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  for (int round = 0; round < 2'000; ++round) {
    TunnelConfig config = rng.one_in(3) ? over_v6() : TunnelConfig{};
    if (config.remote.family != Family::v6) config.kind = static_cast<Kind>(rng.below(3));
    Gre gre;
    if (config.kind == Kind::gre) {
      config.out_checksum = gre.checksum = rng.one_in(2);
      config.out_sequence = rng.one_in(2);
      if (rng.one_in(2)) config.out_key = gre.key = static_cast<uint32_t>(rng.below(UINT64_C(1) << 32));
      config.in_key = 5;  // nobody sends it
    }
    OneTunnel t(config);
    const bool v4 = config.kind == Kind::ipip || (config.kind == Kind::gre && rng.one_in(2));
    gre.protocol = v4 ? 0x0800 : 0x86dd;
    const size_t cut = rng.one_in(2) ? 0 : v4 ? 40 : 60;
    for (uint32_t i = 0; i < 3; ++i) {
      const Bytes inner = inner_of(v4, 60 + rng.below(1'400));
      if (config.out_sequence) gre.sequence = i;
      const auto sent = send(t, {inner}, static_cast<uint16_t>(cut));
      ASSERT_EQ(sent.size(), 1u);
      ASSERT_EQ(sent[0].bytes, config.kind == Kind::gre ? gre.packet(inner) : inner);
      EXPECT_EQ(sent[0].packet.kind, config.kind);
      EXPECT_EQ(sent[0].packet.to, config.remote.is_set() ? config.remote : kTheirs);
      EXPECT_EQ(sent[0].packet.tunnel, t.tunnel);
    }
    EXPECT_EQ(t.all_drops(), 0u);
    EXPECT_EQ(t.status().counters.tx_packets, 3u);
  }
}

TEST(EncapOutboundTest, ThePayloadStaysWhereItIs) {
  OneTunnel t;
  Bytes bytes = inner_v4(1'000);
  const Bytes head(bytes.begin(), bytes.begin() + 40);
  const std::vector<packet::Piece> pieces = {
      {.data = bytes.data(), .size = 1'040},
      {.data = bytes.data(), .size = 1'040, .head_size = 40, .head = head.data()}};
  OutboundBatch batch;
  t.node.plan_outbound(t.now, t.tunnel, pieces, batch);
  ASSERT_EQ(batch.packets.size(), 2u);
  EXPECT_EQ(batch.packets[0].data, bytes.data());
  EXPECT_EQ(batch.packets[0].size, 1'040u);
  EXPECT_EQ(batch.packets[0].piece, 0u);
  EXPECT_EQ(batch.packets[1].data, bytes.data() + 40);
  EXPECT_EQ(batch.packets[1].size, 1'000u);
  EXPECT_EQ(batch.packets[1].head_size, 44u);
  EXPECT_EQ(batch.packets[1].piece, 1u);
}

TEST(EncapOutboundTest, CountersCountInnerPacketsOnCommit) {
  TunnelConfig config;
  config.out_key = 1;
  OneTunnel t(config);
  send(t, {inner_v4(100), inner_v6(100)});
  send(t, {inner_v4(100)}, 40);
  EXPECT_EQ(t.status().counters.tx_packets, 3u);
  EXPECT_EQ(t.status().counters.tx_bytes, 140u + 160 + 140);
}

TEST(EncapOutboundTest, ATunnelRemovedInTheMiddleOfABatchLeavesNothingToItsSuccessor) {
  OneTunnel t;
  Bytes bytes = inner_v4();
  const packet::Piece piece{.data = bytes.data(), .size = static_cast<uint32_t>(bytes.size())};
  OutboundBatch batch;
  t.node.plan_outbound(t.now, t.tunnel, std::span(&piece, 1), batch);
  ASSERT_EQ(batch.packets.size(), 1u);
  t.node.remove(t.tunnel);
  TunnelConfig other;
  other.remote = *IpAddress::parse("203.0.113.9");
  ASSERT_EQ(t.node.add(other, 1'476), t.tunnel);  // the number is in use again
  Node::work(batch);
  t.node.commit_outbound(t.now, batch);
  EXPECT_EQ(t.status().counters.tx_packets, 0u);
  t.node.remove(t.tunnel);
  t.node.plan_outbound(t.now, t.tunnel, std::span(&piece, 1), batch);
  EXPECT_EQ(batch.packets.size(), 1u);
}

TEST(EncapOutboundTest, WhatATunnelDoesNotCarryIsMalformed) {
  OneTunnel gre, sit(of_kind(Kind::sit)), ipip(of_kind(Kind::ipip));
  expect_drop(sit, DropReason::tx_malformed, inner_v4());
  expect_drop(ipip, DropReason::tx_malformed, inner_v6());
  Bytes other = inner_v4();
  other[0] = 0x55;
  expect_drop(gre, DropReason::tx_malformed, other);
  expect_drop(gre, DropReason::tx_malformed, Bytes(19, 0x45));
  expect_drop(gre, DropReason::tx_malformed, Bytes(39, 0x60));
  expect_drop(gre, DropReason::tx_malformed, {});
}

TEST(EncapOutboundTest, NothingIsSentWhileTheInterfaceIsDown) {
  OneTunnel t;
  t.node.set_up(t.now, t.tunnel, false);
  EXPECT_TRUE(send(t, {inner_v4(), inner_v4()}).empty());
  EXPECT_EQ(t.drops(DropReason::tx_down), 2u);
  t.node.set_up(t.now, t.tunnel, true);
  EXPECT_EQ(send(t, {inner_v4()}).size(), 1u);
}

TEST(EncapOutboundTest, SourceAndInterfaceAreTheConfiguredOnes) {
  TunnelConfig config;
  config.underlay = 9;
  OneTunnel named(config);
  EXPECT_EQ(send(named, {inner_v4()})[0].packet.from, (LocalSource{kOurs, 9}));
  config.remote = kTheirs;
  OneTunnel any(OneTunnel::AsItIs{}, config);
  any.node.set_path(any.now, any.tunnel, {1'500, kOurs});
  EXPECT_EQ(send(any, {inner_v4()})[0].packet.from, (LocalSource{{}, 9}));
  EXPECT_EQ(any.status().source, kOurs);
}

TEST(EncapOutboundTest, TheTtlIsFixedOrThatOfTheInnerPacket) {
  for (const bool v4 : {true, false}) {
    TunnelConfig config;
    config.ttl = 33;
    OneTunnel fixed(config), inherited;
    EXPECT_EQ(send(fixed, {with_ds(v4, 0, 7)})[0].packet.ttl, 33);
    EXPECT_EQ(send(inherited, {with_ds(v4, 0, 7)})[0].packet.ttl, 7);
    EXPECT_EQ(send(inherited, {with_ds(v4, 0, 255)})[0].packet.ttl, 255);
    EXPECT_EQ(send(inherited, {with_ds(v4, 0, 0)})[0].packet.ttl, 1) << "0 cannot be sent";
  }
}

// RFC 6040 4.1: the outer ECN field is the inner one, CE too, whatever the DSCP.
TEST(EncapOutboundTest, TheDsFieldIsFixedOrInheritedAndTheEcnFieldAlwaysTheInnerOne) {
  for (const bool six : {false, true}) {
    TunnelConfig fixed_config = six ? over_v6() : TunnelConfig{};
    fixed_config.tos = 0xb8;
    TunnelConfig inherit_config = fixed_config;
    inherit_config.tos_inherit = true;
    OneTunnel fixed(fixed_config), inherited(inherit_config);
    for (const bool v4 : {true, false}) {
      for (unsigned ds = 0; ds < 256; ++ds) {
        const Bytes inner = with_ds(v4, static_cast<uint8_t>(ds));
        ASSERT_EQ(send(fixed, {inner})[0].packet.ds, 0xb8 + ds % 4);
        ASSERT_EQ(send(inherited, {inner})[0].packet.ds, ds);
      }
    }
  }
  TunnelConfig ecn;
  ecn.tos = 0xbb;  // what stands in the low bits of `tos` is not for the wire
  OneTunnel t(ecn);
  EXPECT_EQ(send(t, {with_ds(true, 0)})[0].packet.ds, 0xb8);
}

// pmtudisc: always; else the inner DF, unless it is ignored; never for IPv6 (formats.md 5.1).
TEST(EncapOutboundTest, DfIsSetByTheTunnelOrCopiedFromTheInnerPacket) {
  const auto mode = [](Kind kind, bool discovery, bool ignore, const Bytes& inner) {
    TunnelConfig config = of_kind(kind);
    config.path_mtu_discovery = discovery;
    config.ignore_df = ignore;
    OneTunnel t(config);
    return send(t, {inner}).at(0).packet.mode;
  };
  const Bytes df = inner_of(true, 100, true), no_df = inner_of(true, 100, false), six = inner_of(false, 100);
  for (const Kind kind : {Kind::gre, Kind::ipip}) {
    EXPECT_EQ(mode(kind, true, false, df), SendMode::dont_fragment);
    EXPECT_EQ(mode(kind, true, false, no_df), SendMode::dont_fragment);
    EXPECT_EQ(mode(kind, false, false, df), SendMode::dont_fragment);
    EXPECT_EQ(mode(kind, false, false, no_df), SendMode::fragmentable);
    EXPECT_EQ(mode(kind, false, true, df), SendMode::fragmentable);
  }
  for (const Kind kind : {Kind::gre, Kind::sit}) {
    EXPECT_EQ(mode(kind, true, false, six), SendMode::dont_fragment);
    EXPECT_EQ(mode(kind, false, false, six), SendMode::fragmentable);
  }
}

TEST(EncapOutboundTest, TheFlowLabelIsFixedOrThatOfTheInnerPacket) {
  TunnelConfig config = over_v6();
  config.flow_label = 0xabcde;
  OneTunnel fixed(config);
  EXPECT_EQ(send(fixed, {inner_v6()})[0].packet.flow_label, 0xabcdeu);
  config.flow_label = 0;
  config.flow_label_inherit = true;
  OneTunnel inherited(config);
  EXPECT_EQ(send(inherited, {inner_v6()})[0].packet.flow_label, 0x12345u);
  EXPECT_EQ(send(inherited, {inner_v4()})[0].packet.flow_label, 0u);
}

// RFC 2890 2.2: from 0, one counter a tunnel, modulo 2^32; what is not sent has no number.
TEST(EncapOutboundTest, SequenceNumbersCountWhatIsSent) {
  TunnelConfig config;
  config.out_sequence = true;
  OneTunnel t(config);
  const auto number = [&] { return packet::testing::get32(send(t, {inner_v4()}).at(0).bytes, 4); };
  EXPECT_EQ(number(), 0u);
  expect_drop(t, DropReason::tx_malformed, Bytes(30, 0));
  EXPECT_EQ(number(), 1u);
  TunnelConfig changed = t.status().config;
  changed.tos = 4;
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, changed));
  EXPECT_EQ(number(), 2u) << "still in use: it goes on";
  changed.out_sequence = false;
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, changed));
  EXPECT_EQ(send(t, {inner_v4()})[0].packet.inner_offset, 4);
  changed.out_sequence = true;
  ASSERT_TRUE(t.node.change(t.now, t.tunnel, changed));
  EXPECT_EQ(number(), 0u);
}

// ---- RFC 2473 4.1.1 ----

// An IPv6 packet with a destination options header; the limit's value is at byte 46 (or behind a Pad1, 47).
Bytes with_limit(uint8_t limit, bool pad_first = false) {
  Shape s;
  s.v4 = false;
  s.extension = 8;
  Bytes out = packet::testing::build(s, Bytes(30, 1));
  const Bytes options = pad_first ? Bytes{0, 4, 1, limit, 1, 0} : Bytes{1, 0, 4, 1, limit, 0};
  std::ranges::copy(options, out.begin() + 42);
  return out;
}

TEST(EncapOutboundTest, TheEncapsulationLimitIsTheConfiguredOneOrOneLessThanTheInner) {
  TunnelConfig config = over_v6();
  OneTunnel standard(config);
  config.encapsulation_limit.reset();
  OneTunnel none(config);
  OneTunnel v4;
  EXPECT_EQ(send(standard, {inner_v6()})[0].packet.encapsulation_limit, 4);
  EXPECT_EQ(send(standard, {inner_v4()})[0].packet.encapsulation_limit, 4);
  EXPECT_EQ(send(none, {inner_v6()})[0].packet.encapsulation_limit, std::nullopt);
  EXPECT_EQ(send(v4, {with_limit(0)})[0].packet.encapsulation_limit, std::nullopt);
  for (const bool pad : {false, true}) {
    for (OneTunnel* t : {&standard, &none}) {
      EXPECT_EQ(send(*t, {with_limit(9, pad)})[0].packet.encapsulation_limit, 8);
      EXPECT_EQ(send(*t, {with_limit(1, pad)})[0].packet.encapsulation_limit, 0);
    }
  }
}

TEST(EncapOutboundTest, AnExhaustedEncapsulationLimitIsAnsweredWithAParameterProblem) {
  for (const bool pad : {false, true}) {
    OneTunnel t(over_v6());
    const Bytes inner = with_limit(0, pad);
    EXPECT_TRUE(send(t, {inner}).empty());
    EXPECT_EQ(t.drops(DropReason::tx_encapsulation_limit), 1u);
    const auto told = errors(t);
    ASSERT_EQ(told.size(), 1u);
    testing::expect_error(told[0], 4, 0, pad ? 45 : 46, inner);
  }
}

TEST(EncapOutboundTest, TheInnerLimitIsFoundBehindOtherHeadersAndNotInWhatIsCutOff) {
  OneTunnel t(over_v6());
  const auto limit = [&](const Bytes& inner) {
    const auto sent = send(t, {inner});
    return sent.empty() ? std::optional<uint8_t>{} : sent[0].packet.encapsulation_limit;
  };
  const Bytes plain = with_limit(7);
  const auto behind = [&](uint8_t type, const Bytes& header) {
    Bytes out = plain;
    out[6] = type;
    out.insert(out.begin() + 40, header.begin(), header.end());
    put16(out, 4, static_cast<unsigned>(out.size() - 40));
    return out;
  };
  EXPECT_EQ(limit(behind(0, {60, 0, 1, 4, 0, 0, 0, 0})), 6);                           // hop by hop
  EXPECT_EQ(limit(behind(43, {60, 0, 0, 0, 0, 0, 0, 0})), 6);                          // routing
  EXPECT_EQ(limit(behind(44, {60, 0, 0, 1, 0, 0, 0, 0})), 6);                          // first fragment
  EXPECT_EQ(limit(behind(51, {60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})), 6);              // authentication
  EXPECT_EQ(limit(behind(60, {60, 1, 1, 0, 1, 3, 4, 1, 9, 1, 0, 0, 0, 0, 0, 0})), 6);  // inside PadN
  EXPECT_EQ(limit(behind(44, {60, 0, 0, 8, 0, 0, 0, 0})), 4);                          // later fragment
  EXPECT_EQ(limit(behind(17, {60, 0, 0, 0, 0, 0, 0, 0})), 4);                          // UDP
  EXPECT_EQ(limit(behind(60, {60, 31, 1, 4, 0, 0, 0, 0})), 4);                         // beyond the packet
  for (size_t size = 40; size < 47; ++size) {
    EXPECT_EQ(limit(Bytes(plain.begin(), plain.begin() + static_cast<long>(size))), 4) << size;
  }
}

// ---- Loops ----

// Our outer packet as the host's routing would give it back.
Bytes looped_v4(unsigned protocol, const IpAddress& from, const IpAddress& to) {
  return testing::OuterV4{.protocol = protocol, .from = from, .to = to}.packet(Gre{}.packet(inner_v4()));
}
Bytes looped_v6(const Bytes& extensions, uint8_t first, const IpAddress& from, const IpAddress& to) {
  Bytes out(40, 0);
  out[0] = 0x60;
  out[6] = first;
  std::ranges::copy(from.bytes, out.begin() + 8);
  std::ranges::copy(to.bytes, out.begin() + 24);
  out = testing::joined(testing::joined(out, extensions), Gre{}.packet(inner_v4()));
  put16(out, 4, static_cast<unsigned>(out.size() - 40));
  return out;
}

TEST(EncapOutboundTest, OurOwnOuterPacketIsNotWrappedAgain) {
  OneTunnel gre, ipip(of_kind(Kind::ipip));
  expect_drop(gre, DropReason::tx_loop, looped_v4(47, kOurs, kTheirs));
  expect_drop(ipip, DropReason::tx_loop, looped_v4(4, kOurs, kTheirs));
  Bytes later_fragment = looped_v4(47, kOurs, kTheirs);
  put16(later_fragment, 6, 100);
  expect_drop(gre, DropReason::tx_loop, later_fragment);

  OneTunnel six(over_v6());
  const Bytes limit = {47, 0, 4, 1, 4, 1, 1, 0}, fragment = {47, 0, 0, 1, 0, 0, 0, 1};
  expect_drop(six, DropReason::tx_loop, looped_v6({}, 47, kOurs6, kTheirs6));
  expect_drop(six, DropReason::tx_loop, looped_v6(limit, 60, kOurs6, kTheirs6));
  expect_drop(six, DropReason::tx_loop, looped_v6(fragment, 44, kOurs6, kTheirs6));
}

// Two tunnels that are routed into one another: what one has wrapped comes back in what the other has.
TEST(EncapOutboundTest, OurOwnOuterPacketInsideAnothersIsALoopAsWell) {
  const IpAddress other = *IpAddress::parse("198.18.0.7");
  const auto wrapped = [&](const Bytes& packet) {
    return testing::OuterV4{.protocol = 47, .from = kOurs, .to = other}.packet(Gre{}.packet(packet));
  };
  const Bytes own = looped_v4(47, kOurs, kTheirs);
  Bytes fragment = own;
  put16(fragment, 6, 100);
  OneTunnel gre;
  expect_drop(gre, DropReason::tx_loop, wrapped(own));
  expect_drop(gre, DropReason::tx_loop, wrapped(fragment));
  expect_drop(gre, DropReason::tx_loop, wrapped(wrapped(own)));
  const Bytes in_ipip = testing::OuterV4{.protocol = 4, .from = kOurs, .to = other}.packet(own);
  expect_drop(gre, DropReason::tx_loop, in_ipip);
  // Another tunnel through this one, and what only looks so, may pass.
  Bytes later = wrapped(own), cut = wrapped(own);
  put16(later, 6, 100);
  cut.resize(20 + 4 + 19);
  put16(cut, 2, static_cast<unsigned>(cut.size()));
  for (const Bytes& inner : {wrapped(inner_v4()), later, cut}) EXPECT_EQ(send(gre, {inner}).size(), 1u);
}

TEST(EncapOutboundTest, OthersTunnelsAndOtherPacketsToTheRemoteMayPass) {
  OneTunnel gre;
  const auto passes = [](OneTunnel& t, const Bytes& inner) { EXPECT_EQ(send(t, {inner}).size(), 1u); };
  passes(gre, looped_v4(47, *IpAddress::parse("192.0.2.77"), kTheirs));
  passes(gre, looped_v4(47, kOurs, *IpAddress::parse("198.51.100.77")));
  passes(gre, looped_v4(17, kOurs, kTheirs));
  OneTunnel six(over_v6());
  passes(six, looped_v6({}, 17, kOurs6, kTheirs6));
  passes(six, looped_v6({}, 47, *IpAddress::parse("2001:db8::77"), kTheirs6));
}

TEST(EncapOutboundTest, ATunnelWithoutALocalAddressKnowsItsOwnBySourceOfTheRoute) {
  TunnelConfig config;
  config.remote = kTheirs;
  OneTunnel t(OneTunnel::AsItIs{}, config);
  t.node.set_path(t.now, t.tunnel, {1'500, kOurs});
  expect_drop(t, DropReason::tx_loop, looped_v4(47, kOurs, kTheirs));
}

// Linux ip6gre_tunnel_xmit.
TEST(EncapOutboundTest, WhatTheRemoteHasSentIsNotSentToItOverIpv6) {
  OneTunnel t(over_v6());
  expect_drop(t, DropReason::tx_loop, looped_v6({}, 17, kTheirs6, *IpAddress::parse("2001:db8::99")));
}

}  // namespace
}  // namespace hats::encap
