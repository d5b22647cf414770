// Cisco's GRE keepalive, answered and sent.
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

using packet::testing::naive_sum;
using packet::testing::put16;
using testing::Bytes;
using testing::Gre;
using testing::kOurs;
using testing::kTheirs;
using testing::OneTunnel;
using testing::OuterV4;

constexpr uint64_t kAnswersAtOnce = 20;  // and 10 a second

// What the far end wants back: from us to it, 24 bytes or 28.
Bytes inner_keepalive(const IpAddress& from = kOurs, const IpAddress& to = kTheirs,
                      const Gre& gre = {.protocol = 0}) {
  OuterV4 ip{.from = from, .to = to};
  Bytes out = ip.packet(gre.packet({}));
  out[8] = 255;
  packet::testing::put32(out, 4, 0);
  put16(out, 10, 0);
  put16(out, 10, naive_sum(out.data(), 20) ^ 0xffff);
  return out;
}

std::vector<ControlPacket> control_packets(OneTunnel& t) {
  std::vector<ControlPacket> out;
  for (ControlPacket one; t.node.poll_packet(one);) out.push_back(one);
  return out;
}

void expect_answer(OneTunnel& t, const Bytes& expected) {
  const auto out = control_packets(t);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes, expected);
  EXPECT_EQ(out[0].out.mode, SendMode::header_included);
  EXPECT_EQ(out[0].out.to, kTheirs);
  EXPECT_EQ(out[0].out.from.address, kOurs);
  EXPECT_EQ(out[0].out.kind, Kind::gre);
  EXPECT_EQ(out[0].out.tunnel, t.tunnel);
}

TEST(EncapKeepaliveTest, ItIsSentBackUnchanged) {
  OneTunnel t;
  EXPECT_TRUE(t.gre({}, inner_keepalive()).empty());
  expect_answer(t, inner_keepalive());
  EXPECT_EQ(inner_keepalive().size(), 24u);
  EXPECT_EQ(t.status().counters.keepalives_answered, 1u);
  EXPECT_EQ(t.all_drops(), 0u);
}

TEST(EncapKeepaliveTest, WithAKeyItIsSentBackIfTheKeyIsTheTunnels) {
  TunnelConfig config;
  config.in_key = 5;
  config.out_key = 6;
  for (const uint32_t key : {5u, 6u}) {
    OneTunnel t(config);
    const Bytes keepalive = inner_keepalive(kOurs, kTheirs, {.protocol = 0, .key = key});
    EXPECT_TRUE(t.gre({.key = 5}, keepalive).empty());
    EXPECT_EQ(keepalive.size(), 28u);
    expect_answer(t, keepalive);
  }
  OneTunnel t(config);
  EXPECT_TRUE(t.gre({.key = 5}, inner_keepalive(kOurs, kTheirs, {.protocol = 0, .key = 7})).empty());
  EXPECT_TRUE(control_packets(t).empty());
  EXPECT_EQ(t.drops(DropReason::rx_loop), 1u);
}

TEST(EncapKeepaliveTest, WithAnyLocalAddressTheOneItWasSentToCounts) {
  TunnelConfig config;
  config.remote = kTheirs;
  OneTunnel t(OneTunnel::AsItIs{}, config);
  EXPECT_TRUE(t.gre({}, inner_keepalive()).empty());
  expect_answer(t, inner_keepalive());
}

// Behind a NAT the far end does not know its own public address, or ours is another one than it sends to.
TEST(EncapKeepaliveTest, BehindANatItIsSentBackToTheRemoteFromUs) {
  const IpAddress secret = *IpAddress::parse("192.168.7.7");
  for (const Bytes& keepalive : {inner_keepalive(kOurs, secret), inner_keepalive(secret, kTheirs)}) {
    OneTunnel t;
    EXPECT_TRUE(t.gre({}, keepalive).empty());
    expect_answer(t, inner_keepalive());
  }
}

