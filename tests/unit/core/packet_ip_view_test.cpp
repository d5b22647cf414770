#include "core/packet/ip_view.hpp"

#include <gtest/gtest.h>

#include "tests/unit/core/packet_builder.hpp"

namespace hats::packet {
namespace {

using testing::Bytes;
using testing::Shape;

std::optional<size_t> length_of(ByteView bytes) {
  const auto ip = IpView::parse(bytes);
  return ip ? std::optional(ip->length()) : std::nullopt;
}

TEST(IpViewTest, TheStatedLengthMustFitTheBytesAndTheHeader) {
  for (const bool v4 : {true, false}) {
    Shape s;
    s.v4 = v4;
    const Bytes packet = build(s, Bytes(100, 1));
    EXPECT_EQ(length_of(packet), packet.size());
    for (size_t size = 0; size < packet.size(); ++size) {
      EXPECT_FALSE(IpView::parse(ByteView(packet).first(size))) << size;
    }
    Bytes padded = packet;
    padded.resize(padded.size() + 15);
    EXPECT_EQ(length_of(padded), packet.size());
  }
  Shape s;
  Bytes packet = build(s, {});
  for (unsigned length = 0; length < 20; ++length) {
    testing::put16(packet, 2, length);
    EXPECT_FALSE(IpView::parse(packet)) << length;
  }
}

TEST(IpViewTest, OnlyVersionsFourAndSix) {
  for (unsigned first = 0; first < 256; ++first) {
    Bytes packet(60, 0);
    packet[0] = static_cast<uint8_t>(first);
    packet[3] = 60;
    EXPECT_EQ(IpView::parse(packet).has_value(), first >> 4 == 4 || first >> 4 == 6) << first;
  }
}

TEST(IpViewTest, FieldsAreThoseThatWereBuilt) {
  std::mt19937 rng(1);
  for (int i = 0; i < 500; ++i) {
    const Shape s = testing::random_shape(rng);
    const Bytes packet = build(s, Bytes(30, 1));
    const auto ip = IpView::parse(packet);
    ASSERT_TRUE(ip);
    EXPECT_EQ(ip->is_v4(), s.v4);
    EXPECT_EQ(ip->ds(), s.tos);
    EXPECT_EQ(ip->ttl(), s.ttl);
    EXPECT_EQ(ip->dont_fragment(), s.v4 && s.dont_fragment);
    EXPECT_FALSE(ip->is_fragment());
    EXPECT_EQ(ip->source().text(), s.v4 ? "10.0.0.1" : "fd00::1");
    EXPECT_EQ(ip->destination().text(), s.v4 ? "10.0.1.2" : "fd00::2");
    const auto transport = find_transport(*ip);
    ASSERT_TRUE(transport);
    EXPECT_EQ(transport->offset, s.transport());
    EXPECT_EQ(transport->protocol, s.tcp ? 6 : 17);
    const ByteView rest = ip->bytes().subspan(transport->offset);
    if (s.tcp) {
      const auto tcp = TcpView::parse(rest);
      ASSERT_TRUE(tcp);
      EXPECT_EQ(tcp->header_size(), 20 + s.options);
      EXPECT_EQ(tcp->sequence(), s.sequence);
      EXPECT_EQ(tcp->acknowledgement(), s.acknowledgement);
      EXPECT_EQ(tcp->flags(), s.flags);
      EXPECT_EQ(tcp->payload().size(), 30u);
    } else {
      const auto udp = UdpView::parse(rest);
      ASSERT_TRUE(udp);
      EXPECT_EQ(udp->payload().size(), 30u);
    }
  }
}

TEST(IpViewTest, HeaderLengthsThatAreNotPossibleGiveNoTransport) {
  Shape s;
  Bytes packet = build(s, {});
  for (unsigned words = 0; words < 16; ++words) {
    packet[0] = static_cast<uint8_t>(0x40 | words);
    const auto ip = IpView::parse(packet);
    ASSERT_TRUE(ip);
    EXPECT_EQ(find_transport(*ip).has_value(), words >= 5 && words * 4 <= packet.size()) << words;
  }
  s.v4 = false;
  s.extension = 8;
  packet = build(s, {});
  packet[41] = 10;  // an extension header longer than the packet
  const auto ip = IpView::parse(packet);
  ASSERT_TRUE(ip);
  EXPECT_FALSE(find_transport(*ip));
}

TEST(IpViewTest, WhereAPacketGoesToAndComesFromIsReadFromAsMuchAsIsThere) {
  for (const bool v4 : {true, false}) {
    Shape s;
    s.v4 = v4;
    const Bytes packet = build(s, Bytes(8, 0));
    const auto ip = IpView::parse(packet);
    ASSERT_TRUE(ip);
    const IpAddress source = ip->source(), destination = ip->destination();
    const size_t header = v4 ? 20 : 40;
    for (size_t size = 0; size <= packet.size(); ++size) {
      const ByteView part = ByteView(packet).first(size);
      EXPECT_EQ(goes_to(part, destination), size >= header);
      EXPECT_EQ(comes_from(part, source), size >= header);
    }
    EXPECT_FALSE(goes_to(packet, source));
    EXPECT_FALSE(comes_from(packet, destination));
    EXPECT_FALSE(goes_to(packet, {}));
    IpAddress other = destination;  // the same bytes of another family
    other.family = v4 ? Family::v6 : Family::v4;
    EXPECT_FALSE(goes_to(packet, other));
  }
}

}  // namespace
}  // namespace hats::packet
