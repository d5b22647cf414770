// ICMP errors about our outer packets, as Linux ipgre_err, ipip_err, ipip6_err and ip6gre_err take them: too
// big lowers the path MTU; what can be translated for an inner IPv6 sender is; the rest makes the senders of
// the next packets hear of it.
#include "core/encap/outer_error.hpp"

#include <algorithm>
#include <array>

#include "core/encap/gre_header.hpp"
#include "core/encap/node_impl.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::encap {
namespace {

constexpr size_t kIcmpHeader = 8;
constexpr size_t kMinQuotedPayload = 8;  // RFC 792: 64 bits of the original datagram's data

// ICMPv4 (RFC 792) and ICMPv6 (RFC 4443) types and codes.
constexpr uint8_t kUnreachable = 3, kTimeExceeded = 11, kParameterProblem = 12;
constexpr uint8_t kPortUnreachable = 3, kFragmentationNeeded = 4, kSourceRouteFailed = 5;
constexpr uint8_t kUnreachableV6 = 1, kTooBigV6 = 2, kTimeExceededV6 = 3, kParameterProblemV6 = 4;
constexpr uint8_t kPortUnreachableV6 = 4, kHopLimitV6 = 0;
constexpr uint8_t kTtlExceeded = 0;

constexpr uint32_t kMinPathMtuV4 = 552;  // bytes
constexpr std::array<uint32_t, 11> kPlateaus = {65'535, 32'000, 17'914, 8'166, 4'352, 2'002,
                                                1'492,  1'006,  508,    296,   68};  // RFC 1191 7

// The original datagram without the extensions that may follow it (RFC 4884 5.1 to 5.4); `length` in bytes.
ByteView without_extensions(ByteView quoted, size_t length) noexcept {
  constexpr size_t kLeast = 128;
  return length >= kLeast && length < quoted.size() ? quoted.first(length) : quoted;
}

std::optional<OuterError> parse_v4(ByteView message) noexcept {
  const auto ip = packet::IpView::parse(message);
  if (!ip || !ip->is_v4() || ip->protocol() != packet::kProtoIcmp || ip->is_fragment()) return std::nullopt;
  const size_t at = ip->transport_offset();
  if (at == 0 || ip->length() - at < kIcmpHeader + packet::kIpv4MinHeader + kMinQuotedPayload) {
    return std::nullopt;
  }
  const ByteView icmp = ip->bytes().subspan(at);
  OuterError out{.family = Family::v4, .type = icmp[0], .code = icmp[1], .reporter = ip->source()};
  if (out.type != kUnreachable && out.type != kTimeExceeded && out.type != kParameterProblem) {
    return std::nullopt;
  }
  if (out.type == kUnreachable && out.code == kFragmentationNeeded) out.mtu = load_be16(&icmp[6]);
  out.quoted = without_extensions(icmp.subspan(kIcmpHeader), size_t{icmp[5]} * 4);
  const ByteView quoted = out.quoted;
  const size_t header = size_t{quoted[0]} % 16 * 4;
  const bool sound = (quoted[0] >> 4) == 4 && header >= packet::kIpv4MinHeader &&
                     quoted.size() >= header + kMinQuotedPayload;
  return sound ? std::optional(out) : std::nullopt;
}

std::optional<OuterError> parse_v6(ByteView icmp, const IpAddress& reporter) noexcept {
  if (icmp.size() < kIcmpHeader + packet::kIpv6Header + kMinQuotedPayload) return std::nullopt;
  OuterError out{.family = Family::v6, .type = icmp[0], .code = icmp[1], .reporter = reporter};
  if (out.type < kUnreachableV6 || out.type > kParameterProblemV6) return std::nullopt;
  if (out.type == kTooBigV6) out.mtu = load_be32(&icmp[4]);
  const bool extensible = out.type == kUnreachableV6 || out.type == kTimeExceededV6;
  out.quoted = without_extensions(icmp.subspan(kIcmpHeader), extensible ? size_t{icmp[4]} * 8 : 0);
  return (out.quoted[0] >> 4) == 6 ? std::optional(out) : std::nullopt;
}

std::optional<Quote> read_v4(ByteView quoted) noexcept {
  const size_t header = size_t{quoted[0]} % 16 * 4;
  if ((quoted[0] >> 4) != 4 || header < packet::kIpv4MinHeader || header > quoted.size()) return std::nullopt;
  const bool first = (load_be16(&quoted[6]) & 0x1fff) == 0;
  return Quote{.family = Family::v4,
               .source = IpAddress::v4(&quoted[12]),
               .destination = IpAddress::v4(&quoted[16]),
               .length = load_be16(&quoted[2]),
               .protocol = quoted[9],
               .payload = first ? quoted.subspan(header) : ByteView{}};
}

std::optional<Quote> read_v6(ByteView quoted) noexcept {
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kDestinationOptions = 60;
  if (quoted.size() < packet::kIpv6Header || (quoted[0] >> 4) != 6) return std::nullopt;
  Quote out{.family = Family::v6,
            .source = IpAddress::v6(&quoted[8]),
            .destination = IpAddress::v6(&quoted[24]),
            .length = static_cast<uint32_t>(packet::kIpv6Header) + load_be16(&quoted[4]),
            .protocol = quoted[6],
            .payload = quoted.subspan(packet::kIpv6Header)};
  // The encapsulation limit's header, and a fragment header where our own host has made fragments.
  while (out.protocol == kHopByHop || out.protocol == kRouting || out.protocol == kDestinationOptions ||
         out.protocol == packet::kProtoFragment) {
    if (out.payload.size() < 8) return out;
    const bool fragment = out.protocol == packet::kProtoFragment;
    const bool later = fragment && (load_be16(&out.payload[2]) & 0xfff8) != 0;
    const size_t size = fragment ? 8 : 8 + size_t{out.payload[1]} * 8;
    out.protocol = out.payload[0];
    out.payload = out.payload.subspan(later ? out.payload.size() : std::min(size, out.payload.size()));
    if (later) return out;
  }
  return out;
}

// Whether the error makes inner senders hear of it. What is left out is either nothing that a router says
// of our packets or, as a parameter problem, our own fault.
bool is_link_error(const OuterError& error, Kind kind) noexcept {
  if (error.family == Family::v6) {
    return (error.type == kUnreachableV6 && error.code != kPortUnreachableV6) ||
           (error.type == kTimeExceededV6 && error.code == kHopLimitV6);
  }
  if (error.type == kTimeExceeded) return error.code == kTtlExceeded;
  if (error.type != kUnreachable || error.code == kSourceRouteFailed) return false;
  return kind != Kind::gre || error.code != kPortUnreachable;
}

std::optional<Kind> kind_of(const Quote& quote) noexcept {
  if (quote.protocol == protocol_of(Kind::gre)) return Kind::gre;
  if (quote.family == Family::v6) return std::nullopt;
  if (quote.protocol == protocol_of(Kind::sit)) return Kind::sit;
  if (quote.protocol == protocol_of(Kind::ipip)) return Kind::ipip;
  return std::nullopt;
}

}  // namespace

