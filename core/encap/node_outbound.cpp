// Inner packets on their way out, as Linux ip_tunnel_xmit, ipip6_tunnel_xmit and ip6_tnl_xmit do it: what of
// the inner header the outer one copies, whether it fits the path, and the GRE header before it.
#include <algorithm>

#include "core/encap/encapsulation_limit.hpp"
#include "core/encap/gre_header.hpp"
#include "core/encap/node_impl.hpp"
#include "core/packet/checksum.hpp"
#include "core/packet/ecn.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::encap {
namespace {

// What an IP packet may be at most, by its length field: bytes, header included.
constexpr uint32_t kMaxOuterV4 = 65'535, kMaxOuterV6 = 65'535 + 40;
constexpr uint8_t kParameterProblem = 4, kErroneousField = 0;  // RFC 4443 3.4
constexpr uint32_t kLimitOption = 8;  // bytes of the destination options header with the encapsulation limit

// What the outer header may copy from the inner one.
struct Inner {
  ByteView header;
  uint32_t size = 0;
  bool v4 = false;
  bool dont_fragment = false;
  uint8_t ds = 0, ttl = 0;
  uint32_t flow_label = 0;
  [[nodiscard]] Family family() const { return v4 ? Family::v4 : Family::v6; }
};

// nullopt: not IP, or of a version that the kind does not carry.
std::optional<Inner> examine(ByteView header, uint32_t size, Kind kind) noexcept {
  if (header.size() < packet::kIpv4MinHeader || size < header.size()) return std::nullopt;
  const uint8_t version = header[0] >> 4;
  Inner out{.header = header, .size = size};
  if (version == 4 && kind != Kind::sit) {
    out.v4 = true;
    out.dont_fragment = (header[6] & 0x40) != 0;
    out.ds = header[1];
    out.ttl = header[8];
    return out;
  }
  if (version != 6 || kind == Kind::ipip || header.size() < packet::kIpv6Header) return std::nullopt;
  out.ds = static_cast<uint8_t>(load_be16(header.data()) >> 4);
  out.ttl = header[7];
  out.flow_label = load_be32(header.data()) & 0xf'ffff;
  return out;
}

/// How deep tunnels may lie in one another that a packet is looked into.
constexpr int kNestedLooks = 4;

// What an IP header carries, and where that begins; nothing of a later fragment.
struct Carried {
  uint8_t protocol = 0;
  ByteView payload;
};
Carried carried_by(ByteView packet) noexcept {
  if ((packet[0] >> 4) == 4) {
    const size_t size = size_t{packet[0] & 0x0fU} * 4;
    const bool later = (load_be16(&packet[6]) & 0x1fff) != 0;
    return {packet[9], later || size > packet.size() ? ByteView{} : packet.subspan(size)};
  }
  constexpr uint8_t kDestinationOptions = 60;
  Carried out{packet[6], packet.subspan(packet::kIpv6Header)};
  // Our encapsulation limit, and the fragment header of our own host, in the order in which they are written.
  while ((out.protocol == kDestinationOptions || out.protocol == packet::kProtoFragment) &&
         out.payload.size() >= 8) {
    const bool later = out.protocol == packet::kProtoFragment && (load_be16(&out.payload[2]) & 0xfff8) != 0;
    out = {out.payload[0], later ? ByteView{} : out.payload.subspan(8)};
  }
  return out;
}

// The packet in a packet of a tunnel; empty if it is none, or too little of it is here.
ByteView nested_in(const Carried& carried) noexcept {
  ByteView inner = carried.payload;
  if (carried.protocol == protocol_of(Kind::gre)) {
    const auto flags = read_gre_flags(inner);
    if (!flags || flags->size > inner.size()) return {};
    inner = inner.subspan(flags->size);
  } else if (carried.protocol != protocol_of(Kind::sit) && carried.protocol != protocol_of(Kind::ipip)) {
    return {};
  }
  const size_t least = inner.empty() || (inner[0] >> 4) == 4 ? packet::kIpv4MinHeader : packet::kIpv6Header;
  const bool is_ip = inner.size() >= least && ((inner[0] >> 4) == 4 || (inner[0] >> 4) == 6);
  return is_ip ? inner : ByteView{};
}

// Our own outer packet, come back: the route to the remote leads into the tunnel, or into another one whose
// own route leads into this. The kernel sees the first by the route's device (a "collision") and the second
// by the depth of its recursion; behind a TUN each turn would be a new, larger packet, without end. Fragments
// too carry the protocol. RFC 2473 4.1.2 (b).
bool is_own_packet(const Inner& inner, const Tunnel& tunnel) noexcept {
  const TunnelConfig& config = tunnel.config;
  // Linux ip6gre_tunnel_xmit: what the remote has sent is not sent to it.
  const bool over_v6 = config.outer() == Family::v6;
  if (over_v6 && !inner.v4 && packet::comes_from(inner.header, config.remote)) return true;
  ByteView packet = inner.header;
  for (int look = 0; look < kNestedLooks && !packet.empty(); ++look) {
    const Carried carried = carried_by(packet);
    if (carried.protocol == protocol_of(config.kind) && packet::goes_to(packet, config.remote) &&
        packet::comes_from(packet, tunnel.source())) {
      return true;
    }
    packet = nested_in(carried);
  }
  return false;
}

// Where an inner limit lies, for tunnels that heed it: those over IPv6 (RFC 2473 4.1.1).
std::optional<uint32_t> inner_limit_at(const TunnelConfig& config, const Inner& inner) noexcept {
  if (config.outer() != Family::v6 || inner.v4) return std::nullopt;
  return find_encapsulation_limit(inner.header);
}

struct Fit {
  SendMode mode = SendMode::dont_fragment;
  std::optional<uint32_t> too_big;  // not sent; so many bytes would be
};

// `room`: bytes of an inner packet that the path has room for; `most`: that an IPv4 packet has.
Fit fit_v4(const TunnelConfig& config, const Inner& inner, uint32_t room, uint32_t most) noexcept {
  const bool inner_df = inner.dont_fragment && !config.ignore_df;
  if (!config.path_mtu_discovery && !inner_df) {
    return inner.size <= most ? Fit{SendMode::fragmentable, {}} : Fit{.too_big = most};
  }
  const bool fits_gre = config.kind == Kind::gre && inner.size <= room;
  if (!inner.v4 && room < packet::kMinMtuV6 && !fits_gre) {
    // RFC 4213 3.2.2, RFC 7676 3.2: what every IPv6 link must carry gets through, in fragments. On so narrow
    // a path SIT never sets DF.
    return inner.size <= packet::kMinMtuV6 ? Fit{SendMode::fragmentable, {}}
                                           : Fit{.too_big = packet::kMinMtuV6};
  }
  return inner.size <= room ? Fit{} : Fit{.too_big = room};
}

// RFC 2473 7.1, 7.2. What fits is sent in one mode, small or large: two modes are two sockets, between which
// packets lose their order.
Fit fit_v6(const Inner& inner, uint32_t room, uint32_t most) noexcept {
  if (inner.size <= room) return {};
  if (inner.v4 && !inner.dont_fragment) {
    return inner.size <= most ? Fit{SendMode::fragmentable, {}} : Fit{.too_big = most};
  }
  const uint32_t least = inner.v4 ? packet::kMinMtuV4 : packet::kMinMtuV6;
  return inner.size <= least ? Fit{SendMode::fragmentable, {}} : Fit{.too_big = std::max(room, least)};
}

// `limit_at`: where an inner encapsulation limit lies. `path`: its MTU, 0 if unknown.
Fit fit(const TunnelConfig& config, const Inner& inner, const std::optional<uint32_t>& limit_at,
        uint32_t path) noexcept {
  const uint32_t added = overhead(config) + (limit_at && !config.encapsulation_limit ? kLimitOption : 0);
  const bool v6 = config.outer() == Family::v6;
  const uint32_t largest = v6 ? kMaxOuterV6 : kMaxOuterV4;
  const uint32_t fits = path == 0 ? largest : std::min(path, largest);
  const uint32_t room = fits - std::min(fits, added);
  return v6 ? fit_v6(inner, room, largest - added) : fit_v4(config, inner, room, largest - added);
}

// The fields of the outer IP header.
void set_outer(OutPacket& out, const Tunnel& tunnel, const Inner& inner) noexcept {
  const TunnelConfig& config = tunnel.config;
  out.tunnel = tunnel.id;
  out.tunnel_serial = tunnel.serial;
  out.kind = config.kind;
  out.to = config.remote;
  out.from = {config.local, config.underlay};
  out.ttl = config.ttl != 0 ? config.ttl : std::max<uint8_t>(inner.ttl, 1);
  out.ds = packet::encapsulate_ecn(config.tos_inherit ? inner.ds : config.tos, inner.ds);
  if (config.outer() == Family::v6) {
    out.flow_label = config.flow_label_inherit && !inner.v4 ? inner.flow_label : config.flow_label;
  }
}

// The GRE header and, where they were cut apart, the inner packet's own headers.
void set_payload(OutPacket& out, Tunnel& tunnel, const Inner& inner, const packet::Piece& piece) noexcept {
  const TunnelConfig& config = tunnel.config;
  size_t size = 0;
  if (config.kind == Kind::gre) {
    GreHeader header{.protocol = inner.v4 ? kEtherIpv4 : kEtherIpv6,
                     .has_checksum = config.out_checksum,
                     .key = config.out_key,
                     .sequence = std::nullopt};
    if (config.out_sequence) header.sequence = tunnel.next_out_sequence++;  // RFC 2890 2.2
    size = write_gre_header(out.head.data(), header);
  }
  out.inner_offset = static_cast<uint16_t>(size);
  if (piece.head_size != 0) std::memcpy(&out.head[size], piece.head, piece.head_size);
  out.head_size = static_cast<uint16_t>(size + piece.head_size);
  out.data = piece.data + piece.head_size;
  out.size = piece.size - piece.head_size;
}

}  // namespace

