// `check` of GRE, SIT and IPIP.
#include <algorithm>

#include "core/config/explain_text.hpp"
#include "core/config/link_local.hpp"
#include "core/config/mtu_advice.hpp"

namespace hats::config {
namespace {

using encap::Kind;
using encap::TunnelConfig;

const char* family_text(Family family) {
  return family == Family::v6 ? "IPv6" : "IPv4";
}

const char* kind_text(Kind kind) {
  return kind == Kind::gre ? "GRE" : kind == Kind::sit ? "SIT" : "IPIP";
}

/// "in and out", "in", "out" or "".
std::string directions(bool in, bool out) {
  return in && out ? "in and out" : in ? "in alone" : out ? "out alone" : "";
}

class TunnelExplainer {
 public:
  TunnelExplainer(const InterfaceConfig& config, const ExplainFacts& facts)
      : config_(config), facts_(facts), spec_(*config.tunnel), tunnel_(spec_.tunnel) {}

  std::vector<std::string> lines() {
    wire();
    if (tunnel_.kind == Kind::gre) gre();
    header();
    inside();
    cost();
    out_.routes(config_);
    out_.list("what stock tools do otherwise", differences());
    out_.list("worth knowing", notes());
    out_.list("warnings", warning_texts(config_, facts_));
    return out_.take();
  }

 private:
  void wire();
  void gre();
  void header();
  void inside();
  void cost();
  [[nodiscard]] std::vector<std::string> differences() const;
  [[nodiscard]] std::vector<std::string> notes() const;
  [[nodiscard]] std::string link_local_text() const;

  [[nodiscard]] bool over_v6() const { return tunnel_.outer() == Family::v6; }
  [[nodiscard]] bool guides_ip6gre() const {
    return !over_v6() && (spec_.mode == "ip6gre" || spec_.mode == "gre/ipv6");
  }
  [[nodiscard]] std::optional<uint32_t> path_mtu() const {
    return facts_.paths.empty() ? std::nullopt : facts_.paths.front().mtu;
  }

