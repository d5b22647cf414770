#include "core/packet/icmp.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

Bytes error(const IcmpMessage& message, const char* source, const Bytes& offender, size_t room = 2'000) {
  Bytes out(room, 0xee);
  out.resize(write_icmp_error(message, address(source), offender, out));
  return out;
}

TEST(IcmpTest, UnreachableIsHostInIpv4AndAddressInIpv6) {
  EXPECT_EQ(icmp_unreachable(Family::v4).type, 3);
  EXPECT_EQ(icmp_unreachable(Family::v4).code, 1);
  EXPECT_EQ(icmp_unreachable(Family::v6).type, 1);
  EXPECT_EQ(icmp_unreachable(Family::v6).code, 3);
}

TEST(IcmpTest, TooBigCarriesTheMtuNeverBelowTheLeast) {
  const auto v4 = icmp_too_big(Family::v4, 1'400);
  EXPECT_EQ(v4.type, 3);
  EXPECT_EQ(v4.code, 4);
  EXPECT_EQ(v4.rest, 1'400u);
  EXPECT_EQ(icmp_too_big(Family::v4, 10).rest, 68u);
  EXPECT_EQ(icmp_too_big(Family::v4, 1'000'000).rest, 65'535u);
  const auto v6 = icmp_too_big(Family::v6, 1'400);
  EXPECT_EQ(v6.type, 2);
  EXPECT_EQ(v6.code, 0);
  EXPECT_EQ(v6.rest, 1'400u);
  EXPECT_EQ(icmp_too_big(Family::v6, 1'000).rest, 1'280u);
}

TEST(IcmpTest, AnErrorQuotesTheOffenderAndItsChecksumsAreRight) {
  for (const size_t payload : {0, 1, 11, 100, 519, 520, 521, 1'191, 1'192, 1'500, 9'000}) {
    Shape s;
    const Bytes offender = build(s, Bytes(payload, 0x33));
    const Bytes out = error(icmp_too_big(Family::v4, 1'300), "192.0.2.9", offender);
    ASSERT_EQ(out.size(), std::min<size_t>(576, 28 + offender.size()));
    EXPECT_EQ(testing::naive_sum(out.data(), 20), 0xffffu);
    EXPECT_EQ(testing::naive_sum(&out[20], out.size() - 20), 0xffffu);
    EXPECT_EQ(testing::get16(out, 2), out.size());
    EXPECT_EQ(out[9], 1);
    EXPECT_EQ(testing::get32(out, 12), 0xc000'0209u);
    EXPECT_EQ(testing::get32(out, 16), testing::get32(offender, 12));
    EXPECT_EQ(testing::get16(out, 26), 1'300u);
    EXPECT_TRUE(std::equal(out.begin() + 28, out.end(), offender.begin()));
  }
  for (const size_t payload : {0, 1, 1'171, 1'172, 1'173, 9'000}) {
    Shape s;
    s.v4 = false;
    const Bytes offender = build(s, Bytes(payload, 0x33));
    const Bytes out = error(icmp_unreachable(Family::v6), "fd00::9", offender);
    ASSERT_EQ(out.size(), std::min<size_t>(1'280, 48 + offender.size()));
    EXPECT_EQ(testing::get16(out, 4), out.size() - 40);
    EXPECT_EQ(out[6], 58);
    const uint8_t tail[4] = {0, 58, static_cast<uint8_t>((out.size() - 40) >> 8),
                             static_cast<uint8_t>(out.size() - 40)};
    const unsigned pseudo = testing::naive_sum(tail, 4, testing::naive_sum(&out[8], 32));
    EXPECT_EQ(testing::naive_sum(&out[40], out.size() - 40, pseudo), 0xffffu);
    EXPECT_TRUE(std::equal(out.begin() + 24, out.begin() + 40, offender.begin() + 8));
    EXPECT_TRUE(std::equal(out.begin() + 48, out.end(), offender.begin()));
  }
}

TEST(IcmpTest, WhatCannotBeWrittenIsNot) {
  Shape s;
  const Bytes offender = build(s, Bytes(100, 1));
  EXPECT_TRUE(error(icmp_unreachable(Family::v4), "fd00::9", offender).empty()) << "family";
  EXPECT_TRUE(error(icmp_unreachable(Family::v4), "192.0.2.9", Bytes(19, 0x45)).empty());
  EXPECT_TRUE(error(icmp_unreachable(Family::v6), "fd00::9", Bytes(39, 0x60)).empty());
  EXPECT_TRUE(error(icmp_unreachable(Family::v4), "192.0.2.9", Bytes(50, 0x55)).empty());
  EXPECT_TRUE(error(icmp_unreachable(Family::v4), "192.0.2.9", offender, 55).empty());
  EXPECT_EQ(error(icmp_unreachable(Family::v4), "192.0.2.9", offender, 56).size(), 56u);
}

// RFC 1122 3.2.2.
TEST(IcmpTest, Ipv4ErrorsAreOnlyAboutWhatMayBeAnswered) {
  const auto allowed = [](auto change, IcmpMessage message = icmp_unreachable(Family::v4)) {
    Bytes p = build(Shape{}, Bytes(40, 1));
    change(p);
    return may_answer(p, message);
  };
  EXPECT_TRUE(allowed([](Bytes&) {}));
  for (const uint32_t source : {0x00000000u, 0x7f000001u, 0xe0000001u, 0xf0000001u, 0xffffffffu}) {
    EXPECT_FALSE(allowed([&](Bytes& p) { testing::put32(p, 12, source); })) << source;
  }
  for (const uint32_t destination : {0xe0000001u, 0xffffffffu}) {
    EXPECT_FALSE(allowed([&](Bytes& p) { testing::put32(p, 16, destination); })) << destination;
  }
  EXPECT_TRUE(allowed([](Bytes& p) { p[6] = 0x20; })) << "first fragment";
  EXPECT_FALSE(allowed([](Bytes& p) { p[7] = 1; })) << "later fragment";
  for (unsigned type = 0; type < 256; ++type) {
    const bool error_or_unknown =
        type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type > 18;
    const bool answered = allowed([&](Bytes& p) {
      p[9] = 1;
      p[20] = static_cast<uint8_t>(type);
    });
    EXPECT_EQ(answered, !error_or_unknown) << type;
  }
  EXPECT_FALSE(allowed([](Bytes& p) {
    p[9] = 1;
    p.resize(20);
  })) << "an ICMP packet without its type";
  const auto big = icmp_too_big(Family::v4, 1'300);
  EXPECT_TRUE(allowed([](Bytes&) {}, big));
  EXPECT_FALSE(allowed([](Bytes& p) { p[6] = 0; }, big)) << "may be fragmented";
}

// RFC 4443 2.4 (e).
TEST(IcmpTest, Ipv6ErrorsAreOnlyAboutWhatMayBeAnswered) {
  const auto allowed = [](auto change, IcmpMessage message = icmp_unreachable(Family::v6)) {
    Shape s;
    s.v4 = false;
    s.extension = 8;
    Bytes p = build(s, Bytes(40, 1));
    change(p);
    return may_answer(p, message);
  };
  EXPECT_TRUE(allowed([](Bytes&) {}));
  EXPECT_FALSE(allowed([](Bytes& p) { std::fill_n(p.begin() + 8, 16, uint8_t{0}); })) << "unspecified source";
  EXPECT_FALSE(allowed([](Bytes& p) { p[8] = 0xff; })) << "multicast source";
  EXPECT_FALSE(allowed([](Bytes& p) { p[24] = 0xff; })) << "multicast destination";
  EXPECT_TRUE(allowed([](Bytes& p) { p[24] = 0xff; }, icmp_too_big(Family::v6, 1'300)));
  for (unsigned type = 0; type < 256; ++type) {
    const bool answered = allowed([&](Bytes& p) {
      p[40] = 58;  // behind the extension header
      p[48] = static_cast<uint8_t>(type);
    });
    EXPECT_EQ(answered, type >= 128 && type != 137) << type;
  }
  EXPECT_FALSE(allowed([](Bytes& p) {
    p[41] = 200;
    p[40] = 60;
  })) << "extension header beyond the end";
  EXPECT_FALSE(allowed([](Bytes& p) {
    p[6] = 44;
    p[43] = 8;
  })) << "later fragment";
  EXPECT_TRUE(allowed([](Bytes& p) {
    p[6] = 44;
    p[42] = p[43] = 0;
  })) << "first fragment";
  EXPECT_FALSE(may_answer(Bytes(30, 0x60), icmp_unreachable(Family::v6)));
  EXPECT_FALSE(may_answer({}, icmp_unreachable(Family::v6)));
}

TEST(IcmpTest, AQuoteHoldsTheOffenderAsTheErrorMayQuoteIt) {
  for (const bool v4 : {true, false}) {
    const size_t most = v4 ? 576 - 28 : 1'280 - 48;
    for (const size_t payload : {size_t{10}, most, size_t{3'000}}) {
      Shape s;
      s.v4 = v4;
      Bytes offender = build(s, Bytes(payload, 0x33));
      const Bytes expected(offender.begin(),
                           offender.begin() + static_cast<long>(std::min(offender.size(), most)));
      const IcmpMessage message = icmp_too_big(v4 ? Family::v4 : Family::v6, 1'300);
      const IcmpError whole = quote(ByteView(offender), message);
      EXPECT_EQ(whole.packet, expected);
      EXPECT_EQ(whole.type, message.type);
      EXPECT_EQ(whole.code, message.code);
      EXPECT_EQ(whole.rest, 1'300u);
      // A head that was cut apart, in whose place another version's bytes still are.
      const Bytes head(offender.begin(), offender.begin() + static_cast<long>(s.head()));
      std::fill_n(offender.begin(), s.head(), v4 ? 0x60 : 0x45);
      const Piece piece{.data = offender.data(),
                        .size = static_cast<uint32_t>(offender.size()),
                        .head_size = static_cast<uint16_t>(head.size()),
                        .head = head.data()};
      EXPECT_EQ(quote(piece, message).packet, expected);
    }
  }
}

}  // namespace
}  // namespace hats::packet