TEST(EncapKeepaliveTest, WhatLoopsAndIsNoKeepaliveIsDropped) {
  Bytes wrong_checksum = inner_keepalive(), fragment = inner_keepalive(), tcp = inner_keepalive();
  wrong_checksum[10] ^= 1;
  fragment[6] = 0x20;
  put16(fragment, 10, 0);
  put16(fragment, 10, naive_sum(fragment.data(), 20) ^ 0xffff);
  tcp[9] = 6;
  put16(tcp, 10, 0);
  put16(tcp, 10, naive_sum(tcp.data(), 20) ^ 0xffff);
  const Bytes large = OuterV4{.from = kOurs, .to = kTheirs}.packet(Gre{.protocol = 0}.packet(Bytes(41)));
  const Bytes payload = inner_keepalive(kOurs, kTheirs, {.protocol = 0x0800});
  const Bytes no_gre = OuterV4{.from = kOurs, .to = kTheirs}.packet({});
  // A source route among them would lead our answer elsewhere.
  const Bytes options =
      OuterV4{.from = kOurs, .to = kTheirs, .options = 8}.packet(Gre{.protocol = 0}.packet({}));
  for (const Bytes& inner : {wrong_checksum, fragment, tcp, large, payload, no_gre, options}) {
    OneTunnel t;
    EXPECT_TRUE(t.gre({}, inner).empty());
    EXPECT_TRUE(control_packets(t).empty());
    EXPECT_EQ(t.drops(DropReason::rx_loop), 1u);
  }
}

TEST(EncapKeepaliveTest, OfOtherPeopleItIsOnlyAPacket) {
  OneTunnel t;
  const Bytes inner = inner_keepalive(*IpAddress::parse("10.0.0.1"), *IpAddress::parse("10.0.0.2"));
  EXPECT_EQ(t.gre({}, inner).size(), 1u);
  EXPECT_TRUE(control_packets(t).empty());
}

TEST(EncapKeepaliveTest, OtherKindsAnswerNone) {
  OneTunnel t(testing::of_kind(Kind::ipip));
  EXPECT_TRUE(t.ipip(inner_keepalive()).empty());
  EXPECT_EQ(t.drops(DropReason::rx_loop), 1u);
  EXPECT_TRUE(control_packets(t).empty());
}

TEST(EncapKeepaliveTest, SoManyAreAnsweredAtOnceAndSoManyASecond) {
  OneTunnel t;
  const auto answered_of = [&](uint64_t count) {
    const uint64_t before = t.status().counters.keepalives_answered;
    for (uint64_t i = 0; i < count; ++i) EXPECT_TRUE(t.gre({}, inner_keepalive()).empty());
    return t.status().counters.keepalives_answered - before;
  };
  EXPECT_EQ(answered_of(100), kAnswersAtOnce);
  EXPECT_EQ(t.drops(DropReason::rx_keepalive_limited), 100 - kAnswersAtOnce);
  EXPECT_EQ(control_packets(t).size(), kAnswersAtOnce);
  t.now.boot = t.now.boot + milliseconds(99);
  EXPECT_EQ(answered_of(1), 0u);
  t.now.boot = t.now.boot + milliseconds(1);
  EXPECT_EQ(answered_of(5), 1u);
  t.now.boot = t.now.boot + seconds(1);
  EXPECT_EQ(answered_of(100), 10u);
  t.now.boot = t.now.boot + seconds(100);
  EXPECT_EQ(answered_of(100), kAnswersAtOnce);
}

// ---- sent ----

