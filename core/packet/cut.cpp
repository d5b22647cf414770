// Theory of operation: one template of the headers with everything that differs between segments zeroed, and
// the sum of that template, are made once; a segment then costs a copy of the template, four stores and one
// pass of additions over its payload.
#include "core/packet/cut.hpp"

#include <algorithm>

#include "core/packet/checksum.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::packet {

namespace {

constexpr size_t kTcpChecksumOffset = 16;
constexpr size_t kUdpChecksumOffset = 6;

// What one large packet is made of, found and checked before anything is changed.
struct Large {
  bool v4 = false;
  bool tcp = false;
  uint16_t transport = 0;  // offset of the TCP or UDP header
  uint16_t head = 0;       // bytes of all headers
  uint32_t segment = 0;    // payload bytes a segment
  uint32_t payload = 0;
  uint32_t count = 0;
};

// A packet of its own. A partial checksum is finished as the kernel finishes it: 0 becomes 0xffff, whatever
// the protocol (Linux skb_checksum_help).
CutResult single(ByteSpan packet, uint32_t room, const Offload& offload, std::vector<Piece>& out) {
  const auto ip = IpView::parse(packet);
  if (!ip) return CutResult::malformed;
  const size_t length = ip->length();
  if (offload.needs_checksum) {
    const size_t start = offload.checksum_start;
    const size_t field = start + offload.checksum_offset;
    if (start < kIpv4MinHeader || field + 2 > length) return CutResult::malformed;
    const uint16_t checksum = finish(sum_of(packet.subspan(start, length - start)));
    store_be16(&packet[field], checksum == 0 ? 0xffff : checksum);
  }
  const auto behind = static_cast<uint32_t>(packet.size() - length);
  out.push_back({packet.data(), static_cast<uint32_t>(length), room + behind});
  return CutResult::ok;
}

std::optional<Large> examine(ByteView packet, const Offload& offload) {
  const auto ip = IpView::parse(packet);
  if (!ip || ip->length() != packet.size() || ip->is_fragment()) return std::nullopt;
  const auto transport = find_transport(*ip);
  if (!transport) return std::nullopt;
  using Kind = Offload::Kind;
  Large out;
  out.v4 = ip->is_v4();
  out.tcp = offload.kind != Kind::udp;
  if (offload.kind == Kind::tcp4 && !out.v4) return std::nullopt;
  if (offload.kind == Kind::tcp6 && out.v4) return std::nullopt;
  if (transport->protocol != (out.tcp ? kProtoTcp : kProtoUdp)) return std::nullopt;
  // The kernel gives large packets with a partial checksum only; where it points must be what we found.
  if (!offload.needs_checksum || offload.checksum_start != transport->offset) return std::nullopt;
  if (offload.checksum_offset != (out.tcp ? kTcpChecksumOffset : kUdpChecksumOffset)) return std::nullopt;

  size_t head = transport->offset + kUdpHeader;
  if (out.tcp) {
    const auto tcp = TcpView::parse(packet.subspan(transport->offset));
    if (!tcp) return std::nullopt;
    head = transport->offset + tcp->header_size();
  }
  if (head > packet.size() || head > HeadArena::kMaxHead || offload.segment_size == 0) return std::nullopt;
  out.transport = static_cast<uint16_t>(transport->offset);
  out.head = static_cast<uint16_t>(head);
  out.segment = offload.segment_size;
  out.payload = static_cast<uint32_t>(packet.size() - head);
  out.count = std::max(1U, (out.payload + out.segment - 1) / out.segment);
  return out;
}

// Makes the header of each segment from the template.
class HeadWriter {
 public:
  HeadWriter(const uint8_t* head, const Large& large) noexcept : large_(large) {
    std::memcpy(template_.data(), head, large.head);
    uint8_t* ip = template_.data();
    uint8_t* transport = ip + large.transport;
    if (large.v4) {
      id_ = load_be16(ip + 4);
      store_be16(ip + 2, 0);
      store_be16(ip + 4, 0);
      store_be16(ip + 10, 0);
      ip_sum_ = sum_of({ip, large.transport});
    } else {
      store_be16(ip + 4, 0);
    }
    if (large.tcp) {
      sequence_ = load_be32(transport + 4);
      flags_ = transport[13];
      store_be32(transport + 4, 0);
      transport[13] = 0;
      store_be16(transport + kTcpChecksumOffset, 0);
    } else {
      store_be16(transport + 4, 0);
      store_be16(transport + kUdpChecksumOffset, 0);
    }
    const ByteView addresses = large.v4 ? ByteView(ip + 12, 8) : ByteView(ip + 8, 32);
    transport_sum_ = sum_of({transport, static_cast<size_t>(large.head - large.transport)}) +
                     pseudo_header_sum(addresses, large.tcp ? kProtoTcp : kProtoUdp, 0);
  }

