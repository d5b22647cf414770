// Inner packets through a tunnel and what comes of them, for the tests of core/encap.
#pragma once

#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap::testing {

/// An inner packet of `size` bytes in all.
inline Bytes inner_of(bool v4, size_t size, bool dont_fragment = true) {
  Shape s;
  s.v4 = v4;
  s.dont_fragment = dont_fragment;
  return packet::testing::build(s, Bytes(size - s.head(), 0x5a));
}

struct Sent {
  Bytes bytes;  // what follows the outer IP header
  OutPacket packet;
};

/// All packets of one batch. With `cut_head`, the first so many bytes are given apart, as packet::cut() does
/// it.
inline std::vector<Sent> send(OneTunnel& t, std::vector<Bytes> inner, uint16_t cut_head = 0) {
  std::vector<packet::Piece> pieces;
  std::vector<Bytes> heads;
  heads.reserve(inner.size());
  for (Bytes& bytes : inner) {
    packet::Piece piece{.data = bytes.data(), .size = static_cast<uint32_t>(bytes.size())};
    if (cut_head != 0) {
      heads.emplace_back(bytes.begin(), bytes.begin() + cut_head);
      std::fill_n(bytes.begin(), cut_head, uint8_t{0xee});
      piece.head = heads.back().data();
      piece.head_size = cut_head;
    }
    pieces.push_back(piece);
  }
  OutboundBatch batch;
  t.node.plan_outbound(t.now, t.tunnel, pieces, batch);
  Node::work(batch);
  t.node.commit_outbound(t.now, batch);
  std::vector<Sent> out;
  for (const OutPacket& p : batch.packets) {
    Sent sent{{p.head.begin(), p.head.begin() + p.head_size}, p};
    sent.bytes.insert(sent.bytes.end(), p.data, p.data + p.size);
    out.push_back(std::move(sent));
  }
  return out;
}

inline std::vector<packet::IcmpError> errors(OneTunnel& t) {
  std::vector<packet::IcmpError> out;
  TunnelId tunnel = kNoTunnel;
  for (packet::IcmpError error; t.node.poll_icmp(tunnel, error);) {
    EXPECT_EQ(tunnel, t.tunnel);
    out.push_back(error);
  }
  return out;
}

inline void expect_error(const packet::IcmpError& error, uint8_t type, uint8_t code, uint32_t rest,
                         const Bytes& about) {
  EXPECT_EQ(error.type, type);
  EXPECT_EQ(error.code, code);
  EXPECT_EQ(error.rest, rest);
  ASSERT_LE(error.packet.size(), about.size());
  ASSERT_GE(error.packet.size(), std::min<size_t>(about.size(), 48));
  EXPECT_TRUE(std::equal(error.packet.begin(), error.packet.end(), about.begin()));
}

}  // namespace hats::encap::testing
