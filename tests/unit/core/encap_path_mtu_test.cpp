// What does not fit the path, kind by kind: the largest packet that does, and one byte more (formats.md 5.1
// to 5.3, 7; RFC 1191, 2473 7, 4213 3.2, 7676 3.2).
#include "tests/unit/core/encap_sender.hpp"

namespace hats::encap {
namespace {

using testing::Bytes;
using testing::errors;
using testing::expect_error;
using testing::inner_of;
using testing::of_kind;
using testing::OneTunnel;
using testing::over_v6;
using testing::send;
using testing::Shape;

constexpr uint32_t kPath = 1'500;

struct PathTunnel : OneTunnel {
  explicit PathTunnel(const TunnelConfig& config, uint32_t path = kPath) : OneTunnel(config) {
    node.set_path(now, tunnel, {path, {}});
  }
};

// A packet that is sent, alone; in which mode.
void expect_sent(OneTunnel& t, const Bytes& inner, SendMode mode) {
  const auto sent = send(t, {inner});
  ASSERT_EQ(sent.size(), 1u) << inner.size();
  EXPECT_EQ(sent[0].packet.mode, mode) << inner.size();
  EXPECT_TRUE(errors(t).empty());
}
// A packet that is not; its sender is told that `mtu` bytes would be.
void expect_too_big(OneTunnel& t, const Bytes& inner, uint32_t mtu) {
  const uint64_t before = t.drops(DropReason::tx_too_big);
  EXPECT_TRUE(send(t, {inner}).empty()) << inner.size();
  EXPECT_EQ(t.drops(DropReason::tx_too_big), before + 1);
  const auto told = errors(t);
  ASSERT_EQ(told.size(), 1u) << inner.size();
  const bool v4 = inner[0] >> 4 == 4;
  expect_error(told[0], v4 ? 3 : 2, v4 ? 4 : 0, mtu, inner);
}
void expect_dropped_in_silence(OneTunnel& t, const Bytes& inner) {
  const uint64_t before = t.drops(DropReason::tx_too_big);
  EXPECT_TRUE(send(t, {inner}).empty());
  EXPECT_EQ(t.drops(DropReason::tx_too_big), before + 1);
  EXPECT_TRUE(errors(t).empty());
}

TunnelConfig with(Kind kind, bool key, bool checksum, bool sequence) {
  TunnelConfig config = of_kind(kind);
  if (key) config.out_key = 1;
  config.out_checksum = checksum;
  config.out_sequence = sequence;
  return config;
}

// The table of formats.md 7.
TEST(EncapPathMtuTest, TheLargestThatFitsIsSentAndOneByteMoreIsTold) {
  struct Row {
    TunnelConfig config;
    uint32_t mtu;
  };
  TunnelConfig no_limit = over_v6(), keyed = over_v6();
  no_limit.encapsulation_limit.reset();
  keyed.out_key = 1;
  const std::vector<Row> rows = {{with(Kind::gre, false, false, false), 1'476},
                                 {with(Kind::gre, true, false, false), 1'472},
                                 {with(Kind::gre, true, true, false), 1'468},
                                 {with(Kind::gre, true, true, true), 1'464},
                                 {of_kind(Kind::ipip), 1'480},
                                 {of_kind(Kind::sit), 1'480},
                                 {no_limit, 1'456},
                                 {over_v6(), 1'448},
                                 {keyed, 1'444}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.mtu);
    for (const bool v4 : {true, false}) {
      if (row.config.kind == (v4 ? Kind::sit : Kind::ipip)) continue;
      PathTunnel t(row.config);
      expect_sent(t, inner_of(v4, row.mtu), SendMode::dont_fragment);
      expect_too_big(t, inner_of(v4, row.mtu + 1), row.mtu);
      EXPECT_EQ(t.status().path_mtu, kPath);
      EXPECT_FALSE(t.status().path_mtu_learned);
    }
  }
}

TEST(EncapPathMtuTest, AHeadThatWasCutApartIsQuotedInItsPlace) {
  PathTunnel t(TunnelConfig{}, 1'000);
  const Bytes inner = inner_of(true, 1'200);
  EXPECT_TRUE(send(t, {inner}, 40).empty());
  const auto told = errors(t);
  ASSERT_EQ(told.size(), 1u);
  expect_error(told[0], 3, 4, 976, inner);
}

TEST(EncapPathMtuTest, AnEncapsulationLimitTakesRoomOnceWhetherItIsConfiguredOrInherited) {
  TunnelConfig config = over_v6();
  PathTunnel configured(config);
  config.encapsulation_limit.reset();
  PathTunnel inherited(config);
  const auto limited = [](size_t size) {
    Shape s;
    s.v4 = false;
    s.extension = 8;
    Bytes out = packet::testing::build(s, Bytes(size - s.head(), 1));
    const Bytes options = {1, 0, 4, 1, 9, 0};
    std::ranges::copy(options, out.begin() + 42);
    return out;
  };
  for (PathTunnel* t : {&configured, &inherited}) {
    expect_sent(*t, limited(1'448), SendMode::dont_fragment);
    expect_too_big(*t, limited(1'449), 1'448);
  }
}

TEST(EncapPathMtuTest, OnAnUnknownPathOnlyTheLengthFieldIsALimit) {
  for (const TunnelConfig& config : {TunnelConfig{}, of_kind(Kind::ipip)}) {
    OneTunnel t(config);
    const auto most = static_cast<uint32_t>(65'535 - 20 - (config.kind == Kind::gre ? 4 : 0));
    expect_sent(t, inner_of(true, most), SendMode::dont_fragment);
    expect_too_big(t, inner_of(true, most + 1), most);
  }
  TunnelConfig fragmenting;
  fragmenting.path_mtu_discovery = false;
  PathTunnel t(fragmenting);
  expect_sent(t, inner_of(true, 65'511, false), SendMode::fragmentable);
  expect_dropped_in_silence(t, inner_of(true, 65'512, false));
  OneTunnel six(over_v6());
  expect_sent(six, inner_of(true, 65'535 - 12), SendMode::dont_fragment);
  expect_too_big(six, inner_of(true, 65'535 - 11), 65'535 - 12);
}

// Linux: the outer DF is set, the packet does not fit, and its sender has not asked to be told.
TEST(EncapPathMtuTest, Ipv4ThatMayBeFragmentedIsLostUnderDiscovery) {
  for (const Kind kind : {Kind::gre, Kind::ipip}) {
    PathTunnel t(of_kind(kind));
    const uint32_t mtu = kind == Kind::gre ? 1'476 : 1'480;
    expect_sent(t, inner_of(true, mtu, false), SendMode::dont_fragment);
    expect_dropped_in_silence(t, inner_of(true, mtu + 1, false));
  }
}

TEST(EncapPathMtuTest, WithoutDiscoveryTheOuterPacketIsFragmented) {
  for (const Kind kind : {Kind::gre, Kind::ipip, Kind::sit}) {
    TunnelConfig config = of_kind(kind);
    config.path_mtu_discovery = false;
    PathTunnel t(config);
    if (kind != Kind::sit) expect_sent(t, inner_of(true, 1'600, false), SendMode::fragmentable);
    if (kind != Kind::ipip) expect_sent(t, inner_of(false, 1'600), SendMode::fragmentable);
    // The inner DF is copied, and so it counts.
    if (kind != Kind::sit) expect_too_big(t, inner_of(true, 1'600), kind == Kind::gre ? 1'476 : 1'480);
  }
  TunnelConfig ignoring;
  ignoring.path_mtu_discovery = false;
  ignoring.ignore_df = true;
  PathTunnel t(ignoring);
  expect_sent(t, inner_of(true, 1'600), SendMode::fragmentable);
}

// RFC 4213 3.2.2 for SIT; RFC 7676 3.2 asks the same of GRE.
TEST(EncapPathMtuTest, WhatEveryIpv6LinkCarriesGetsThroughANarrowPathInFragments) {
  for (const Kind kind : {Kind::gre, Kind::sit}) {
    const uint32_t overhead = kind == Kind::gre ? 24 : 20;
    PathTunnel just(of_kind(kind), 1'280 + overhead), narrow(of_kind(kind), 1'280 + overhead - 1);
    expect_sent(just, inner_of(false, 1'280), SendMode::dont_fragment);
    expect_too_big(just, inner_of(false, 1'281), 1'280);
    const SendMode whole = kind == Kind::gre ? SendMode::dont_fragment : SendMode::fragmentable;
    expect_sent(narrow, inner_of(false, 100), whole);
    expect_sent(narrow, inner_of(false, 1'279), whole);
    expect_sent(narrow, inner_of(false, 1'280), SendMode::fragmentable);
    expect_too_big(narrow, inner_of(false, 1'281), 1'280);
  }
}

// RFC 2473 7.1, 7.2.
TEST(EncapPathMtuTest, OverIpv6TheOuterPacketIsFragmentedWhereTheInnerOneMayNotBeRefused) {
  PathTunnel t(over_v6(), 1'280);
  expect_sent(t, inner_of(false, 1'280), SendMode::fragmentable);
  expect_too_big(t, inner_of(false, 1'281), 1'280);
  expect_sent(t, inner_of(true, 1'228), SendMode::dont_fragment);
  expect_too_big(t, inner_of(true, 1'229), 1'228);
  expect_sent(t, inner_of(true, 1'229, false), SendMode::fragmentable);
  expect_sent(t, inner_of(true, 1'500, false), SendMode::fragmentable);
}

// Packets of one flow must not overtake each other between two sockets.
TEST(EncapPathMtuTest, OverIpv6WhatFitsIsSentInOneModeWhateverItsSize) {
  PathTunnel t(over_v6());
  for (const bool v4 : {true, false}) {
    for (const uint32_t size : {68u, 1'280u, 1'281u, 1'448u}) {
      expect_sent(t, inner_of(v4, size), SendMode::dont_fragment);
      expect_sent(t, inner_of(v4, size, false), SendMode::dont_fragment);
    }
  }
}

TEST(EncapPathMtuTest, AnAbsurdlyNarrowRouteTellsTheLeastThatTheFamilyAllows) {
  PathTunnel t(TunnelConfig{}, 10);
  expect_too_big(t, inner_of(true, 100), 68);
  expect_too_big(t, inner_of(false, 1'281), 1'280);
}

TEST(EncapPathMtuTest, NoErrorIsSentAboutAnErrorNorToNobody) {
  PathTunnel t(TunnelConfig{}, 600);
  Bytes error = inner_of(true, 1'000);
  error[9] = 1;
  error[20] = 3;
  expect_dropped_in_silence(t, error);
  Bytes from_group = inner_of(true, 1'000);
  from_group[12] = 224;
  expect_dropped_in_silence(t, from_group);
  error[20] = 8;  // an echo request is no error
  expect_too_big(t, error, 576);
}

TEST(EncapPathMtuTest, ErrorsAreLimitedInRateForEachTunnel) {
  PathTunnel t(TunnelConfig{}, 600);
  constexpr size_t kBurst = 50;
  size_t told = 0;
  for (int round = 0; round < 10; ++round) {
    send(t, std::vector<Bytes>(20, inner_of(true, 1'000)));
    told += errors(t).size();
  }
  EXPECT_EQ(told, kBurst);
  EXPECT_EQ(t.status().counters.icmp_sent, kBurst);
  EXPECT_EQ(t.drops(DropReason::tx_too_big), 200u);
  t.now.boot = t.now.boot + milliseconds(10);
  send(t, std::vector<Bytes>(20, inner_of(true, 1'000)));
  EXPECT_EQ(errors(t).size(), 10u);
}

TEST(EncapPathMtuTest, ErrorsOfATunnelThatIsGoneAreNotSent) {
  PathTunnel t(TunnelConfig{}, 600);
  send(t, {inner_of(true, 1'000)});
  t.node.remove(t.tunnel);
  EXPECT_TRUE(errors(t).empty());
}

// ---- EMSGSIZE ----

TEST(EncapPathMtuTest, ASenderWhosePacketTheKernelRefusedIsToldOnceTheNarrowerPathIsKnown) {
  PathTunnel t(TunnelConfig{}, 1'500);
  const Bytes inner = inner_of(true, 1'476);
  expect_sent(t, inner, SendMode::dont_fragment);
  t.node.send_refused(t.now, t.tunnel, inner, 1'476);
  EXPECT_EQ(t.drops(DropReason::tx_too_big), 1u);
  EXPECT_EQ(t.status().counters.tx_packets, 0u);
  EXPECT_EQ(t.status().counters.tx_bytes, 0u);
  EXPECT_TRUE(errors(t).empty()) << "by the path as set, it fits";
  // One that was under way when the path became known; later ones are not sent at all.
  t.node.set_path(t.now, t.tunnel, {1'400, {}});
  t.node.send_refused(t.now, t.tunnel, inner, 1'476);
  EXPECT_EQ(t.drops(DropReason::tx_too_big), 2u);
  auto told = errors(t);
  ASSERT_EQ(told.size(), 1u);
  expect_error(told[0], 3, 4, 1'376, inner);
  send(t, {inner});
  told = errors(t);
  ASSERT_EQ(told.size(), 1u);
  expect_error(told[0], 3, 4, 1'376, inner);
}

TEST(EncapPathMtuTest, WhatTheKernelDidNotSendDoesNotCountAsSent) {
  PathTunnel t(TunnelConfig{}, 1'500);
  expect_sent(t, inner_of(true, 400), SendMode::dont_fragment);
  expect_sent(t, inner_of(true, 1'000), SendMode::dont_fragment);
  ASSERT_EQ(t.status().counters.tx_packets, 2u);
  t.node.send_failed(t.tunnel, 400);
  EXPECT_EQ(t.status().counters.tx_packets, 1u);
  EXPECT_EQ(t.status().counters.tx_bytes, 1'000u);
  EXPECT_EQ(t.drops(DropReason::tx_too_big), 0u);
  EXPECT_TRUE(errors(t).empty());
  t.node.send_failed(99, 400);
  for (int i = 0; i < 3; ++i) t.node.send_failed(t.tunnel, 1'000);
  EXPECT_EQ(t.status().counters.tx_packets, 0u) << "never below nothing";
}

TEST(EncapPathMtuTest, ARefusalIsQuotedFromAsMuchAsIsAtHand) {
  PathTunnel t(of_kind(Kind::sit), 1'400);
  const Bytes inner = inner_of(false, 1'480), head(inner.begin(), inner.begin() + 60);
  t.node.send_refused(t.now, t.tunnel, head, 1'480);
  const auto told = errors(t);
  ASSERT_EQ(told.size(), 1u);
  expect_error(told[0], 2, 0, 1'380, head);
}

TEST(EncapPathMtuTest, NobodyIsToldOfARefusalThatMayBeFragmentedOrIsNotUnderstood) {
  PathTunnel t(TunnelConfig{}, 1'400);
  t.node.send_refused(t.now, t.tunnel, inner_of(true, 1'450, false), 1'450);
  t.node.send_refused(t.now, t.tunnel, inner_of(true, 100), 100);
  t.node.send_refused(t.now, t.tunnel, Bytes(7, 0x45), 1'450);
  t.node.send_refused(t.now, 99, inner_of(true, 1'450), 1'450);
  EXPECT_TRUE(errors(t).empty());
  EXPECT_EQ(t.drops(DropReason::tx_too_big), 3u);
}

}  // namespace
}  // namespace hats::encap