std::optional<OuterError> parse_outer_error(Family family, ByteView message, const IpAddress& reporter) {
  if (family == Family::v4) return parse_v4(message);
  return family == Family::v6 ? parse_v6(message, reporter) : std::nullopt;
}

std::optional<Quote> read_quote(const OuterError& error) noexcept {
  if (error.quoted.size() < packet::kIpv4MinHeader) return std::nullopt;
  return error.family == Family::v4 ? read_v4(error.quoted) : read_v6(error.quoted);
}

bool is_too_big(const OuterError& error) noexcept {
  if (error.family == Family::v6) return error.type == kTooBigV6;
  return error.type == kUnreachable && error.code == kFragmentationNeeded;
}

std::optional<uint32_t> told_mtu(const OuterError& error, const Quote& quote) noexcept {
  if (error.family == Family::v6) {
    return error.mtu >= packet::kMinMtuV6 ? std::optional(error.mtu) : std::nullopt;
  }
  uint32_t mtu = error.mtu;
  if (mtu == 0) {
    const auto* plateau = std::ranges::find_if(kPlateaus, [&](uint32_t p) { return p < quote.length; });
    mtu = plateau == kPlateaus.end() ? kMinPathMtuV4 : *plateau;
  }
  return std::max(mtu, kMinPathMtuV4);
}