  // Segment `index`, whose payload is given, to `to`.
  void write(uint8_t* to, uint32_t index, ByteView payload) const noexcept {
    std::memcpy(to, template_.data(), large_.head);
    const size_t total = large_.head + payload.size();
    if (large_.v4) {
      const auto length = static_cast<uint16_t>(total);
      const auto id = static_cast<uint16_t>(id_ + index);
      store_be16(to + 2, length);
      store_be16(to + 4, id);
      store_be16(to + 10, finish(ip_sum_ + sum_of_number(length) + sum_of_number(id)));
    } else {
      store_be16(to + 4, static_cast<uint16_t>(total - kIpv6Header));
    }
    uint8_t* transport = to + large_.transport;
    const auto transport_length = static_cast<uint16_t>(total - large_.transport);
    Sum sum = transport_sum_ + sum_of_number(transport_length) + sum_of(payload);
    if (large_.tcp) {
      const uint32_t sequence = sequence_ + index * large_.segment;
      const uint8_t flags = flags_of(index);
      store_be32(transport + 4, sequence);
      transport[13] = flags;
      sum += sum_of_number(sequence) + sum_of_number(flags);
      store_be16(transport + kTcpChecksumOffset, finish(sum));
    } else {
      store_be16(transport + 4, transport_length);
      const uint16_t checksum = finish(sum + sum_of_number(transport_length));
      store_be16(transport + kUdpChecksumOffset, checksum == 0 ? 0xffff : checksum);  // RFC 768: 0 means none
    }
  }

 private:
  [[nodiscard]] uint8_t flags_of(uint32_t index) const noexcept {
    uint8_t flags = flags_;
    if (index > 0) flags &= static_cast<uint8_t>(~kTcpCwr);
    if (index + 1 < large_.count) flags &= static_cast<uint8_t>(~(kTcpFin | kTcpPsh));
    return flags;
  }

  const Large& large_;
  std::array<uint8_t, HeadArena::kMaxHead> template_;
  Sum ip_sum_;
  Sum transport_sum_;
  uint32_t sequence_ = 0;
  uint16_t id_ = 0;
  uint8_t flags_ = 0;
};

}  // namespace

CutResult cut(ByteSpan packet, uint32_t room, const Offload& offload, HeadArena& heads,
              std::vector<Piece>& out) {
  if (offload.kind == Offload::Kind::none) return single(packet, room, offload, out);
  const auto large = examine(packet, offload);
  if (!large || large->count - 1 > heads.capacity()) return CutResult::malformed;
  if (large->count - 1 > heads.left()) return CutResult::arena_full;

  const HeadWriter writer(packet.data(), *large);
  uint32_t done = 0;
  for (uint32_t i = 0; i < large->count; ++i) {
    const uint32_t size = std::min(large->segment, large->payload - done);
    uint8_t* payload = packet.data() + large->head + done;
    Piece piece{payload - large->head, large->head + size};
    // The first header is changed where it lies; every other one waits apart, because its place is still the
    // payload of the segment before it.
    uint8_t* head = i == 0 ? piece.data : heads.take();
    writer.write(head, i, {payload, size});
    if (i > 0) {
      piece.head_size = large->head;
      piece.head = head;
    }
    done += size;
    if (i + 1 == large->count) piece.room = room;
    out.push_back(piece);
  }
  return CutResult::ok;
}

}  // namespace hats::packet