class KeepaliveSenderTest : public ::testing::Test {
 protected:
  static TunnelConfig config(uint32_t interval_s = 10, uint32_t retries = 3) {
    TunnelConfig config;
    config.keepalive = {interval_s, retries};
    return config;
  }
  // The far end forwards what is for us; nothing is lost.
  static void answer(OneTunnel& t, const ControlPacket& sent, size_t gre_header) {
    const Bytes answer(sent.bytes.begin() + static_cast<long>(gre_header), sent.bytes.end());
    EXPECT_TRUE(t.receive({answer}).empty());
  }
  // To the next deadline; what was sent there.
  static std::vector<ControlPacket> next(OneTunnel& t) {
    const auto due = t.node.next_deadline();
    EXPECT_TRUE(due);
    if (!due) return {};
    t.now.boot = *due;
    t.node.handle_timeout(t.now);
    return control_packets(t);
  }
  static std::vector<bool> carriers(OneTunnel& t) {
    std::vector<bool> out;
    TunnelId tunnel = kNoTunnel;
    for (bool carrier = false; t.node.poll_carrier(tunnel, carrier);) {
      EXPECT_EQ(tunnel, t.tunnel);
      out.push_back(carrier);
    }
    return out;
  }
};

TEST_F(KeepaliveSenderTest, OneIsSentEachInterval) {
  OneTunnel t(config());
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(t.node.next_deadline(), testing::at(seconds(1'000 + 10 * i)).boot);
    const auto sent = next(t);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].bytes, Gre{}.packet(inner_keepalive(kTheirs, kOurs)));
    EXPECT_EQ(sent[0].out.mode, SendMode::dont_fragment);
    EXPECT_EQ(sent[0].out.to, kTheirs);
    EXPECT_EQ(sent[0].out.from.address, kOurs);
    EXPECT_EQ(sent[0].out.ttl, 255);
    answer(t, sent[0], 4);
    EXPECT_EQ(t.status().counters.keepalives_sent, static_cast<uint64_t>(i));
    EXPECT_EQ(t.status().counters.keepalives_returned, static_cast<uint64_t>(i));
  }
  EXPECT_TRUE(carriers(t).empty());
  EXPECT_TRUE(t.status().carrier);
  EXPECT_EQ(t.all_drops(), 0u);
}

TEST_F(KeepaliveSenderTest, NothingHappensBeforeItIsDue) {
  OneTunnel t(config());
  t.now.boot = *t.node.next_deadline() - nanoseconds(1);
  t.node.handle_timeout(t.now);
  EXPECT_TRUE(control_packets(t).empty());
}

TEST_F(KeepaliveSenderTest, TheTunnelsOptionsHoldBothWays) {
  TunnelConfig c = config();
  c.in_key = 5;
  c.out_key = 6;
  c.in_checksum = c.out_checksum = c.in_sequence = c.out_sequence = true;
  c.ttl = 44;
  c.tos = 0xc0;
  c.path_mtu_discovery = false;
  OneTunnel t(c);
  for (uint32_t i = 0; i < 3; ++i) {
    const auto sent = next(t);
    ASSERT_EQ(sent.size(), 1u);
    const Gre answered{.protocol = 0, .checksum = true, .key = 5};
    EXPECT_EQ(
        sent[0].bytes,
        (Gre{.checksum = true, .key = 6, .sequence = i}.packet(inner_keepalive(kTheirs, kOurs, answered))));
    EXPECT_EQ(sent[0].out.ttl, 44);
    EXPECT_EQ(sent[0].out.ds, 0xc0);
    EXPECT_EQ(sent[0].out.mode, SendMode::fragmentable);
    answer(t, sent[0], 16);
  }
  EXPECT_EQ(t.status().counters.keepalives_returned, 3u);
  EXPECT_EQ(t.all_drops(), 0u);
}

