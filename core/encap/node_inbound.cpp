// Outer packets on their way in (RFC 2784 2, RFC 2890 2, RFC 4213 3.6, RFC 6040 4.2; formats.md 5.1 to 5.5):
//   plan    outer and GRE header, and whose it is;
//   work    the GRE checksum; whether GRO merged it;
//   commit  in order: checksum rules, sequence, inner packet, loops and keepalives, ECN.
#include "core/encap/gre_header.hpp"
#include "core/encap/merged_packet.hpp"
#include "core/encap/node_impl.hpp"
#include "core/packet/ecn.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::encap {

namespace {

// Reads the outer IPv4 header into `received`, whose bytes then end where the packet does. Returns its
// length; 0 if it is not a whole packet of that protocol. The kernel has verified the header's checksum and
// put fragments together.
uint32_t read_outer_v4(Received& received) noexcept {
  const ByteSpan bytes = received.bytes;
  if (bytes.size() < packet::kIpv4MinHeader || (bytes[0] >> 4) != 4) return 0;
  const uint32_t header = uint32_t{bytes[0]} % 16 * 4;
  size_t total = load_be16(&bytes[2]);
  if (total == 0) total = bytes.size();  // what GRO merged may be larger than the field can say (BIG TCP)
  if (header < packet::kIpv4MinHeader || header > total || total > bytes.size()) return 0;
  if (bytes[9] != protocol_of(received.kind) || (load_be16(&bytes[6]) & 0x3fff) != 0) return 0;
  received.bytes = bytes.first(total);
  received.from = IpAddress::v4(&bytes[12]);
  received.to = IpAddress::v4(&bytes[16]);
  received.ds = bytes[1];
  return header;
}

// The inner packet, without what may stand behind its end (RFC 4213 3.6), if it is of the family that
// `protocol` announces.
std::optional<packet::IpView> inner_packet(const Received& received, const InboundBatch::Job& job) noexcept {
  const auto ip = packet::IpView::parse(received.bytes.subspan(job.payload));
  if (!ip || ip->is_v4() != (job.protocol == kEtherIpv4) || ip->transport_offset() == 0) return std::nullopt;
  return ip;
}

// Sources that no packet from another host has: multicast, ::1, IPv4-compatible (but :: speaks in duplicate
// address detection) and IPv4-mapped ones (RFC 4213 3.6, RFC 4291 2.5, 2.7).
bool is_nobodys_source(ByteView v6) noexcept {
  if (v6[0] == 0xff) return true;
  const uint64_t high = load_be64(&v6[0]);
  const uint64_t low = load_be64(&v6[8]);
  const bool compatible = (low >> 32) == 0 && low != 0;  // ::1 too
  const bool mapped = (low >> 32) == 0xffff;
  return high == 0 && (compatible || mapped);
}

// RFC 2784 3.1: the packet's destination is who sent it to us; whoever routes it sends it back. Over IPv6
// also one with the ends of the tunnel itself (RFC 2473 4.1.2).
bool loops(const packet::IpView& inner, const Received& received) noexcept {
  if (packet::goes_to(inner.bytes(), received.from)) return true;
  return received.family == Family::v6 && packet::goes_to(inner.bytes(), received.to) &&
         packet::comes_from(inner.bytes(), received.from);
}

}  // namespace

void Node::plan_inbound(Now now, std::span<const Received> received, InboundBatch& batch) noexcept {
  LastLookUp last;
  for (const Received& one : received) {
    batch.received.push_back(one);
    impl_->plan_received(now, static_cast<uint32_t>(batch.received.size() - 1), last, batch);
  }
}

void Node::Impl::plan_received(Now now, uint32_t number, LastLookUp& last, InboundBatch& batch) {
  Received& received = batch.received[number];
  InboundBatch::Job job{.received = number};
  if (received.family == Family::v4) {
    job.header = read_outer_v4(received);
    if (job.header == 0) return stray(StrayReason::malformed);
  }
  job.payload = job.header;
  job.protocol = received.kind == Kind::sit ? kEtherIpv6 : kEtherIpv4;
  TunnelQuery query{.kind = received.kind,
                    .local = received.to,
                    .remote = received.from,
                    .key = {},
                    .interface_index = received.interface_index};
  if (received.kind == Kind::gre) {
    const auto gre = parse_gre_header(received.bytes.subspan(job.header), received.family);
    if (!gre) {
      Tunnel* tunnel = find(by_in_key.find_only(query));
      return tunnel ? drop(*tunnel, DropReason::rx_malformed, now) : stray(StrayReason::malformed);
    }
    job.payload += gre->size;
    job.protocol = gre->protocol;
    job.has_checksum = gre->has_checksum;
    job.has_sequence = gre->sequence.has_value();
    job.sequence = gre->sequence.value_or(0);
    query.key = gre->key;
  }
  if (!last.known || query != last.query) last = {true, query, by_in_key.find(query)};
  if (last.found.tunnel == kNoTunnel) return stray(last.found.reason);
  job.tunnel = last.found.tunnel;
  job.tunnel_serial = serials[job.tunnel];
  prefetch(job.tunnel);
  batch.jobs.push_back(job);
}

