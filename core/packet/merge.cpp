// Stages: 1. classify each packet; 2. find its flow's open run, in the run before or in the table; 3. join it
// or start a run; 4. when all packets are placed, finish the headers and lay out the writes.
#include "core/packet/merge.hpp"

#include <algorithm>

#include "core/packet/checksum.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::packet {

namespace {

using detail::FlowSlot;
using detail::kFlowSlots;
using detail::MergeRun;
using detail::MergeScratch;

constexpr uint32_t kMaxWriteBytes = 65'535;  // the IPv4 total length; IPv6 is held to the same
constexpr size_t kProbes = 8;                // slots looked at, so that chosen collisions cost little
constexpr uint32_t kNone = 0xffff'ffff;
constexpr size_t kTcpChecksumOffset = 16;
constexpr size_t kUdpChecksumOffset = 6;

enum class Class : uint8_t {
  barrier,  // neither TCP nor UDP, or not to be understood: nothing overtakes it
  flow,     // TCP or UDP that cannot be merged: ends its flow's run
  data,     // a candidate
};

struct Candidate {
  Class kind = Class::barrier;
  bool v4 = false, tcp = false;
  uint8_t flags = 0;       // TCP
  uint16_t transport = 0;  // offset of the TCP or UDP header
  uint16_t head = 0;       // bytes of all headers
  uint32_t payload = 0;
  uint64_t hash = 0;
};

uint64_t mix(uint64_t a, uint64_t b) noexcept {
  const uint64_t x = (a ^ b) * 0x9e37'79b9'7f4a'7c15ULL;
  return x ^ (x >> 29);
}

uint64_t load_word(const uint8_t* p) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

uint64_t flow_hash(const uint8_t* ip, const Candidate& c) noexcept {
  uint64_t hash = mix(load_be32(ip + c.transport), c.tcp ? 1 : 0);
  if (c.v4) return mix(hash, load_word(ip + 12));
  for (size_t i = 8; i < 40; i += 8) hash = mix(hash, load_word(ip + i));
  return hash;
}

// Stage 1. Only what can be told from the headers; checksums are looked at when a second packet wants to
// join.
Candidate classify(ByteView packet, const MergeLimits& limits) noexcept {
  Candidate out;
  const auto ip = IpView::parse(packet);
  if (!ip || ip->length() != packet.size() || ip->is_fragment()) return out;
  out.v4 = ip->is_v4();
  out.transport = out.v4 ? kIpv4MinHeader : kIpv6Header;
  // IPv4 options, IPv6 extension headers: left alone, as GRO does.
  if (ip->transport_offset() != out.transport || packet.size() > kMaxWriteBytes) return out;
  const ByteView rest = packet.subspan(out.transport);
  if (ip->protocol() == kProtoTcp) {
    const auto tcp = TcpView::parse(rest);
    if (!tcp) return out;
    out.tcp = true;
    out.flags = tcp->flags();
    out.head = static_cast<uint16_t>(out.transport + tcp->header_size());
    // SYN, RST, URG and CWR segments stand alone; so does what carries no data.
    const bool plain = (out.flags & ~(kTcpPsh | kTcpFin | kTcpEce)) == kTcpAck;
    const bool data = limits.tcp && plain && packet.size() > out.head;
    out.kind = data ? Class::data : Class::flow;
  } else if (ip->protocol() == kProtoUdp) {
    const auto udp = UdpView::parse(rest);
    if (!udp) return out;
    out.head = static_cast<uint16_t>(out.transport + kUdpHeader);
    // No checksum cannot be expressed in a USO write.
    const bool data = limits.udp && udp->checksum() != 0 && packet.size() > out.head;
    out.kind = data ? Class::data : Class::flow;
  } else {
    return out;
  }
  out.payload = static_cast<uint32_t>(packet.size() - out.head);
  out.hash = flow_hash(packet.data(), out);
  return out;
}

// IP header and transport checksum are right, and written in the way in which cutting would write them: the
// checksum of a header whose words add up to zero is 0, never 0xffff, but for UDP.
bool verify(ByteView packet, bool v4, bool tcp, size_t transport) noexcept {
  if (v4) {
    if (finish(sum_of(packet.first(transport))) != 0 || load_be16(&packet[10]) == 0xffff) return false;
  }
  const ByteView addresses = v4 ? packet.subspan(12, 8) : packet.subspan(8, 32);
  const ByteView rest = packet.subspan(transport);
  if (tcp && load_be16(&rest[kTcpChecksumOffset]) == 0xffff) return false;
  const Sum pseudo =
      pseudo_header_sum(addresses, tcp ? kProtoTcp : kProtoUdp, static_cast<uint32_t>(rest.size()));
  return finish(pseudo + sum_of(rest)) == 0;
}

bool equal(const uint8_t* a, const uint8_t* b, size_t from, size_t size) noexcept {
  return std::memcmp(a + from, b + from, size) == 0;
}

bool same_flow(const uint8_t* a, const uint8_t* b, const Candidate& c) noexcept {
  if (a[0] >> 4 != b[0] >> 4) return false;
  const size_t protocol = c.v4 ? 9 : 6;
  if (a[protocol] != b[protocol] || !equal(a, b, c.transport, 4)) return false;
  return c.v4 ? equal(a, b, 12, 8) : equal(a, b, 8, 32);
}

// Everything in the IP header that cutting repeats from the first packet. Identifications are apart.
bool same_ip_header(const uint8_t* a, const uint8_t* b, bool v4) noexcept {
  return v4 ? equal(a, b, 0, 2) && equal(a, b, 6, 3) : equal(a, b, 0, 4) && equal(a, b, 7, 1);
}

// The same for TCP: acknowledgement, offset and flags (but for the two that may end a write), window, urgent
// pointer, options. `a` and `b` at the TCP header.
bool same_tcp_header(const uint8_t* a, const uint8_t* b, size_t size) noexcept {
  constexpr uint8_t kEnding = kTcpPsh | kTcpFin;
  return equal(a, b, 8, 5) && ((a[13] ^ b[13]) & ~kEnding) == 0 && equal(a, b, 14, 2) &&
         equal(a, b, 18, size - 18);
}

class Merger {
 public:
  Merger(std::span<const ByteSpan> packets, const MergeLimits& limits, MergedWrites& out)
      : packets_(packets), limits_(limits), out_(out), scratch_(out.scratch) {
    scratch_.runs.clear();
    scratch_.next.assign(packets.size(), kNone);
    if (++scratch_.epoch == 0) {  // wrapped: old stamps could be taken for new ones
      scratch_.flows.fill({});
      scratch_.epoch = 1;
    }
  }