TEST_F(KeepaliveSenderTest, AfterSoManyUnansweredTheCarrierGoesAndAnAnswerBringsItBack) {
  OneTunnel t(config(10, 3));
  std::vector<ControlPacket> sent;
  for (int i = 0; i < 3; ++i) sent = next(t);
  EXPECT_TRUE(carriers(t).empty());  // the third may still be answered
  sent = next(t);
  EXPECT_EQ(carriers(t), std::vector<bool>{false});
  EXPECT_FALSE(t.status().carrier);
  EXPECT_EQ(next(t).size(), 1u);  // they go on
  EXPECT_TRUE(carriers(t).empty());
  answer(t, sent[0], 4);
  EXPECT_EQ(carriers(t), std::vector<bool>{true});
  for (int i = 0; i < 3; ++i) sent = next(t);
  EXPECT_TRUE(carriers(t).empty());
  EXPECT_EQ(next(t).size(), 1u);
  EXPECT_EQ(carriers(t), std::vector<bool>{false});
}

TEST_F(KeepaliveSenderTest, OneAnswerInTimeKeepsTheCarrier) {
  OneTunnel t(config(10, 2));
  for (int i = 0; i < 20; ++i) {
    const auto sent = next(t);
    if (i % 2 == 1) answer(t, sent.at(0), 4);
  }
  EXPECT_TRUE(carriers(t).empty());
}

TEST_F(KeepaliveSenderTest, WithoutASourceNothingIsSentAndTheCarrierGoes) {
  TunnelConfig c = config(10, 2);
  c.remote = kTheirs;
  OneTunnel t(OneTunnel::AsItIs{}, c);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(next(t).empty());
  EXPECT_EQ(carriers(t), std::vector<bool>{false});
  t.node.set_path(t.now, t.tunnel, {1'500, kOurs});
  const auto sent = next(t);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].bytes, Gre{}.packet(inner_keepalive(kTheirs, kOurs)));
}

TEST_F(KeepaliveSenderTest, DownOrSwitchedOffNothingIsSentAndTheCarrierIsBack) {
  for (const bool down : {true, false}) {
    OneTunnel t(config(10, 1));
    next(t);
    next(t);
    EXPECT_EQ(carriers(t), std::vector<bool>{false});
    if (down) {
      t.node.set_up(t.now, t.tunnel, false);
    } else {
      TunnelConfig c = t.status().config;
      c.keepalive = {};
      EXPECT_TRUE(t.node.change(t.now, t.tunnel, c));
    }
    EXPECT_FALSE(t.node.next_deadline());
    EXPECT_EQ(carriers(t), std::vector<bool>{true});
    t.now.boot = t.now.boot + seconds(1'000);
    t.node.handle_timeout(t.now);
    EXPECT_TRUE(control_packets(t).empty());
  }
}

TEST_F(KeepaliveSenderTest, AnAnswerThatNobodyAskedForIsAnUnknownProtocol) {
  OneTunnel t;
  EXPECT_TRUE(t.gre({.protocol = 0}, {}).empty());
  EXPECT_EQ(t.drops(DropReason::rx_unknown_protocol), 1u);
}

TEST_F(KeepaliveSenderTest, AWrongChecksumIsNoAnswer) {
  TunnelConfig c = config();
  c.in_checksum = true;
  OneTunnel t(c);
  Bytes bad = OuterV4{}.packet(Gre{.protocol = 0, .checksum = true}.packet({}));
  bad[24] ^= 1;
  EXPECT_TRUE(t.receive({bad}).empty());
  EXPECT_EQ(t.drops(DropReason::rx_checksum_bad), 1u);
  EXPECT_EQ(t.status().counters.keepalives_returned, 0u);
}

TEST_F(KeepaliveSenderTest, OverIpv6NoneIsSent) {
  TunnelConfig c = testing::over_v6();
  c.keepalive = {10, 3};
  OneTunnel t(c);
  EXPECT_FALSE(t.node.next_deadline());
}

TEST_F(KeepaliveSenderTest, ALateWakeUpSendsOne) {
  OneTunnel t(config());
  t.now.boot = t.now.boot + seconds(500);
  t.node.handle_timeout(t.now);
  EXPECT_EQ(control_packets(t).size(), 1u);
  EXPECT_EQ(t.node.next_deadline(), t.now.boot + seconds(10));
}

}  // namespace
}  // namespace hats::encap
