// A node with one tunnel that is given whatever bytes the fuzzer likes, and the laws of what comes out.
#pragma once

#include <vector>

#include "core/encap/node.hpp"
#include "core/packet/cut.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/unit/core/encap_outer.hpp"

namespace hats::encap::fuzz {

using hats::fuzz::Input;
using packet::testing::get16;
using packet::testing::naive_sum;
using testing::Bytes;

inline constexpr Now kNow{BootTime{seconds(5'000).ns}, {}};
inline constexpr size_t kMostReceives = 64;  // of one input

/// Most bytes would die at a version, a length or a checksum; these put them right. `choice` says which.
inline void mend_inner(Bytes& inner, bool v4, uint8_t choice) {
  if (inner.size() < 60) return;
  inner[0] = v4 ? 0x45 : 0x60;
  if (v4) {
    packet::testing::put16(inner, 2, static_cast<unsigned>(inner.size()));
    inner[6] &= 0x40;
    inner[7] = 0;
  } else {
    packet::testing::put16(inner, 4, static_cast<unsigned>(inner.size() - 40));
  }
  if ((choice & 1) != 0) {
    testing::Shape s;
    s.v4 = v4;
    s.tcp = (choice & 2) != 0;
    inner[v4 ? 9 : 6] = s.tcp ? 6 : 17;
    if (s.tcp) inner[s.transport() + 12] = 0x50;
    if (inner.size() >= s.head()) packet::testing::seal(inner, s, (choice & 4) != 0);
  }
}

class Receiver {
 public:
  Receiver(const TunnelConfig& config, uint32_t mtu) : config_(config), mtu_(mtu) {
    tunnel_ = *node_.add(config, mtu);
    node_.set_up(kNow, tunnel_, true);
  }

  /// One receive. `like` gives everything but the bytes, which lie in memory of exactly their size.
  void receive(const Bytes& bytes, Received like) {
    Bytes memory = bytes;
    like.bytes = memory;
    like.tag = ++received_;
    InboundBatch batch;
    std::vector<InnerPacket> inner;
    node_.plan_inbound(kNow, std::span(&like, 1), batch);
    Node::work(batch);
    node_.commit_inbound(kNow, batch, inner);
    HATS_FUZZ_CHECK(inner.size() <= 1);
    for (const InnerPacket& one : inner) check(one, memory, bytes);
    delivered_ += inner.size();
    check_books();
  }

 private:
  // Delivered is what was received, at its place, but for marks and checksums.
  void check(const InnerPacket& inner, const Bytes& memory, const Bytes& before) const {
    HATS_FUZZ_CHECK(inner.tunnel == tunnel_ && inner.tag == received_);
    HATS_FUZZ_CHECK(inner.data >= memory.data() && inner.data + inner.size <= memory.data() + memory.size());
    const Bytes packet(inner.data, inner.data + inner.size);
    const bool v4 = packet[0] >> 4 == 4;
    HATS_FUZZ_CHECK(v4 ? config_.kind != Kind::sit : packet[0] >> 4 == 6 && config_.kind != Kind::ipip);
    HATS_FUZZ_CHECK(packet.size() >= (v4 ? 20u : 40u));
    HATS_FUZZ_CHECK(packet.size() == (v4 ? get16(packet, 2) : 40 + get16(packet, 4)));
    const auto at = static_cast<size_t>(inner.data - memory.data());
    size_t changed = 0;
    for (size_t i = 0; i < packet.size(); ++i) {
      const bool mark = i < 2 || (v4 && (i == 10 || i == 11));
      if (packet[i] != before[at + i] && !mark) ++changed;
    }
    HATS_FUZZ_CHECK(changed <= 2);  // a transport checksum
    if (inner.offload.kind != packet::Offload::Kind::none) check_offload(packet, inner.offload, changed);
  }

  void check_offload(Bytes packet, const packet::Offload& offload, size_t changed) const {
    HATS_FUZZ_CHECK(changed == 0 && packet.size() > mtu_);
    const Bytes payload(packet.begin() + offload.header_size, packet.end());
    HATS_FUZZ_CHECK(offload.segment_size != 0);
    packet::HeadArena heads(payload.size() / offload.segment_size + 1);
    std::vector<packet::Piece> pieces;
    HATS_FUZZ_CHECK(packet::cut(packet, 0, offload, heads, pieces) == packet::CutResult::ok);
    HATS_FUZZ_CHECK(pieces.size() > 1);
    Bytes again;
    for (const packet::Piece& piece : pieces) {
      if (piece.head_size != 0) std::copy_n(piece.head, piece.head_size, piece.data);
      HATS_FUZZ_CHECK(piece.size <= mtu_);
      again.insert(again.end(), piece.data + offload.header_size, piece.data + piece.size);
    }
    HATS_FUZZ_CHECK(again == payload);
  }

  // Every receive is delivered, dropped, a stray or a keepalive; and whoever is answered is the remote.
  void check_books() {
    const TunnelCounters counters = node_.status(kNow, tunnel_).counters;
    uint64_t sum = counters.keepalives_answered + counters.keepalives_returned;
    for (const uint64_t n : counters.drops) sum += n;
    for (const uint64_t n : node_.strays()) sum += n;
    HATS_FUZZ_CHECK(counters.rx_packets == delivered_);
    HATS_FUZZ_CHECK(sum + delivered_ == received_);
    TunnelId tunnel = kNoTunnel;
    packet::IcmpError error;
    HATS_FUZZ_CHECK(!node_.poll_icmp(tunnel, error));
    for (ControlPacket control; node_.poll_packet(control);) {
      HATS_FUZZ_CHECK(control.out.to == config_.remote && control.bytes.size() <= 64);
      HATS_FUZZ_CHECK(control.out.mode == SendMode::header_included && control.bytes.size() >= 24);
      const auto header = control.bytes.begin();
      HATS_FUZZ_CHECK(std::equal(header + 16, header + 20, config_.remote.bytes.begin()));
      HATS_FUZZ_CHECK(std::equal(header + 12, header + 16, config_.local.bytes.begin()));
      HATS_FUZZ_CHECK(naive_sum(control.bytes.data(), control.bytes[0] % 16 * 4u) == 0xffff);
    }
  }

  Node node_;
  TunnelConfig config_;
  uint32_t mtu_;
  TunnelId tunnel_ = kNoTunnel;
  uint32_t received_ = 0;
  uint64_t delivered_ = 0;
};

}  // namespace hats::encap::fuzz