  void place(uint32_t index) {
    const Candidate c = classify(packets_[index], limits_);
    if (c.kind == Class::barrier) {
      start(index, c);
      barrier_ = static_cast<uint32_t>(scratch_.runs.size());
      return;
    }
    FlowSlot* slot = nullptr;
    const uint32_t run = find(index, c, slot);
    if (run != kNone && c.kind == Class::data && join(run, index, c)) return;
    if (run != kNone) scratch_.runs[run].closed = true;
    const uint32_t started = start(index, c);
    if (c.kind != Class::data || slot == nullptr) return;
    *slot = {scratch_.epoch, started};
    scratch_.runs[started].transport = c.transport;
  }

  void finish_writes() {
    for (const MergeRun& run : scratch_.runs) {
      TunWritePlan plan;
      plan.first = static_cast<uint32_t>(out_.fragments.size());
      plan.count = run.count;
      plan.bytes = run.bytes;
      const ByteSpan first = packets_[run.first];
      if (run.count > 1) {
        plan.saved = static_cast<uint32_t>(out_.saved.size());
        out_.saved.insert(out_.saved.end(), first.data(), first.data() + run.head);
        plan.offload = finish_head(run);
      }
      out_.fragments.push_back({first.data(), static_cast<uint32_t>(first.size())});
      for (uint32_t i = scratch_.next[run.first]; i != kNone; i = scratch_.next[i]) {
        const ByteSpan payload = packets_[i].subspan(run.head);
        out_.fragments.push_back({payload.data(), static_cast<uint32_t>(payload.size())});
      }
      out_.writes.push_back(plan);
    }
  }

 private:
  // Stage 2. The open run of the candidate's flow, or kNone; `slot`: where to note a new run of this flow,
  // null if there is no room. The flow of the packet before is the likely one, but the slot is wanted as
  // well.
  uint32_t find(uint32_t index, const Candidate& c, FlowSlot*& slot) {
    const uint8_t* ip = packets_[index].data();
    for (size_t i = 0; i < kProbes; ++i) {
      FlowSlot& s = scratch_.flows[(c.hash + i) % kFlowSlots];
      if (s.epoch != scratch_.epoch) {
        slot = &s;
        return kNone;
      }
      const MergeRun& run = scratch_.runs[s.run];
      if (!same_flow(packets_[run.first].data(), ip, c)) continue;
      slot = &s;
      return s.run < barrier_ || run.closed ? kNone : s.run;
    }
    return kNone;
  }