void Node::Impl::tell_of_link_errors(Now now, Tunnel& tunnel, const packet::Piece& piece, Family family) {
  if (!tunnel.link_failing(now.boot)) {
    tunnel.link_errors = 0;
    return;
  }
  --tunnel.link_errors;
  owe_icmp(now.boot, tunnel, piece, packet::icmp_unreachable(family));
}

void Node::Impl::plan_piece(Now now, Tunnel& tunnel, uint32_t path, const packet::Piece& piece,
                            OutboundBatch& batch) {
  const TunnelConfig& config = tunnel.config;
  const auto inner = examine(piece.header(), piece.size, config.kind);
  if (!inner || piece.head_size > packet::HeadArena::kMaxHead) {
    return drop(tunnel, DropReason::tx_malformed, now);
  }
  if (is_own_packet(*inner, tunnel)) return drop(tunnel, DropReason::tx_loop, now);

  const auto limit_at = inner_limit_at(config, *inner);
  if (limit_at && inner->header[*limit_at] == 0) {
    owe_icmp(now.boot, tunnel, piece, {kParameterProblem, kErroneousField, *limit_at});
    return drop(tunnel, DropReason::tx_encapsulation_limit, now);
  }
  const Fit fitting = fit(config, *inner, limit_at, path);
  if (fitting.too_big) {
    owe_icmp(now.boot, tunnel, piece, packet::icmp_too_big(inner->family(), *fitting.too_big));
    return drop(tunnel, DropReason::tx_too_big, now);
  }
  if (tunnel.link_errors != 0) tell_of_link_errors(now, tunnel, piece, inner->family());

  OutPacket& out = batch.packets.emplace_back();
  set_outer(out, tunnel, *inner);
  out.mode = fitting.mode;
  if (config.outer() == Family::v6) out.encapsulation_limit = config.encapsulation_limit;
  if (limit_at) out.encapsulation_limit = static_cast<uint8_t>(inner->header[*limit_at] - 1);
  set_payload(out, tunnel, *inner, piece);
  if (config.kind == Kind::gre && config.out_checksum) {
    batch.checksums.push_back(static_cast<uint32_t>(batch.packets.size() - 1));
  }
}

