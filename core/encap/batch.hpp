// The batches that travel through plan, work and commit of the unencrypted tunnels (DESIGN.md 4). plan and
// commit belong to the node's owner; work is pure and may run on any thread. A batch is made once, and
// cleared, not freed, between uses.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/address.hpp"
#include "core/encap/tunnel_config.hpp"
#include "core/packet/piece.hpp"

namespace hats::encap {

using TunnelId = uint32_t;
inline constexpr TunnelId kNoTunnel = 0xffff'ffff;

/// Bytes of headers that travel apart from the payload: GRE with everything (16) and the inner packet's own
/// headers where they were cut apart (packet::HeadArena::kMaxHead).
inline constexpr size_t kMaxOutHead = 16 + packet::HeadArena::kMaxHead;

/// How an outer packet leaves (DESIGN.md 4: DF is a socket option, one sending socket per mode).
enum class SendMode : uint8_t {
  fragmentable,     // DF clear: the kernel fragments where the path is narrow; over IPv6 likewise
  dont_fragment,    // DF set
  header_included,  // the bytes begin with the complete outer IPv4 header (keepalive answers)
};

/// One outer packet without its IP header: `head`, then `data`.
struct OutPacket {
  std::array<uint8_t, kMaxOutHead> head;
  uint16_t head_size = 0;
  const uint8_t* data = nullptr;  // in the memory that the piece lies in
  uint32_t size = 0;              // bytes at data
  uint32_t piece = 0;             // index into the pieces given to plan_outbound
  TunnelId tunnel = kNoTunnel;
  uint32_t tunnel_serial = 0;  // the node's: a tunnel removed since is known by it
  uint16_t inner_offset = 0;   // bytes of `head` before the inner packet
  Kind kind = Kind::gre;
  SendMode mode = SendMode::dont_fragment;
  IpAddress to;
  LocalSource from;                            // address unset: the kernel chooses
  uint8_t ttl = 0;                             // 1..255
  uint8_t ds = 0;                              // outer TOS or traffic class
  uint32_t flow_label = 0;                     // over IPv6
  std::optional<uint8_t> encapsulation_limit;  // over IPv6: in a destination option before the payload
};

struct OutboundBatch {
  std::vector<OutPacket> packets;
  /// GRE checksums that work() has to fill in: index into packets.
  std::vector<uint32_t> checksums;
  void clear() {
    packets.clear();
    checksums.clear();
  }
};

/// One receive of a raw socket. GRO may have merged several outer packets into one of up to 64 KiB
/// (formats.md 5.5).
struct Received {
  ByteSpan bytes{};  // IPv4: from the outer header on. IPv6: what follows the outer and extension headers
  Kind kind = Kind::gre;
  IpAddress from{}, to{};        // of the outer packet; IPv4's are read from `bytes`, and need not be set
  uint32_t interface_index = 0;  // it came by; 0: unknown
  uint8_t ds = 0;                // outer traffic class of IPv6; of IPv4 read from `bytes`
  uint8_t hop_limit = 0;         // IPv6
  Family family = Family::v4;
  uint32_t tag = 0;  // the caller's; comes back with each inner packet
};

/// A decapsulated packet, in place in the receive's memory.
struct InnerPacket {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  TunnelId tunnel = kNoTunnel;
  uint32_t tag = 0;
  /// kind none: one packet, to be written or merged like any other. Else a packet that GRO has merged and
  /// that is larger than the interface's MTU: it is to be written alone with this offload, or cut with it
  /// where the TUN takes none.
  packet::Offload offload;
};

struct InboundBatch {
  struct Job {  // one receive that found its tunnel
    uint32_t received = 0;
    TunnelId tunnel = kNoTunnel;
    uint32_t tunnel_serial = 0;  // the node's: a tunnel removed since is known by it
    uint32_t payload = 0;        // offset of the GRE header's end (inner packet) in received.bytes
    uint32_t header = 0;         // offset of the GRE header; equal to payload for sit and ipip
    uint16_t protocol = 0;       // ethertype of the inner packet
    bool has_checksum = false, checksum_good = false;
    bool has_sequence = false;
    uint32_t sequence = 0;
    bool merged = false;  // found by work(): the inner TCP checksum says that GRO merged it
  };
  std::vector<Received> received;
  std::vector<Job> jobs;
  void clear() {
    received.clear();
    jobs.clear();
  }
};

/// A packet that the node sends of its own: keepalives and their answers.
struct ControlPacket {
  std::vector<uint8_t>
      bytes;      // what follows the outer IP header, or the whole packet in mode header_included
  OutPacket out;  // where to and how; head, data and size are not used
};

}  // namespace hats::encap