  // Stage 3. Appends to the run if cutting would give the packet back.
  bool join(uint32_t run_index, uint32_t index, const Candidate& c) {
    MergeRun& run = scratch_.runs[run_index];
    const ByteSpan first = packets_[run.first];
    const ByteSpan packet = packets_[index];
    if (run.head != c.head || c.payload > run.segment || run.bytes + c.payload > kMaxWriteBytes) return false;
    if (!same_ip_header(first.data(), packet.data(), c.v4)) return false;
    if (c.tcp) {
      const uint8_t* tcp = &packet[c.transport];
      if (load_be32(tcp + 4) != run.next_sequence) return false;
      if (!same_tcp_header(&first[c.transport], tcp, size_t{c.head} - c.transport)) return false;
    }
    const bool constant_id = run.constant_id || (run.count == 1 && has_constant_id(first, packet, c.v4));
    if (c.v4 && !constant_id &&
        load_be16(&packet[4]) != static_cast<uint16_t>(load_be16(&first[4]) + run.count)) {
      return false;
    }
    if (constant_id && load_be16(&packet[4]) != load_be16(&first[4])) return false;
    if (!run.verified) {
      if (!verify(first, c.v4, c.tcp, c.transport)) return false;
      run.verified = true;
    }
    if (!verify(packet, c.v4, c.tcp, c.transport)) return false;

    scratch_.next[run.last] = index;
    run.last = index;
    run.constant_id = constant_id;
    run.bytes += c.payload;
    run.next_sequence += c.payload;
    ++run.count;
    run.closed =
        c.payload < run.segment || (c.flags & (kTcpPsh | kTcpFin)) != 0 || run.count == kMaxMergedPackets;
    return true;
  }

  static bool has_constant_id(ByteView first, ByteView packet, bool v4) noexcept {
    constexpr uint8_t kDontFragment = 0x40;
    return v4 && (first[6] & kDontFragment) != 0 && equal(first.data(), packet.data(), 4, 2);
  }

  uint32_t start(uint32_t index, const Candidate& c) {
    MergeRun run;
    run.first = run.last = index;
    run.bytes = static_cast<uint32_t>(packets_[index].size());
    if (c.kind == Class::data) {
      run.head = c.head;
      run.tcp = c.tcp;
      run.segment = static_cast<uint16_t>(c.payload);
      run.closed = (c.flags & (kTcpPsh | kTcpFin)) != 0;
      if (c.tcp) run.next_sequence = load_be32(&packets_[index][c.transport + 4]) + c.payload;
    }
    scratch_.runs.push_back(run);
    return static_cast<uint32_t>(scratch_.runs.size() - 1);
  }

  // Stage 4. The first packet's headers become those of the large one.
  Offload finish_head(const MergeRun& run) {
    uint8_t* ip = packets_[run.first].data();
    uint8_t* transport = ip + run.transport;
    const bool v4 = (ip[0] >> 4) == 4;
    const auto length = static_cast<uint16_t>(run.bytes);
    const auto transport_length = static_cast<uint16_t>(run.bytes - run.transport);
    if (v4) {
      store_be16(ip + 10, update_checksum(load_be16(ip + 10), load_be16(ip + 2), length));
      store_be16(ip + 2, length);
    } else {
      store_be16(ip + 4, transport_length);
    }
    const ByteView addresses = v4 ? ByteView(ip + 12, 8) : ByteView(ip + 8, 32);
    const uint16_t pseudo =
        fold(pseudo_header_sum(addresses, run.tcp ? kProtoTcp : kProtoUdp, transport_length));
    Offload out;
    out.needs_checksum = true;
    out.checksum_start = run.transport;
    out.checksum_offset = run.tcp ? kTcpChecksumOffset : kUdpChecksumOffset;
    out.header_size = run.head;
    out.segment_size = run.segment;
    store_be16(transport + out.checksum_offset, pseudo);
    if (run.tcp) {
      out.kind = v4 ? Offload::Kind::tcp4 : Offload::Kind::tcp6;
      transport[13] |= packets_[run.last][run.transport + 13u] & (kTcpPsh | kTcpFin);
    } else {
      out.kind = Offload::Kind::udp;
      store_be16(transport + 4, transport_length);
    }
    return out;
  }

  std::span<const ByteSpan> packets_;
  const MergeLimits& limits_;
  MergedWrites& out_;
  MergeScratch& scratch_;
  uint32_t barrier_ = 0;  // runs before this one are complete
};

}  // namespace

void merge(std::span<const ByteSpan> packets, const MergeLimits& limits, MergedWrites& out) {
  Merger merger(packets, limits, out);
  for (uint32_t i = 0; i < packets.size(); ++i) merger.place(i);
  merger.finish_writes();
}

void unmerge(const TunWritePlan& plan, const MergedWrites& merged, std::vector<Fragment>& out) {
  const auto fragments = std::span(merged.fragments).subspan(plan.first, plan.count);
  const uint16_t head = plan.count > 1 ? plan.offload.header_size : 0;
  if (head != 0) {
    // It was merge() that changed them, in memory that was given to it to change.
    std::memcpy(const_cast<uint8_t*>(fragments[0].data), &merged.saved[plan.saved], head);
  }
  out.push_back(fragments[0]);
  // A later fragment is the payload of a packet whose header still lies before it.
  for (const Fragment& payload : fragments.subspan(1)) {
    out.push_back({payload.data - head, payload.size + head});
  }
}

}  // namespace hats::packet
