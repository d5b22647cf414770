// Outer packets for the tests of core/encap, written byte by byte without the product's own code.
#pragma once

#include <optional>

#include "core/base/address.hpp"
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

}  // namespace hats::encap::testing