void Node::plan_outbound(Now now, TunnelId id, std::span<const packet::Piece> pieces, OutboundBatch& batch) {
  Tunnel* tunnel = impl_->find(id);
  if (!tunnel) return;
  if (!tunnel->up) return Impl::drop(*tunnel, DropReason::tx_down, now, pieces.size());
  const uint32_t path = impl_->path_mtu(now.boot, *tunnel);
  for (uint32_t i = 0; i < pieces.size(); ++i) {
    const size_t before = batch.packets.size();
    impl_->plan_piece(now, *tunnel, path, pieces[i], batch);
    if (batch.packets.size() != before) batch.packets.back().piece = i;
  }
}

void Node::work(OutboundBatch& batch) noexcept {
  for (const uint32_t index : batch.checksums) {
    OutPacket& packet = batch.packets[index];
    // RFC 2784 2.1: over all of the GRE header and payload. Headers are cut apart at even offsets.
    const packet::Sum sum =
        packet::sum_of({packet.head.data(), packet.head_size}) + packet::sum_of({packet.data, packet.size});
    store_be16(&packet.head[kGreChecksumAt], packet::finish(sum));
  }
}

void Node::commit_outbound(Now, OutboundBatch& batch) noexcept {
  for (const OutPacket& packet : batch.packets) {
    Tunnel* tunnel = impl_->find(packet.tunnel, packet.tunnel_serial);
    if (!tunnel) continue;
    ++tunnel->counters.tx_packets;
    tunnel->counters.tx_bytes += packet.head_size - packet.inner_offset + packet.size;
  }
}

void Node::send_failed(TunnelId id, uint32_t inner_size) noexcept {
  Tunnel* tunnel = impl_->find(id);
  if (!tunnel) return;
  TunnelCounters& counters = tunnel->counters;
  counters.tx_packets -= std::min<uint64_t>(counters.tx_packets, 1);
  counters.tx_bytes -= std::min<uint64_t>(counters.tx_bytes, inner_size);
}

void Node::send_refused(Now now, TunnelId id, ByteView inner_headers, uint32_t inner_size) {
  Tunnel* tunnel = impl_->find(id);
  if (!tunnel) return;
  send_failed(id, inner_size);
  Impl::drop(*tunnel, DropReason::tx_too_big, now);
  const auto inner = examine(inner_headers, inner_size, tunnel->config.kind);
  if (!inner) return;
  const uint32_t path = impl_->path_mtu(now.boot, *tunnel);
  const Fit fitting = fit(tunnel->config, *inner, inner_limit_at(tunnel->config, *inner), path);
  if (!fitting.too_big) return;
  impl_->owe_icmp(now.boot, *tunnel, inner_headers, packet::icmp_too_big(inner->family(), *fitting.too_big));
}

}  // namespace hats::encap