  const InterfaceConfig& config_;
  const ExplainFacts& facts_;
  const TunnelSpec& spec_;
  const TunnelConfig& tunnel_;
  ExplainLines out_;
};

void TunnelExplainer::wire() {
  out_.head("interface " + facts_.interface + " (" + kind_text(tunnel_.kind) + " over " +
            family_text(tunnel_.outer()) + ")" + (facts_.file.empty() ? "" : ", from " + facts_.file));
  const std::string protocol = std::to_string(encap::protocol_of(tunnel_.kind));
  const char* carries = tunnel_.kind == Kind::gre   ? "IPv4 and IPv6"
                        : tunnel_.kind == Kind::sit ? "IPv6 alone"
                                                    : "IPv4 alone";
  out_.add("on the wire", "IP protocol " + protocol + ", carries " + carries);
  out_.add("local", tunnel_.local.is_set() ? tunnel_.local.text()
                                           : "any: packets leave from the address that routing chooses");
  out_.add("remote", tunnel_.remote.text());
  if (!spec_.underlay.empty()) out_.add("underlay", spec_.underlay + " alone");
}

void TunnelExplainer::gre() {
  const auto& in = tunnel_.in_key;
  const auto& out = tunnel_.out_key;
  if (in && in == out) {
    out_.add("key", std::to_string(*in));
  } else if (in || out) {
    out_.add("key",
             "in " + (in ? std::to_string(*in) : "none") + ", out " + (out ? std::to_string(*out) : "none"));
  } else {
    out_.add("key", "none");
  }
  const std::string checksum = directions(tunnel_.in_checksum, tunnel_.out_checksum);
  if (!checksum.empty()) out_.add("checksum", checksum);
  const std::string sequence = directions(tunnel_.in_sequence, tunnel_.out_sequence);
  if (!sequence.empty())
    out_.add("sequence", sequence + (tunnel_.in_sequence ? "; late packets are dropped" : ""));
  if (tunnel_.keepalive.interval_s != 0) {
    out_.add("keepalive", "every " + std::to_string(tunnel_.keepalive.interval_s) +
                              " s; the carrier goes after " + std::to_string(tunnel_.keepalive.retries) +
                              " without an answer");
  }
}

/// The outer header.
void TunnelExplainer::header() {
  out_.add(over_v6() ? "hop limit" : "ttl",
           tunnel_.ttl != 0 ? std::to_string(tunnel_.ttl) : "that of the inner packet");
  if (tunnel_.tos != 0 || tunnel_.tos_inherit) {
    const std::string own = "0x" + std::string(1, "0123456789abcdef"[tunnel_.tos >> 4]) +
                            std::string(1, "0123456789abcdef"[tunnel_.tos & 15]);
    out_.add(over_v6() ? "traffic class" : "tos", !tunnel_.tos_inherit ? own
                                                  : tunnel_.tos == 0
                                                      ? "that of the inner packet"
                                                      : "that of the inner packet, else " + own);
  }
  if (!over_v6()) {
    out_.add("fragmentation", tunnel_.path_mtu_discovery ? "forbidden (DF): senders learn what fits"
                              : tunnel_.ignore_df        ? "allowed, also where the inner packet forbids it"
                                                         : "allowed, unless the inner packet forbids it");
    return;
  }
  out_.add("encap limit",
           tunnel_.encapsulation_limit ? std::to_string(*tunnel_.encapsulation_limit) : "none");
  if (tunnel_.flow_label_inherit) out_.add("flow label", "that of the inner packet");
  if (tunnel_.flow_label != 0) out_.add("flow label", std::to_string(tunnel_.flow_label));
  if (tunnel_.dscp_inherit) out_.add("dscp", "copied to the inner packet on arrival");
  if (tunnel_.allow_local_remote) out_.add("remote", "may be an address of this host");
}

std::string TunnelExplainer::link_local_text() const {
  if (config_.link_local == LinkLocal::none) return "none";
  std::vector<std::string> texts;
  for (const IpAddress& address : link_local_addresses(tunnel_, config_.link_local, {}))
    texts.push_back(address.text() + "/64");
  if (!texts.empty()) return listed(texts);
  return tunnel_.local.is_set() ? "none" : "one for each IPv4 address of this host, as fe80::V4";
}

void TunnelExplainer::inside() {
  out_.add("addresses", addresses_line(config_));
  if (tunnel_.kind != Kind::ipip) out_.add("link-local", link_local_text());
}

void TunnelExplainer::cost() {
  const Encapsulation around = encapsulation_of(tunnel_);
  const uint32_t link = path_mtu().value_or(kUnknownPathMtu);
  const uint32_t mtu = config_.mtu.value_or(default_mtu(tunnel_, path_mtu()));
  const uint32_t best = best_mtu(around, link);
  const bool raised = !config_.mtu && mtu > best;
  out_.add("mtu", std::to_string(mtu) + (config_.mtu ? ", from the file"
                                         : raised    ? ", which IPv6 needs"
                                                     : ", the path less the overhead"));
  out_.add("overhead", std::to_string(overhead(around)) + " bytes a packet (" + overhead_parts(around) + ")");
  const auto guide = guide_figure(around);
  out_.add("best mtu", std::to_string(best) + " on " + (path_mtu() ? "this path of " : "a path of ") +
                           std::to_string(link) +
                           (guide ? "; the peering guide counts " + std::to_string(guide->overhead) +
                                        " bytes and says " + std::to_string(guide->mtu)
                                  : ""));
  if (const auto warning = mtu_warning(around, mtu, link)) out_.add("mtu advice", *warning);
}

/// Where the same words or file fare otherwise with the tools that they were written for.
std::vector<std::string> TunnelExplainer::differences() const {
  std::vector<std::string> found;
  if (guides_ip6gre()) {
    const char* refuses = config_.format == Format::networkd
                              ? "systemd-networkd ignores a .netdev of ip6gre with IPv4 addresses"
                          : config_.format == Format::netplan
                              ? "netplan stops at ip6gre with IPv4 addresses, and then applies nothing at all"
                              : "`ip tunnel` refuses ip6gre with IPv4 addresses";
    found.push_back(
        std::string(refuses) +
        "; here it is GRE over IPv4, as the peering guide has it, and a peer with a kernel's tunnel "
        "sets up plain gre");
  }
  if (config_.format == Format::networkd) {
    found.emplace_back(
        "systemd-networkd makes such a device only with Independent=yes, or if the .network file of its "
        "underlay "
        "says Tunnel=" +
        facts_.interface + "; it is made here in any case");
  }
  if (tunnel_.ignore_df && config_.format == Format::ip_tunnel)
    found.emplace_back("`ip tunnel` has no ignore-df; `ip link add type gre` does");
  if (tunnel_.keepalive.interval_s != 0)
    found.emplace_back(
        "the kernel's GRE sends no keepalives; peers that route it back answer ours nevertheless");
  if (over_v6() && config_.link_local == LinkLocal::as_kernel)
    found.emplace_back("the kernel draws a link-local address at random each time; this one stays");
  return found;
}

std::vector<std::string> TunnelExplainer::notes() const {
  std::vector<std::string> found;
  if (facts_.local_is_absent) {
    found.push_back(
        "the local address " + tunnel_.local.text() +
        " is not on this host now: the tunnel is made, and waits until it is (behind NAT, local is "
        "the private address)");
  }
  if (tunnel_.ttl == 0) {
    found.emplace_back(
        "outer packets have the ttl of the inner ones: those of BGP and OSPF to neighbours, with a ttl of 1, "
        "reach "
        "the first router alone; `ttl 255` is the guide's");
  }
  const auto unfit = [&](Family family) {
    return std::ranges::any_of(config_.addresses, [&](const InterfaceAddress& address) {
      return address.prefix.address.family == family;
    });
  };
  if (tunnel_.kind == Kind::sit && unfit(Family::v4))
    found.emplace_back("sit carries IPv6 alone: nothing is reached by its IPv4 addresses; use gre for both");
  if (tunnel_.kind == Kind::ipip && unfit(Family::v6))
    found.emplace_back("ipip carries IPv4 alone: nothing is reached by its IPv6 addresses; use gre for both");
  if (config_.mtu && *config_.mtu < kLeastIpv6Mtu && tunnel_.kind != Kind::ipip)
    found.emplace_back("below an mtu of 1280 the interface has no IPv6");
  return found;
}

}  // namespace

std::vector<std::string> explain_tunnel(const InterfaceConfig& config, const ExplainFacts& facts) {
  return TunnelExplainer(config, facts).lines();
}

}  // namespace hats::config
