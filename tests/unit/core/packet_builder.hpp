// Packets for the tests of core/packet: made, segmented and checksummed byte by byte, with nothing of the
// product's own, so that both cannot be wrong in the same way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace hats::packet::testing {

using Bytes = std::vector<uint8_t>;

inline void put16(Bytes& b, size_t at, unsigned v) {
  b[at] = static_cast<uint8_t>(v >> 8);
  b[at + 1] = static_cast<uint8_t>(v);
}
inline void put32(Bytes& b, size_t at, uint32_t v) {
  put16(b, at, v >> 16);
  put16(b, at + 2, v & 0xffff);
}
inline unsigned get16(const Bytes& b, size_t at) {
  return b[at] * 256u + b[at + 1];
}
inline uint32_t get32(const Bytes& b, size_t at) {
  return get16(b, at) * 65536u + get16(b, at + 2);
}

/// RFC 1071 as it is written: 16 bits at a time, carries folded at once.
inline unsigned naive_sum(const uint8_t* data, size_t size, unsigned sum = 0) {
  for (size_t i = 0; i < size; ++i) {
    sum += i % 2 == 0 ? data[i] * 256u : data[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct Shape {
  bool v4 = true;
  bool tcp = true;
  size_t options = 0;    // TCP option bytes, a multiple of 4
  size_t extension = 0;  // bytes of an IPv6 destination options header, a multiple of 8
  size_t ip_options = 0;
  uint8_t tos = 0, ttl = 64, flags = 0x10;
  uint16_t id = 100, source_port = 4000, destination_port = 5000, window = 500;
  uint32_t sequence = 1000, acknowledgement = 77;
  uint8_t host = 1;  // last byte of the source address
  bool dont_fragment = true;
  uint8_t option_byte = 1;

  [[nodiscard]] size_t transport() const { return v4 ? 20 + ip_options : 40 + extension; }
  [[nodiscard]] size_t head() const { return transport() + (tcp ? 20 + options : 8); }
  [[nodiscard]] size_t checksum_at() const { return transport() + (tcp ? 16 : 6); }
};

inline unsigned pseudo_sum(const Bytes& p, const Shape& s) {
  const size_t length = p.size() - s.transport();
  unsigned sum = s.v4 ? naive_sum(&p[12], 8) : naive_sum(&p[8], 32);
  const uint8_t tail[4] = {0, static_cast<uint8_t>(s.tcp ? 6 : 17), static_cast<uint8_t>(length >> 8),
                           static_cast<uint8_t>(length)};
  return naive_sum(tail, 4, sum);
}

/// Writes lengths and checksums: the IP header's, and the transport's (whole, or the pseudo-header's alone).
inline void seal(Bytes& p, const Shape& s, bool partial = false) {
  if (s.v4) {
    put16(p, 2, static_cast<unsigned>(p.size()));
    put16(p, 10, 0);
    put16(p, 10, naive_sum(p.data(), s.transport()) ^ 0xffff);
  } else {
    put16(p, 4, static_cast<unsigned>(p.size() - 40));
  }
  if (!s.tcp) put16(p, s.transport() + 4, static_cast<unsigned>(p.size() - s.transport()));
  put16(p, s.checksum_at(), 0);
  const unsigned pseudo = pseudo_sum(p, s);
  unsigned sum = pseudo;
  if (!partial) sum = naive_sum(&p[s.transport()], p.size() - s.transport(), pseudo) ^ 0xffff;
  if (!partial && !s.tcp && sum == 0) sum = 0xffff;
  put16(p, s.checksum_at(), sum);
}

inline Bytes build(const Shape& s, const Bytes& payload, bool partial = false) {
  Bytes p(s.head(), 0);
  if (s.v4) {
    p[0] = static_cast<uint8_t>(0x40 | (s.transport() / 4));
    p[1] = s.tos;
    put16(p, 4, s.id);
    p[6] = s.dont_fragment ? 0x40 : 0;
    p[8] = s.ttl;
    p[9] = s.tcp ? 6 : 17;
    put32(p, 12, 0x0a000000u + s.host);
    put32(p, 16, 0x0a000102u);
    for (size_t i = 0; i < s.ip_options; ++i) p[20 + i] = 1;  // NOP
  } else {
    put32(p, 0, 0x60012345u | uint32_t{s.tos} << 20);
    p[6] = s.extension != 0 ? 60 : s.tcp ? 6 : 17;
    p[7] = s.ttl;
    p[8] = 0xfd;
    p[23] = s.host;
    p[24] = 0xfd;
    p[39] = 2;
    if (s.extension != 0) {
      p[40] = s.tcp ? 6 : 17;
      p[41] = static_cast<uint8_t>(s.extension / 8 - 1);
      p[42] = 1;  // PadN
      p[43] = static_cast<uint8_t>(s.extension - 4);
    }
  }
  const size_t t = s.transport();
  put16(p, t, s.source_port);
  put16(p, t + 2, s.destination_port);
  if (s.tcp) {
    put32(p, t + 4, s.sequence);
    put32(p, t + 8, s.acknowledgement);
    p[t + 12] = static_cast<uint8_t>((20 + s.options) / 4 << 4);
    p[t + 13] = s.flags;
    put16(p, t + 14, s.window);
    for (size_t i = 0; i < s.options; ++i) p[t + 20 + i] = s.option_byte;
  }
  p.insert(p.end(), payload.begin(), payload.end());
  seal(p, s, partial);
  return p;
}

inline Bytes random_bytes(std::mt19937& rng, size_t size) {
  Bytes out(size);
  for (uint8_t& b : out) b = static_cast<uint8_t>(rng());
  return out;
}

/// The reference segmenter: a packet of `payload` for each `segment` bytes (RFC 9293 3.7.1, and what Linux
/// does with the flags).
inline std::vector<Bytes> segments(Shape s, const Bytes& payload, size_t segment) {
  std::vector<Bytes> out;
  const uint8_t flags = s.flags;
  for (size_t at = 0; at == 0 || at < payload.size(); at += segment) {
    const size_t size = std::min(segment, payload.size() - at);
    s.flags = flags;
    if (at != 0) s.flags &= 0x7f;                         // CWR
    if (at + size < payload.size()) s.flags &= 0xff - 9;  // FIN, PSH
    out.push_back(build(
        s, Bytes(payload.begin() + static_cast<long>(at), payload.begin() + static_cast<long>(at + size))));
    s.sequence += static_cast<uint32_t>(size);
    ++s.id;
  }
  return out;
}

inline Shape random_shape(std::mt19937& rng) {
  Shape s;
  s.v4 = rng() % 2;
  s.tcp = rng() % 2;
  if (s.tcp) s.options = rng() % 11 * 4;
  if (!s.v4 && rng() % 4 == 0) s.extension = 8 + rng() % 2 * 8;
  if (s.v4 && rng() % 4 == 0) s.ip_options = rng() % 11 * 4;
  s.tos = static_cast<uint8_t>(rng());
  s.ttl = static_cast<uint8_t>(rng());
  s.flags = static_cast<uint8_t>(0x10 | (rng() & 0xc9));
  s.id = static_cast<uint16_t>(rng());
  s.sequence = static_cast<uint32_t>(rng());
  s.acknowledgement = static_cast<uint32_t>(rng());
  s.window = static_cast<uint16_t>(rng());
  s.dont_fragment = rng() % 2;
  return s;
}

}  // namespace hats::packet::testing
