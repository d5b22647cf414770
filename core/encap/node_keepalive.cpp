// GRE keepalives, Cisco's: who wants to know whether a tunnel works sends through it a packet addressed to
// himself, and the far end need only forward it. Ours is a TUN device; the host's routing would not return a
// packet with the host's own source address, so they are answered here.
//
//   keepalive   outer IP (A to B), GRE 0x0800, inner IP (B to A, protocol 47), GRE protocol 0
//   its answer                                 IP (B to A, protocol 47), GRE protocol 0
//
// Over IPv4 only: over IPv6 there is but RouterOS's variant, which nobody has described.
#include <algorithm>

#include "core/encap/gre_header.hpp"
#include "core/encap/node_impl.hpp"
#include "core/packet/checksum.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::encap {

namespace {

/// The largest keepalive that is answered, in bytes of the inner packet. Cisco's has 24, or 28 with a key.
constexpr size_t kMaxKeepalive = 64;
/// Answers of one tunnel: so many a second, and so many at once.
constexpr int64_t kAnswersPerSecond = 10, kAnswerBurst = 20;
constexpr uint8_t kKeepaliveTtl = 255;

bool sends_keepalives(const Tunnel& tunnel) noexcept {
  const TunnelConfig& config = tunnel.config;
  return tunnel.up && config.kind == Kind::gre && config.outer() == Family::v4 &&
         config.keepalive.interval_s != 0;
}

// A token bucket in one number: the time at which all answers so far would have been due.
bool allow_answer(KeepaliveState& state, BootTime now) noexcept {
  constexpr Duration kEach = nanoseconds(seconds(1).ns / kAnswersPerSecond);
  const BootTime next = std::max(state.answers_until, now);
  if (next - now > kEach * (kAnswerBurst - 1)) return false;
  state.answers_until = next + kEach;
  return true;
}

// Who sends and how, as for any packet of the tunnel.
OutPacket outer_of(const Tunnel& tunnel, const IpAddress& local) {
  const TunnelConfig& config = tunnel.config;
  OutPacket out;
  out.tunnel = tunnel.id;
  out.tunnel_serial = tunnel.serial;
  out.kind = config.kind;
  out.mode = config.path_mtu_discovery ? SendMode::dont_fragment : SendMode::fragmentable;
  out.to = config.remote;
  out.from = {local, config.underlay};
  out.ttl = config.ttl != 0 ? config.ttl : kKeepaliveTtl;
  out.ds = config.tos_inherit ? 0 : config.tos;
  return out;
}

void write_addresses(ByteSpan header, const IpAddress& source, const IpAddress& destination) noexcept {
  std::memcpy(&header[12], source.bytes.data(), 4);
  std::memcpy(&header[16], destination.bytes.data(), 4);
  store_be16(&header[10], 0);
  store_be16(&header[10], packet::finish(packet::sum_of(header)));
}

// Appends a GRE header with its checksum's place, if it has one, empty.
void append_gre(std::vector<uint8_t>& bytes, const GreHeader& header) {
  std::array<uint8_t, kGreMaxHeader> gre{};
  const size_t size = write_gre_header(gre.data(), header);
  bytes.insert(bytes.end(), gre.begin(), gre.begin() + static_cast<long>(size));
}

void fill_checksum(ByteSpan gre) noexcept {
  store_be16(&gre[kGreChecksumAt], packet::finish(packet::sum_of(gre)));
}

// The answer comes back as a packet of the tunnel, so the inner GRE header has what we demand of those.
std::vector<uint8_t> write_keepalive(Tunnel& tunnel, const IpAddress& local) {
  const TunnelConfig& config = tunnel.config;
  std::vector<uint8_t> bytes;
  GreHeader outer{
      .protocol = kEtherIpv4, .has_checksum = config.out_checksum, .key = config.out_key, .sequence = {}};
  if (config.out_sequence) outer.sequence = tunnel.next_out_sequence++;
  append_gre(bytes, outer);
  const size_t ip = bytes.size();
  bytes.resize(ip + packet::kIpv4MinHeader);
  const size_t answer = bytes.size();
  append_gre(bytes, {.protocol = kKeepaliveProtocol,
                     .has_checksum = config.in_checksum,
                     .key = config.in_key,
                     .sequence = {}});
  bytes[ip] = 0x45;
  store_be16(&bytes[ip + 2], static_cast<uint16_t>(bytes.size() - ip));
  bytes[ip + 8] = kKeepaliveTtl;
  bytes[ip + 9] = protocol_of(Kind::gre);
  write_addresses(ByteSpan(bytes).subspan(ip, packet::kIpv4MinHeader), config.remote, local);
  if (config.in_checksum) fill_checksum(ByteSpan(bytes).subspan(answer));
  if (config.out_checksum) fill_checksum(bytes);
  return bytes;
}

}  // namespace

