#include "core/encap/merged_packet.hpp"

#include <algorithm>

#include "core/packet/checksum.hpp"

namespace hats::encap {

namespace {

constexpr uint16_t kTcpChecksumField = 16, kUdpChecksumField = 6;

packet::Sum pseudo_header(const packet::IpView& ip, const TransportChecksum& where) noexcept {
  return packet::pseudo_header_sum(ip.addresses(), where.protocol,
                                   static_cast<uint32_t>(ip.length() - where.start));
}

// TCP's header is whole: find_checksum has looked.
size_t head_size(const packet::IpView& ip, const TransportChecksum& where) noexcept {
  return where.start + size_t{ip.bytes()[where.start + 12]} / 16 * 4;
}

// Not a secret hash: whoever makes two flows collide makes guesses about his own packets worse.
uint32_t flow_of(const packet::IpView& ip, const TransportChecksum& where) noexcept {
  uint64_t hash = load_be32(&ip.bytes()[where.start]);
  const ByteView addresses = ip.addresses();
  for (size_t i = 0; i < addresses.size(); i += 8) {
    hash = (hash ^ load_be64(&addresses[i])) * 0x9e37'79b9'7f4a'7c15;
    hash ^= hash >> 32;
  }
  return std::max(1U, static_cast<uint32_t>(hash));
}

}  // namespace

std::optional<TransportChecksum> find_checksum(const packet::IpView& ip) noexcept {
  if (ip.is_fragment()) return std::nullopt;
  const auto transport = packet::find_transport(ip);
  if (!transport) return std::nullopt;
  const ByteView rest = ip.bytes().subspan(transport->offset);
  TransportChecksum out{transport->protocol, static_cast<uint16_t>(transport->offset), 0};
  if (transport->protocol == packet::kProtoTcp && packet::TcpView::parse(rest)) {
    out.field = kTcpChecksumField;
  } else if (transport->protocol == packet::kProtoUdp && packet::UdpView::parse(rest)) {
    out.field = kUdpChecksumField;
  } else {
    return std::nullopt;
  }
  if (ip.is_v4() && packet::finish(packet::sum_of(ip.bytes().first(ip.transport_offset()))) != 0) {
    return std::nullopt;
  }
  return out;
}

bool is_unfinished(const packet::IpView& ip, const TransportChecksum& where) noexcept {
  const packet::Sum pseudo = pseudo_header(ip, where);
  if (load_be16(&ip.bytes()[size_t{where.start} + where.field]) != packet::fold(pseudo)) return false;
  return packet::finish(pseudo + packet::sum_of(ip.bytes().subspan(where.start))) != 0;
}

void finish_checksum(ByteSpan packet, const TransportChecksum& where) noexcept {
  // The field's pseudo-header sum is part of the sum, as for a device that finishes it.
  const uint16_t checksum = packet::finish(packet::sum_of(packet.subspan(where.start)));
  // RFC 768: UDP's 0 means none. For TCP the two are the same number.
  store_be16(&packet[size_t{where.start} + where.field], checksum == 0 ? 0xffff : checksum);
}

packet::Offload describe_merged(const packet::IpView& ip, const TransportChecksum& where, uint32_t mtu,
                                uint32_t segment) noexcept {
  using packet::Offload;
  if (where.protocol != packet::kProtoTcp) return {};
  const size_t head = head_size(ip, where);
  const uint8_t flags = ip.bytes()[where.start + 13];
  constexpr uint8_t kNeverMerged = packet::kTcpSyn | packet::kTcpRst | packet::kTcpUrg;
  if (head > packet::HeadArena::kMaxHead || head >= mtu || (flags & kNeverMerged) != 0) return {};
  segment = std::min<uint32_t>({segment, static_cast<uint32_t>(mtu - head), UINT16_MAX});
  return {
      .kind = ip.is_v4() ? Offload::Kind::tcp4 : Offload::Kind::tcp6,
      .needs_checksum = true,
      .ecn = (flags & packet::kTcpCwr) != 0,  // the first segment's: later ones do not join (RFC 3168 6.1.2)
      .checksum_start = where.start,
      .checksum_offset = where.field,
      .header_size = static_cast<uint16_t>(head),
      .segment_size = static_cast<uint16_t>(segment)};
}

void SegmentSizes::saw_single(const packet::IpView& ip, const TransportChecksum& where) noexcept {
  if (where.protocol != packet::kProtoTcp) return;
  const size_t payload = ip.length() - head_size(ip, where);
  if (payload == 0) return;
  const uint32_t flow = flow_of(ip, where);
  Entry& entry = entries_[flow % kFlows];
  // The end of what an application wrote is pushed and may be short. Without PSH the segment is full, and if
  // it is smaller than those before, the sender has learned of a narrower path.
  const bool pushed = (ip.bytes()[where.start + 13] & packet::kTcpPsh) != 0;
  if (entry.flow == flow && pushed && payload < entry.payload) return;
  entry = {flow, static_cast<uint16_t>(payload)};
}

uint32_t SegmentSizes::guess(const packet::IpView& ip, const TransportChecksum& where) const noexcept {
  const uint32_t flow = flow_of(ip, where);
  const Entry& entry = entries_[flow % kFlows];
  if (entry.flow == flow) return entry.payload;
  const size_t head = head_size(ip, where);
  return head < kSafePacket ? static_cast<uint32_t>(kSafePacket - head) : 1;
}

}  // namespace hats::encap