void Node::work(InboundBatch& batch) noexcept {
  for (InboundBatch::Job& job : batch.jobs) {
    const Received& received = batch.received[job.received];
    const auto inner = inner_packet(received, job);
    const auto where = inner ? find_checksum(*inner) : std::nullopt;
    job.merged = where && is_unfinished(*inner, *where);
    // The checksum that GRO leaves is the first part's: it verified each part's before it merged them, and so
    // does not merge without (Linux gre_gro_receive, gre_gro_complete).
    if (job.has_checksum && !job.merged) {
      const ByteView gre = received.bytes.subspan(job.header);
      job.checksum_good = gre_checksum_unfinished(gre) || gre_checksum_good(gre);
    }
  }
}

void Node::commit_inbound(Now now, InboundBatch& batch, std::vector<InnerPacket>& out) noexcept {
  for (const InboundBatch::Job& job : batch.jobs) {
    Tunnel* tunnel = impl_->find(job.tunnel, job.tunnel_serial);
    if (!tunnel) {
      impl_->stray(StrayReason::no_tunnel);
      continue;
    }
    const auto dropped = impl_->receive(now, *tunnel, batch.received[job.received], job, out);
    if (dropped) Impl::drop(*tunnel, *dropped, now);
  }
}

// Whether the GRE header lets the packet in, as far as the tunnel's options go.
std::optional<DropReason> Node::Impl::check_header(const Tunnel& tunnel,
                                                   const InboundBatch::Job& job) noexcept {
  // RFC 2784 2.2: who has no need of a checksum checks the one he gets.
  if (job.has_checksum && !job.checksum_good && !job.merged) return DropReason::rx_checksum_bad;
  if (tunnel.config.kind == Kind::gre && job.protocol == kKeepaliveProtocol) return std::nullopt;
  if (tunnel.config.in_checksum && !job.has_checksum) return DropReason::rx_checksum_missing;
  if (job.protocol != kEtherIpv4 && job.protocol != kEtherIpv6) return DropReason::rx_unknown_protocol;
  if (!tunnel.config.in_sequence) return std::nullopt;
  if (!job.has_sequence) return DropReason::rx_sequence_missing;
  // RFC 2890 2.2, modular. As in Linux everything is younger than nothing: we may have been restarted while
  // the peer counts on.
  const auto ahead = static_cast<int32_t>(job.sequence - tunnel.next_in_sequence);
  if (tunnel.next_in_sequence != 0 && ahead < 0) return DropReason::rx_sequence_old;
  return std::nullopt;
}

std::optional<DropReason> Node::Impl::receive(Now now, Tunnel& tunnel, const Received& received,
                                              const InboundBatch::Job& job, std::vector<InnerPacket>& out) {
  if (!tunnel.up) return DropReason::rx_down;
  if (const auto dropped = check_header(tunnel, job)) return dropped;
  const bool gre = tunnel.config.kind == Kind::gre;
  if (gre && job.protocol == kKeepaliveProtocol) return keepalive_returned(tunnel);

  const auto inner = inner_packet(received, job);
  if (!inner) return DropReason::rx_inner_malformed;
  if (tunnel.config.kind == Kind::sit && is_nobodys_source(inner->addresses())) {
    return DropReason::rx_inner_source;
  }
  if (gre && is_keepalive(tunnel, *inner, received)) {
    if (tunnel.config.in_sequence) tunnel.next_in_sequence = job.sequence + 1;
    return answer_keepalive(now, tunnel, *inner, received);
  }
  if (loops(*inner, received)) return DropReason::rx_loop;

  uint8_t* data = received.bytes.data() + job.payload;
  const packet::EcnVerdict ecn = packet::apply_outer_ecn(data, received.ds);
  if (ecn.suspicious) ++tunnel.counters.ecn_suspicious;
  if (ecn.drop) return DropReason::rx_ecn;
  if (tunnel.config.dscp_inherit && received.family == Family::v6) packet::set_dscp(data, received.ds);
  if (tunnel.config.in_sequence) tunnel.next_in_sequence = job.sequence + 1;

  out.push_back({.data = data,
                 .size = static_cast<uint32_t>(inner->length()),
                 .tunnel = tunnel.id,
                 .tag = received.tag,
                 .offload = {}});
  ++tunnel.counters.rx_packets;
  tunnel.counters.rx_bytes += inner->length();
  finish_merged(tunnel, *inner, job.merged, out.back());
  return std::nullopt;
}

// What GRO has made of the packet is made good, or described (formats.md 5.5).
void Node::Impl::finish_merged(Tunnel& tunnel, const packet::IpView& inner, bool merged, InnerPacket& out) {
  // Flows are looked at only where GRO is seen at work.
  if (merged) ++tunnel.counters.merged;
  if (tunnel.counters.merged == 0) return;
  const auto where = find_checksum(inner);
  if (!where) return;
  if (!merged) return segment_sizes.saw_single(inner, *where);
  const bool fits = inner.length() <= tunnel.mtu;
  if (!fits && where->protocol == packet::kProtoTcp) {
    out.offload = describe_merged(inner, *where, tunnel.mtu, segment_sizes.guess(inner, *where));
    if (out.offload.kind != packet::Offload::Kind::none) return;
  }
  // Several UDP datagrams in one (USO, of a sender on this host) would become one that nobody sent, and how
  // long they were nobody knows: with its checksum as it is the receiver drops it.
  if (!fits && where->protocol == packet::kProtoUdp) return;
  finish_checksum({out.data, out.size}, *where);
}

}  // namespace hats::encap
