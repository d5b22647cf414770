// ICMP errors about our outer packets (RFC 792, 1191, 4213 3.4, 4443, 4884; formats.md 5.1 to 5.3; Linux
// ipgre_err, ipip_err, ipip6_err, ip6gre_err).
#include "core/encap/outer_error.hpp"

#include "tests/support/seeded_rng.hpp"
#include "tests/unit/core/encap_sender.hpp"

namespace hats::encap {
namespace {

using packet::testing::put16;
using packet::testing::put32;
using testing::Bytes;
using testing::errors;
using testing::expect_error;
using testing::Gre;
using testing::inner_of;
using testing::inner_v4;
using testing::inner_v6;
using testing::joined;
using testing::kOurs;
using testing::kOurs6;
using testing::kTheirs;
using testing::kTheirs6;
using testing::of_kind;
using testing::OneTunnel;
using testing::OuterV4;
using testing::over_v6;
using testing::send;

const IpAddress kRouter = *IpAddress::parse("203.0.113.1");
const IpAddress kRouter6 = *IpAddress::parse("2001:db8:ffff::1");
constexpr int64_t kTenMinutes = 600, kLinkErrorSeconds = 30;

// What we have sent, as a router saw it.
Bytes ours(unsigned protocol, const Bytes& payload) {
  return OuterV4{.protocol = protocol, .from = kOurs, .to = kTheirs}.packet(payload);
}
Bytes ours6(const Bytes& payload, uint8_t first = 47, const Bytes& extensions = {}) {
  Bytes out(40, 0);
  out[0] = 0x60;
  out[6] = first;
  std::ranges::copy(kOurs6.bytes, out.begin() + 8);
  std::ranges::copy(kTheirs6.bytes, out.begin() + 24);
  out = joined(joined(out, extensions), payload);
  put16(out, 4, static_cast<unsigned>(out.size() - 40));
  return out;
}

// The ICMPv4 packet that a router sends about `offender`.
Bytes icmp4(uint8_t type, uint8_t code, const Bytes& offender, unsigned mtu = 0) {
  Bytes icmp(8, 0);
  icmp[0] = type;
  icmp[1] = code;
  put16(icmp, 6, mtu);
  return OuterV4{.protocol = 1, .from = kRouter, .to = kOurs}.packet(joined(icmp, offender));
}
Bytes icmp6(uint8_t type, uint8_t code, const Bytes& offender, uint32_t rest = 0) {
  Bytes icmp(8, 0);
  icmp[0] = type;
  icmp[1] = code;
  put32(icmp, 4, rest);
  return joined(icmp, offender);
}

void report(OneTunnel& t, const Bytes& icmp) {
  const bool v4 = icmp[0] == 0x45;
  const auto error = parse_outer_error(v4 ? Family::v4 : Family::v6, icmp, v4 ? IpAddress{} : kRouter6);
  ASSERT_TRUE(error);
  t.node.outer_error(t.now, *error);
}
uint64_t taken(const OneTunnel& t) {
  return t.status().counters.icmp_received;
}
// How many of the next packets draw an error of ours.
size_t told_senders(OneTunnel& t, size_t packets = 3) {
  const Bytes inner = t.status().config.kind == Kind::sit ? inner_v6() : inner_v4();
  EXPECT_EQ(send(t, std::vector<Bytes>(packets, inner)).size(), packets) << "they are sent all the same";
  return errors(t).size();
}

// ---- Reading ----

TEST(OuterErrorTest, AnIcmpv4ErrorIsReadFromItsIpHeaderOn) {
  const Bytes offender = ours(47, Gre{}.packet(inner_v4()));
  for (const uint8_t type : {3, 11, 12}) {
    Bytes message = icmp4(type, 4, offender, 1'400);
    auto error = parse_outer_error(Family::v4, message, {});
    ASSERT_TRUE(error);
    EXPECT_EQ(error->family, Family::v4);
    EXPECT_EQ(error->type, type);
    EXPECT_EQ(error->code, 4);
    EXPECT_EQ(error->mtu, type == 3 ? 1'400u : 0u);
    EXPECT_EQ(error->reporter, kRouter);
    EXPECT_EQ(Bytes(error->quoted.begin(), error->quoted.end()), offender);
  }
}

TEST(OuterErrorTest, AnIcmpv6ErrorIsReadFromItsIcmpHeaderOn) {
  const Bytes offender = ours6(Gre{}.packet(inner_v6()));
  for (const uint8_t type : {1, 2, 3, 4}) {
    Bytes message = icmp6(type, 0, offender, 1'300);
    const auto error = parse_outer_error(Family::v6, message, kRouter6);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->family, Family::v6);
    EXPECT_EQ(error->type, type);
    EXPECT_EQ(error->mtu, type == 2 ? 1'300u : 0u);
    EXPECT_EQ(error->reporter, kRouter6);
    EXPECT_EQ(Bytes(error->quoted.begin(), error->quoted.end()), offender);
  }
}

TEST(OuterErrorTest, WhatIsNoErrorOrTooShortIsNone) {
  const Bytes offender = ours(47, Gre{}.packet(inner_v4()));
  const auto is_error = [](Family family, const Bytes& message) {
    return parse_outer_error(family, message, kRouter6).has_value();
  };
  for (unsigned type = 0; type < 256; ++type) {
    EXPECT_EQ(is_error(Family::v4, icmp4(static_cast<uint8_t>(type), 0, offender)),
              type == 3 || type == 11 || type == 12);
    EXPECT_EQ(is_error(Family::v6, icmp6(static_cast<uint8_t>(type), 0, ours6(Bytes(8, 0)))),
              type >= 1 && type <= 4);
  }
  // RFC 792: the IP header and eight bytes more.
  const Bytes shortest(offender.begin(), offender.begin() + 28);
  EXPECT_TRUE(is_error(Family::v4, icmp4(3, 1, shortest)));
  for (size_t size = 0; size < 28; ++size) {
    EXPECT_FALSE(
        is_error(Family::v4, icmp4(3, 1, {shortest.begin(), shortest.begin() + static_cast<long>(size)})));
  }
  for (size_t size = 0; size < 48; ++size) {
    EXPECT_FALSE(is_error(Family::v6, icmp6(1, 0, Bytes(size, 0x60)))) << size;
  }
  Bytes not_icmp = icmp4(3, 1, offender);
  not_icmp[9] = 17;
  EXPECT_FALSE(is_error(Family::v4, not_icmp));
  Bytes fragment = icmp4(3, 1, offender);
  put16(fragment, 6, 0x2000);
  EXPECT_FALSE(is_error(Family::v4, fragment));
  EXPECT_FALSE(is_error(Family::v4, icmp4(3, 1, Bytes(40, 0x65))));
  EXPECT_FALSE(is_error(Family::v6, icmp6(1, 0, Bytes(60, 0x45))));
  EXPECT_FALSE(is_error(Family::none, icmp4(3, 1, offender)));
}

TEST(OuterErrorTest, ExtensionsBehindTheQuoteAreNotPartOfIt) {
  Bytes offender = ours(41, inner_v6(300));
  offender.resize(128);
  Bytes message = icmp4(3, 1, joined(offender, Bytes(12, 0x20)));
  message[20 + 5] = 128 / 4;  // RFC 4884 5.1
  EXPECT_EQ(parse_outer_error(Family::v4, message, {})->quoted.size(), 128u);
  message[20 + 5] = 0;
  EXPECT_EQ(parse_outer_error(Family::v4, message, {})->quoted.size(), 140u);
  message[20 + 5] = 64 / 4;  // shorter than any that has extensions
  EXPECT_EQ(parse_outer_error(Family::v4, message, {})->quoted.size(), 140u);

  Bytes offender6 = ours6(Gre{}.packet(inner_v6(300)));
  offender6.resize(128);
  Bytes message6 = icmp6(1, 0, joined(offender6, Bytes(12, 0x20)), (128 / 8) << 24);
  EXPECT_EQ(parse_outer_error(Family::v6, message6, kRouter6)->quoted.size(), 128u);
  message6[0] = 2;  // has an MTU there
  EXPECT_EQ(parse_outer_error(Family::v6, message6, kRouter6)->quoted.size(), 140u);
}

TEST(OuterErrorTest, AQuoteTellsWhoseUdpItWas) {
  Bytes udp(8, 0);
  put16(udp, 0, 51'820);
  const Bytes message = icmp4(3, 3, ours(17, udp));
  const auto quote = read_quote(*parse_outer_error(Family::v4, message, {}));
  ASSERT_TRUE(quote);
  EXPECT_EQ(quote->protocol, 17);
  EXPECT_EQ(quote->source, kOurs);
  EXPECT_EQ(quote->destination, kTheirs);
  EXPECT_EQ(quote->length, 28u);
  EXPECT_EQ(Bytes(quote->payload.begin(), quote->payload.end()), udp);
}

TEST(OuterErrorTest, AQuoteIsReadThroughExtensionHeaders) {
  const Bytes payload = Gre{.key = 3}.packet({});
  const Bytes limit = {47, 0, 4, 1, 4, 1, 1, 0}, first = {60, 0, 0, 1, 0, 0, 0, 7},
              later = {47, 0, 0, 8, 0, 0, 0, 7};
  const auto read = [](const Bytes& offender) {
    return *read_quote({.family = Family::v6, .reporter = kRouter6, .quoted = offender});
  };
  EXPECT_EQ(read(ours6(payload, 60, limit)).protocol, 47);
  EXPECT_EQ(read(ours6(payload, 60, limit)).payload.size(), payload.size());
  EXPECT_EQ(read(ours6(payload, 44, joined(first, limit))).payload.size(), payload.size());
  EXPECT_EQ(read(ours6(payload, 44, later)).protocol, 47);
  EXPECT_TRUE(read(ours6(payload, 44, later)).payload.empty());
  EXPECT_EQ(read(ours6({}, 60, {47, 9})).payload.size(), 2u) << "cut off: nothing is known";
}

// ---- Path MTU ----

struct Case {
  TunnelConfig config;
  Bytes offender;
  uint32_t overhead;
};
std::vector<Case> every_kind() {
  TunnelConfig keyed;
  keyed.in_key = 1;
  keyed.out_key = 2;
  return {{TunnelConfig{}, ours(47, Gre{}.packet(inner_v4(1'400))), 24},
          {keyed, ours(47, Gre{.key = 2}.packet(inner_v4(1'400))), 28},
          {of_kind(Kind::sit), ours(41, inner_v6(1'400)), 20},
          {of_kind(Kind::ipip), ours(4, inner_v4(1'400)), 20},
          {over_v6(), ours6(Gre{}.packet(inner_v4(1'400)), 60, {47, 0, 4, 1, 4, 1, 1, 0}), 52}};
}

Bytes too_big(const Case& c, uint32_t mtu) {
  return c.offender[0] == 0x45 ? icmp4(3, 4, c.offender, mtu) : icmp6(2, 0, c.offender, mtu);
}

TEST(OuterErrorTest, TooBigLowersThePathMtuOfEveryKindForTenMinutes) {
  for (const Case& c : every_kind()) {
    SCOPED_TRACE(c.overhead);
    OneTunnel t(c.config);
    const bool v4 = c.config.kind != Kind::sit;
    t.node.set_path(t.now, t.tunnel, {1'500, {}});
    const uint32_t told = 1'400 - c.overhead;
    EXPECT_EQ(send(t, {inner_of(v4, told + 1)}).size(), 1u);
    report(t, too_big(c, 1'400));
    EXPECT_EQ(taken(t), 1u);
    EXPECT_EQ(t.status().path_mtu, 1'400u);
    EXPECT_TRUE(t.status().path_mtu_learned);
    EXPECT_EQ(send(t, {inner_of(v4, told)}).size(), 1u);
    EXPECT_TRUE(send(t, {inner_of(v4, told + 1)}).empty());
    const auto owed = errors(t);
    ASSERT_EQ(owed.size(), 1u);
    EXPECT_EQ(owed[0].rest, told);

    const BootTime expires = t.now.boot + seconds(kTenMinutes);
    EXPECT_EQ(t.node.next_deadline(), expires);
    t.now.boot = expires - nanoseconds(1);
    EXPECT_EQ(t.status().path_mtu, 1'400u);
    t.now.boot = expires;
    t.node.handle_timeout(t.now);
    EXPECT_EQ(t.status().path_mtu, 1'500u);
    EXPECT_FALSE(t.status().path_mtu_learned);
    EXPECT_EQ(send(t, {inner_of(v4, told + 1)}).size(), 1u);
    EXPECT_FALSE(t.node.next_deadline());
  }
}

TEST(OuterErrorTest, AReportNeverRaisesAndAnotherRouteForgets) {
  OneTunnel t;
  const Case c = every_kind()[0];
  t.node.set_path(t.now, t.tunnel, {1'500, {}});
  report(t, too_big(c, 1'300));
  report(t, too_big(c, 1'400));
  EXPECT_EQ(t.status().path_mtu, 1'300u);
  t.node.set_path(t.now, t.tunnel, {1'500, {}});
  EXPECT_EQ(t.status().path_mtu, 1'300u) << "the same route";
  t.node.set_path(t.now, t.tunnel, {1'200, {}});
  EXPECT_EQ(t.status().path_mtu, 1'200u);
  t.node.set_path(t.now, t.tunnel, {1'500, {}});
  EXPECT_EQ(t.status().path_mtu, 1'500u);
  report(t, too_big(c, 9'000));
  EXPECT_EQ(t.status().path_mtu, 1'500u) << "wider than the route";
}

TEST(OuterErrorTest, WhatWasLearnedHoldsForEveryTunnelToTheSameRemote) {
  OneTunnel t;
  TunnelConfig config = t.status().config;
  t.node.set_path(t.now, t.tunnel, {1'500, {}});
  report(t, too_big(every_kind()[0], 1'300));
  config.in_key = 1;
  const auto other = t.node.add(config, 1'476);
  ASSERT_TRUE(other);
  t.node.set_path(t.now, *other, {1'500, {}});
  EXPECT_EQ(t.node.status(t.now, *other).path_mtu, 1'300u);
  EXPECT_EQ(t.status().path_mtu, 1'300u);
}

// RFC 1191 7: the next plateau below the packet's length.
TEST(OuterErrorTest, ARouterThatNamesNoMtuIsHelpedByPlateaus) {
  const auto learned = [](unsigned length) {
    OneTunnel t;
    Bytes offender = ours(47, Gre{}.packet(inner_v4()));
    put16(offender, 2, length);
    report(t, icmp4(3, 4, offender, 0));
    return t.status().path_mtu;
  };
  EXPECT_EQ(learned(65'535), 32'000u);
  EXPECT_EQ(learned(1'500), 1'492u);
  EXPECT_EQ(learned(1'493), 1'492u);
  EXPECT_EQ(learned(1'492), 1'006u);
  EXPECT_EQ(learned(1'006), 552u);
  EXPECT_EQ(learned(0), 552u);
}

TEST(OuterErrorTest, NoReportLowersBelowWhatAPathMayBe) {
  const auto kinds = every_kind();
  OneTunnel v4(kinds[0].config), v6(kinds[4].config);
  report(v4, too_big(kinds[0], 68));
  EXPECT_EQ(v4.status().path_mtu, 552u);
  report(v6, too_big(kinds[4], 1'279));  // RFC 8201 4
  EXPECT_EQ(v6.status().path_mtu, 0u);
  report(v6, too_big(kinds[4], 1'280));
  EXPECT_EQ(v6.status().path_mtu, 1'280u);
}

TEST(OuterErrorTest, AFloodOfReportsFromManyPathsIsBounded) {
  Node node;
  const Now now = testing::at(seconds(1));
  constexpr size_t kTunnels = 3'000;
  for (size_t i = 0; i < kTunnels; ++i) {
    TunnelConfig config;
    const std::array<uint8_t, 4> remote = {10, 1, static_cast<uint8_t>(i / 256), static_cast<uint8_t>(i)};
    config.local = kOurs;
    config.remote = IpAddress::v4(remote.data());
    const auto id = node.add(config, 1'476);
    ASSERT_TRUE(id);
    node.set_up(now, *id, true);
    Bytes offender = OuterV4{.from = kOurs, .to = config.remote}.packet(Gre{}.packet(inner_v4()));
    const Bytes message = icmp4(3, 4, offender, 1'400);
    node.outer_error(now, *parse_outer_error(Family::v4, message, {}));
    EXPECT_EQ(node.status(now, *id).path_mtu, 1'400u);
  }
  EXPECT_EQ(node.next_deadline(), now.boot + seconds(kTenMinutes));
}

// ---- Whose it is ----

TEST(OuterErrorTest, AnErrorAboutNoTunnelOfOursChangesNothing) {
  TunnelConfig config;
  config.out_key = 7;
  OneTunnel t(config);
  const Bytes payload = Gre{.key = 7}.packet(inner_v4());
  const IpAddress other = *IpAddress::parse("192.0.2.99");
  report(t, icmp4(3, 4, ours(47, Gre{}.packet(inner_v4())), 600));          // no key
  report(t, icmp4(3, 4, ours(47, Gre{.key = 8}.packet(inner_v4())), 600));  // another key
  report(t, icmp4(3, 4, ours(41, payload), 600));                           // another protocol
  report(t, icmp4(3, 4, ours(17, payload), 600));                           // none of ours
  report(t, icmp4(3, 4, OuterV4{.from = other, .to = kTheirs}.packet(payload), 600));
  report(t, icmp4(3, 4, OuterV4{.from = kOurs, .to = other}.packet(payload), 600));
  report(t, icmp6(2, 0, ours6(payload), 1'300));
  EXPECT_EQ(taken(t), 0u);
  EXPECT_EQ(t.status().path_mtu, 0u);
  t.node.set_up(t.now, t.tunnel, false);
  report(t, icmp4(3, 4, ours(47, payload), 600));
  EXPECT_EQ(taken(t), 0u);
  t.node.set_up(t.now, t.tunnel, true);
  report(t, icmp4(3, 4, ours(47, payload), 600));
  EXPECT_EQ(taken(t), 1u);
  EXPECT_EQ(t.status().path_mtu, 600u);
}

TEST(OuterErrorTest, AQuoteThatEndsBeforeTheKeyCountsIfOnlyOneTunnelIsMeant) {
  TunnelConfig config;
  config.in_key = config.out_key = 7;
  config.out_checksum = true;
  OneTunnel t(config);
  Bytes offender = ours(47, Gre{.checksum = true, .key = 7}.packet(inner_v4()));
  offender.resize(28);
  report(t, icmp4(3, 1, offender));
  EXPECT_EQ(taken(t), 1u);
  config.local = kOurs;
  config.remote = kTheirs;
  config.in_key = config.out_key = 8;
  ASSERT_TRUE(t.node.add(config, 1'476));
  report(t, icmp4(3, 1, offender));
  EXPECT_EQ(taken(t), 1u) << "it may have been the other's";
}

TEST(OuterErrorTest, TheKeyIsFoundInFrontOfWhatIsMissing) {
  TunnelConfig config;
  config.out_key = 7;
  config.out_sequence = true;
  OneTunnel t(config);
  config.local = kOurs;
  config.remote = kTheirs;
  config.in_key = config.out_key = 8;
  ASSERT_TRUE(t.node.add(config, 1'476));
  Bytes offender = ours(47, Gre{.key = 7, .sequence = 1}.packet(inner_v4()));
  offender.resize(28);
  report(t, icmp4(3, 1, offender));
  EXPECT_EQ(taken(t), 1u);
}

// ---- Soft state ----

TEST(OuterErrorTest, EachErrorMakesOneInnerSenderHearOfItWithinThirtySeconds) {
  for (const Case& c : every_kind()) {
    SCOPED_TRACE(c.overhead);
    if (c.config.kind == Kind::sit) continue;  // relayed
    OneTunnel t(c.config);
    const Bytes message = c.offender[0] == 0x45 ? icmp4(3, 1, c.offender) : icmp6(1, 3, c.offender);
    EXPECT_EQ(told_senders(t), 0u);
    report(t, message);
    report(t, message);
    EXPECT_TRUE(t.status().link_failing);
    EXPECT_EQ(told_senders(t), 2u);
    EXPECT_EQ(told_senders(t), 0u);
    EXPECT_TRUE(t.status().link_failing) << "it is so, even if all have heard of it";
    report(t, message);
    t.now.boot = t.now.boot + seconds(kLinkErrorSeconds) - nanoseconds(1);
    EXPECT_EQ(told_senders(t), 1u);
    report(t, message);
    t.now.boot = t.now.boot + seconds(kLinkErrorSeconds);
    EXPECT_FALSE(t.status().link_failing);
    EXPECT_EQ(told_senders(t), 0u);
  }
}

TEST(OuterErrorTest, TheInnerSenderHearsOfAnUnreachableHostOrAddress) {
  OneTunnel t;
  report(t, icmp4(3, 0, ours(47, Gre{}.packet(inner_v4()))));
  report(t, icmp4(3, 0, ours(47, Gre{}.packet(inner_v4()))));
  const Bytes v4 = inner_v4(), v6 = inner_v6();
  EXPECT_EQ(send(t, {v4, v6}).size(), 2u);
  const auto told = errors(t);
  ASSERT_EQ(told.size(), 2u);
  expect_error(told[0], 3, 1, 0, v4);
  expect_error(told[1], 1, 3, 0, v6);
}

TEST(OuterErrorTest, AFloodOfErrorsIsWorthNoMoreThanAFew) {
  OneTunnel t;
  for (int i = 0; i < 10'000; ++i) report(t, icmp4(3, 1, ours(47, Gre{}.packet(inner_v4()))));
  EXPECT_EQ(told_senders(t, 100), 16u);
}

TEST(OuterErrorTest, WhatIsNoFaultOfThePathIsIgnored) {
  const auto failing = [](const Case& c, const Bytes& message) {
    TunnelConfig config = c.config;
    config.ttl = 64;
    OneTunnel t(config);
    report(t, message);
    EXPECT_EQ(taken(t), 1u);
    return t.status().link_failing;
  };
  const auto kinds = every_kind();
  const Case &gre = kinds[0], &ipip = kinds[3], &six = kinds[4];
  for (uint8_t code = 0; code < 16; ++code) {
    if (code == 4) continue;
    EXPECT_EQ(failing(gre, icmp4(3, code, gre.offender)), code != 3 && code != 5) << int{code};
    EXPECT_EQ(failing(ipip, icmp4(3, code, ipip.offender)), code != 5) << int{code};
    EXPECT_EQ(failing(six, icmp6(1, code, six.offender)), code != 4) << int{code};
  }
  EXPECT_TRUE(failing(gre, icmp4(11, 0, gre.offender)));
  EXPECT_FALSE(failing(gre, icmp4(11, 1, gre.offender)));
  EXPECT_FALSE(failing(gre, icmp4(12, 0, gre.offender)));
  EXPECT_TRUE(failing(six, icmp6(3, 0, six.offender)));
  EXPECT_FALSE(failing(six, icmp6(3, 1, six.offender)));
  EXPECT_FALSE(failing(six, icmp6(4, 0, six.offender)));
}

TEST(OuterErrorTest, AnInheritedTtlThatRunsOutIsTheInnerSendersBusiness) {
  OneTunnel t;
  report(t, icmp4(11, 0, ours(47, Gre{}.packet(inner_v4()))));
  EXPECT_FALSE(t.status().link_failing);
}

// ---- Relaying ----

TEST(OuterErrorTest, EnoughOfAnInnerIpv6PacketIsToldItsSender) {
  const Bytes inner = inner_v6();
  for (const bool sit : {true, false}) {
    OneTunnel t(of_kind(sit ? Kind::sit : Kind::gre));
    const Bytes offender = sit ? ours(41, inner) : ours(47, Gre{.protocol = 0x86dd}.packet(inner));
    report(t, icmp4(3, 1, offender));
    report(t, icmp4(11, 0, offender));
    const auto told = errors(t);
    ASSERT_EQ(told.size(), 2u);
    expect_error(told[0], 1, 3, 0, inner);  // address unreachable
    expect_error(told[1], 3, 0, 0, inner);  // hop limit exceeded
    EXPECT_EQ(told[0].source, *IpAddress::parse("::ffff:203.0.113.1"));
    EXPECT_EQ(told[1].source, told[0].source);
    EXPECT_EQ(told_senders(t), 0u) << "the next sender has nothing to do with it";
    EXPECT_TRUE(t.status().link_failing);
    EXPECT_EQ(t.status().counters.icmp_sent, 2u);
  }
}

TEST(OuterErrorTest, TooLittleOfItIsRememberedInstead) {
  OneTunnel t(of_kind(Kind::sit));
  Bytes offender = ours(41, inner_v6());
  offender.resize(20 + 40 + 8);
  report(t, icmp4(3, 1, offender));
  EXPECT_EQ(errors(t).size(), 1u);
  offender.pop_back();
  report(t, icmp4(3, 1, offender));
  EXPECT_TRUE(errors(t).empty());
  EXPECT_TRUE(t.status().link_failing);
  EXPECT_EQ(told_senders(t), 1u);
}

TEST(OuterErrorTest, NoInnerErrorIsAnsweredWithAnError) {
  OneTunnel t(of_kind(Kind::sit));
  Bytes inner = inner_v6();
  inner[6] = 58;
  inner[40] = 1;
  report(t, icmp4(3, 1, ours(41, inner)));
  EXPECT_TRUE(errors(t).empty());
}

TEST(OuterErrorTest, RelayedErrorsAreLimitedInRate) {
  OneTunnel t(of_kind(Kind::sit));
  size_t told = 0;
  for (int i = 0; i < 1'000; ++i) {
    report(t, icmp4(3, 1, ours(41, inner_v6())));
    told += errors(t).size();
  }
  EXPECT_EQ(told, 20u);
  t.now.boot = t.now.boot + seconds(1);
  for (int i = 0; i < 50; ++i) report(t, icmp4(3, 1, ours(41, inner_v6())));
  EXPECT_EQ(errors(t).size(), 10u);
  // Those that we owe ourselves come all the same.
  t.node.set_path(t.now, t.tunnel, {1'500, kOurs});
  send(t, {inner_v6(2'000)});
  EXPECT_EQ(errors(t).size(), 1u);
}

// ---- Anything at all ----

TEST(OuterErrorTest, RandomAndTruncatedMessagesDoNoHarm) {
  HATS_TRACE_SEED(test::run_seed());
  test::SeededRng rng(test::run_seed());
  const auto kinds = every_kind();
  for (int round = 0; round < 20'000; ++round) {
    const Case& c = kinds[rng.below(kinds.size())];
    OneTunnel t(c.config);
    const bool v4 = c.offender[0] == 0x45;
    Bytes message = too_big(c, static_cast<uint32_t>(rng.below(2'000)));
    message.resize(std::min<size_t>(message.size(), 150));
    for (uint64_t i = rng.below(4); i > 0; --i) {
      message[rng.below(message.size())] = static_cast<uint8_t>(rng.below(256));
    }
    message.resize(rng.below(message.size() + 1));
    if (v4 && message.size() > 4 && rng.one_in(2)) put16(message, 2, static_cast<unsigned>(message.size()));
    if (const auto error = parse_outer_error(v4 ? Family::v4 : Family::v6, message, kRouter6)) {
      t.node.outer_error(t.now, *error);
    }
    send(t, {inner_v4(), inner_v6()});
  }
}

}  // namespace
}  // namespace hats::encap
