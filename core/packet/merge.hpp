// Merging inner packets of one flow into large TUN writes (TSO/USO), so that cutting them again gives the
// same bytes: Linux's GRO rules (tcp_gro_receive, udp_gro_receive), with one table by flow for a whole batch.
#pragma once

#include <array>
#include <span>

#include "core/packet/piece.hpp"

namespace hats::packet {

/// One write to TUN: an offload description and the fragments [first, first + count) of
/// MergedWrites::fragments. Fragments point into the packets given; the first packet's header was changed in
/// place if count of packets > 1.
struct TunWritePlan {
  Offload offload;
  uint32_t first = 0, count = 0;
  uint32_t bytes = 0;
  uint32_t saved = 0;  // where in MergedWrites::saved the first packet's header is, as it came
};

/// Most packets in one write: what the kernel's own UDP GRO makes (UDP_GRO_CNT_MAX), and well under IOV_MAX.
inline constexpr uint32_t kMaxMergedPackets = 64;

namespace detail {

/// Packets that will be one write, while the batch is looked through. A packet on its own is a run of one.
struct MergeRun {
  uint32_t first = 0, last = 0;  // indices of packets, linked by MergeScratch::next
  uint32_t count = 1;
  uint32_t bytes = 0;          // of the whole write
  uint32_t next_sequence = 0;  // TCP: what the next packet must start with
  uint16_t transport = 0;      // offset of the TCP or UDP header; 0: nothing joins this run
  uint16_t head = 0;           // bytes of all headers
  uint16_t segment = 0;        // payload bytes of every packet but the last
  bool tcp = false;
  bool verified = false;     // the first packet's checksums are right
  bool constant_id = false;  // IPv4 with DF: identifications stay instead of counting up
  bool closed = false;       // complete: a short, PSH, FIN or last possible packet is in it
};

struct FlowSlot {
  uint32_t epoch = 0;
  uint32_t run = 0;
};

/// Power of two. A flow that finds no slot near its own is not merged.
inline constexpr size_t kFlowSlots = 2048;

struct MergeScratch {
  std::vector<MergeRun> runs;
  std::vector<uint32_t> next;
  std::array<FlowSlot, kFlowSlots> flows{};
  uint32_t epoch = 0;
};

}  // namespace detail

struct MergedWrites {
  std::vector<TunWritePlan> writes;
  std::vector<Fragment> fragments;
  std::vector<uint8_t> saved;    // headers of the first packets of merged writes, one behind another
  detail::MergeScratch scratch;  // merge()'s own; kept so that nothing allocates per batch
  void clear() {
    writes.clear();
    fragments.clear();
    saved.clear();
  }
};

struct MergeLimits {
  bool tcp = true;  // the device takes TSO writes
  bool udp = true;  // the device takes USO writes
};

/// Appends to `out` the writes for `packets` (whole IP packets in arrival order). Packets of a flow keep
/// their order; packets of different flows may overtake each other only where both are TCP or UDP: anything
/// else (ICMP, fragments, other protocols) overtakes nothing and is not overtaken.
///
/// Merged are TCP data segments that follow one another and UDP datagrams, with equal addresses, ports,
/// TOS/ECN, TTL, flow label, DF, flags (PSH and FIN end a write), acknowledgement, window, options, and sizes
/// that are cut into the same bytes again. Exception: IPv4 identifications of packets with DF may all be
/// equal, where cutting would count them up; they mean nothing there (RFC 6864 4.1). Packets whose IP or
/// transport checksum is wrong, or absent (UDP), are never merged, so no wrong packet is repaired. A packet
/// on its own goes out as it came.
void merge(std::span<const ByteSpan> packets, const MergeLimits& limits, MergedWrites& out);

/// Takes a write of `merged` apart again: appends the packets that it was made of to `out`, byte for byte as
/// they came. For a queue that refuses the large write; the memory of the packets is as merge() left it.
void unmerge(const TunWritePlan& plan, const MergedWrites& merged, std::vector<Fragment>& out);

}  // namespace hats::packet