Tunnel* Node::Impl::sender_of(const Quote& quote) const noexcept {
  const auto kind = kind_of(quote);
  if (!kind) return nullptr;
  TunnelQuery query{.kind = *kind, .local = quote.source, .remote = quote.destination};
  if (*kind != Kind::gre) return find(by_out_key.find(query).tunnel);
  const auto flags = read_gre_flags(quote.payload);
  // Many routers quote no more than 8 bytes, which may end before the key.
  if (!flags || (flags->has_key && quote.payload.size() < flags->key_at + 4)) {
    return find(by_out_key.find_only(query));
  }
  if (flags->has_key) query.key = load_be32(&quote.payload[flags->key_at]);
  return find(by_out_key.find(query).tunnel);
}

void Node::Impl::learn_path_mtu(Now now, const Tunnel& tunnel, const OuterError& error, const Quote& quote) {
  const auto mtu = told_mtu(error, quote);
  if (mtu) path_mtus.learn(now.boot, tunnel.config.remote, *mtu);
}

// RFC 4213 3.4; Linux ip6_err_gen_icmpv6_unreach, for SIT and for GRE that carries IPv6.
bool Node::Impl::relay(Now now, Tunnel& tunnel, const OuterError& error, const Quote& quote) {
  if (quote.family != Family::v4 || tunnel.config.kind == Kind::ipip) return false;
  ByteView inner = quote.payload;
  if (tunnel.config.kind == Kind::gre) {
    const auto flags = read_gre_flags(inner);
    if (!flags || flags->protocol != kEtherIpv6 || inner.size() < flags->size) return false;
    inner = inner.subspan(flags->size);
  }
  constexpr size_t kEnough = packet::kIpv6Header + 8;
  if (inner.size() < kEnough || (inner[0] >> 4) != 6) return false;
  packet::IcmpMessage message = packet::icmp_unreachable(Family::v6);
  if (error.type == kTimeExceeded) message = {kTimeExceededV6, kHopLimitV6, 0};
  IpAddress router{.family = Family::v6, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
  std::copy_n(error.reporter.bytes.begin(), 4, router.bytes.begin() + 12);
  owe_icmp(now.boot, tunnel, inner, message, router);
  return true;
}

void Node::outer_error(Now now, const OuterError& error) {
  const auto quote = read_quote(error);
  if (!quote) return;
  Tunnel* tunnel = impl_->sender_of(*quote);
  if (!tunnel || !tunnel->up) return;
  ++tunnel->counters.icmp_received;
  if (is_too_big(error)) return impl_->learn_path_mtu(now, *tunnel, error, *quote);
  if (!is_link_error(error, tunnel->config.kind)) return;
  // With an inherited TTL it is the inner sender's business, as in traceroute.
  const bool expired = error.type == (error.family == Family::v4 ? kTimeExceeded : kTimeExceededV6);
  const bool senders_business = tunnel->config.ttl == 0 && expired;
  if (!senders_business) tunnel->path_failed_at = now.boot;
  if (impl_->relay(now, *tunnel, error, *quote) || senders_business) return;
  tunnel->link_errors =
      tunnel->link_failing(now.boot) ? std::min(tunnel->link_errors + 1, kMaxLinkErrors) : 1;
  tunnel->link_error_at = now.boot;
}

}  // namespace hats::encap