// Lenient about one of the two inner addresses: behind a NAT the sender does not know the one that we see of
// him, or of us. What is sent back goes from us to the remote in any case, so nobody else can be made to
// receive it, and it is no larger than what came.
bool Node::Impl::is_keepalive(const Tunnel& tunnel, const packet::IpView& inner,
                              const Received& received) noexcept {
  if (received.family != Family::v4 || !inner.is_v4() || inner.protocol() != protocol_of(Kind::gre))
    return false;
  if (inner.length() > kMaxKeepalive || inner.is_fragment()) return false;
  if (!packet::comes_from(inner.bytes(), received.to) && !packet::goes_to(inner.bytes(), received.from)) {
    return false;
  }
  const size_t header = inner.transport_offset();
  // Nobody sends options here; with a source route in them our answer would go where the sender likes.
  if (header != packet::kIpv4MinHeader) return false;
  if (packet::finish(packet::sum_of(inner.bytes().first(header))) != 0) return false;
  const auto gre = parse_gre_header(inner.bytes().subspan(header), Family::v4);
  if (!gre || gre->protocol != kKeepaliveProtocol) return false;
  return !gre->key || gre->key == tunnel.config.out_key || gre->key == tunnel.config.in_key;
}

std::optional<DropReason> Node::Impl::answer_keepalive(Now now, Tunnel& tunnel, const packet::IpView& inner,
                                                       const Received& received) {
  if (!allow_answer(tunnel.keepalive, now.boot)) return DropReason::rx_keepalive_limited;
  ControlPacket answer{{inner.bytes().begin(), inner.bytes().end()}, outer_of(tunnel, received.to)};
  answer.out.mode = SendMode::header_included;
  answer.out.ttl = inner.ttl();
  answer.out.ds = inner.ds();
  if (!packet::comes_from(inner.bytes(), received.to) || !packet::goes_to(inner.bytes(), received.from)) {
    write_addresses(ByteSpan(answer.bytes).first(inner.transport_offset()), received.to, received.from);
  }
  push_control(tunnel, std::move(answer));
  ++tunnel.counters.keepalives_answered;
  return std::nullopt;
}

std::optional<DropReason> Node::Impl::keepalive_returned(Tunnel& tunnel) {
  if (!sends_keepalives(tunnel)) return DropReason::rx_unknown_protocol;
  ++tunnel.counters.keepalives_returned;
  tunnel.keepalive.unanswered = 0;
  set_carrier(tunnel, true);
  return std::nullopt;
}

void Node::Impl::set_carrier(Tunnel& tunnel, bool carrier) {
  if (tunnel.keepalive.carrier == carrier) return;
  tunnel.keepalive.carrier = carrier;
  push_carrier(tunnel, carrier);
}

void Node::Impl::keepalive_changed(Now now, Tunnel& tunnel) {
  KeepaliveState& state = tunnel.keepalive;
  state.unanswered = 0;
  state.due = BootTime{INT64_MAX};
  if (sends_keepalives(tunnel)) {
    state.due = now.boot + seconds(tunnel.config.keepalive.interval_s);
  } else {
    set_carrier(tunnel, true);
  }
}

void Node::Impl::keepalive_timeout(Now now, Tunnel& tunnel) {
  KeepaliveState& state = tunnel.keepalive;
  const Keepalive& config = tunnel.config.keepalive;
  if (state.unanswered >= config.retries) set_carrier(tunnel, false);
  // Without a source there is no route, and no answer.
  state.unanswered = std::min(state.unanswered + 1, config.retries);
  state.due = now.boot + seconds(config.interval_s);
  const IpAddress& local = tunnel.source();
  if (local.family != Family::v4) return;
  push_control(tunnel, {write_keepalive(tunnel, local), outer_of(tunnel, local)});
  ++tunnel.counters.keepalives_sent;
}

}  // namespace hats::encap
