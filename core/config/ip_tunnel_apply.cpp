// The command's words put onto a tunnel's values.
#include "core/config/ip_tunnel.hpp"

namespace hats::config {
namespace {

using encap::Kind;
using encap::TunnelConfig;
using Fault = std::optional<std::string>;

constexpr uint8_t kDefaultHopLimit = 64;  // of iproute2's ip6gre

const char* name_of(Kind kind) {
  return kind == Kind::gre ? "gre" : kind == Kind::sit ? "sit" : "ipip";
}

const char* name_of(Family family) {
  return family == Family::v6 ? "IPv6" : "IPv4";
}

/// The two ends of the command against those that are there.
Fault ends_fault(const TunnelCommand& command, const TunnelConfig& current) {
  const bool fresh = !current.remote.is_set();
  if (command.remote && !command.remote->is_set()) {
    return std::string(
        "remote: any is not served (one interface for many hosts: NBMA, 6to4); give the address "
        "of the other end");
  }
  if (fresh && !command.remote) return std::string("remote: is missing; give the address of the other end");
  if (!fresh && command.kind && *command.kind != current.kind) {
    return std::string("mode: the tunnel is ") + name_of(current.kind) +
           ", which cannot be changed; delete it and add it anew";
  }
  const Family outer = command.remote ? command.remote->family : current.remote.family;
  if (!fresh && outer != current.outer()) {
    return std::string("remote: the tunnel runs over ") + name_of(current.outer()) +
           ", which cannot be changed; delete it and add it anew";
  }
  if (command.local && command.local->is_set() && command.local->family != outer) {
    return "local: " + command.local->text() + " is " + name_of(command.local->family) +
           ", and the other end is " + name_of(outer) + "; both ends are of one family";
  }
  return std::nullopt;
}

/// Options that this kind of tunnel does not have.
Fault foreign_option(const TunnelCommand& command, Kind kind, Family outer) {
  const auto without = [&](const char* option, const char* whose) {
    return std::string(option) + ": is of " + whose + " alone; leave it away";
  };
  if (kind != Kind::gre) {
    if (command.in_key || command.out_key)
      return std::string(
          "key: keys are not allowed with ipip and sit tunnels; use `mode gre`, or leave it away");
    if (command.in_sequence || command.out_sequence) return without("seq", "GRE");
    if (command.in_checksum || command.out_checksum) return without("csum", "GRE");
    if (command.keepalive) return without("keepalive", "GRE over IPv4");
  }
  if (command.ignore_df && (kind != Kind::gre || outer != Family::v4))
    return without("ignore-df", "GRE over IPv4");
  if (outer == Family::v6) {
    if (command.path_mtu_discovery) return without("pmtudisc", "tunnels over IPv4");
    if (command.keepalive) return without("keepalive", "GRE over IPv4");
  }
  if (outer == Family::v4) {
    if (command.encapsulation_limit) return without("encaplimit", "tunnels over IPv6");
    if (command.flow_label) return without("flowlabel", "tunnels over IPv6");
    if (command.dscp_inherit) return without("dscp", "tunnels over IPv6");
    if (command.allow_local_remote) return without("allow-localremote", "tunnels over IPv6");
  }
  return std::nullopt;
}

Fault link_local_fault(const TunnelCommand& command, Kind kind, Family outer) {
  if (!command.link_local || *command.link_local == LinkLocal::none) return std::nullopt;
  if (kind == Kind::ipip) return std::string("linklocal: ipip carries IPv4 alone; leave it away");
  const bool isatap = *command.link_local == LinkLocal::isatap;
  if (kind == Kind::sit && isatap)
    return std::string("linklocal: a sit tunnel's address is made of its IPv4 address alone; plain or none");
  if (outer == Family::v6 && *command.link_local != LinkLocal::as_kernel)
    return std::string("linklocal: isatap and plain need a local IPv4 address; kernel or none");
  return std::nullopt;
}

/// DF: with ignore-df it is never set, else always unless `nopmtudisc`, which a fixed ttl forbids.
Fault apply_df(const TunnelCommand& command, TunnelConfig& tunnel) {
  if (command.ignore_df) {
    tunnel.ignore_df = *command.ignore_df;
    tunnel.path_mtu_discovery = !tunnel.ignore_df;
  }
  tunnel.path_mtu_discovery = command.path_mtu_discovery.value_or(tunnel.path_mtu_discovery);
  if (tunnel.ignore_df && tunnel.path_mtu_discovery)
    return std::string(
        "ignore-df: contradicts pmtudisc, which sets DF on every packet; leave one of them away");
  // the kernel's ioctl sets DF wherever the ttl is fixed, so ip(8) refuses; ignore-df comes by another way
  if (tunnel.ttl != 0 && !tunnel.path_mtu_discovery && !tunnel.ignore_df)
    return std::string(
        "nopmtudisc: is incompatible with a ttl other than 0; say `ttl inherit`, or leave it away");
  return std::nullopt;
}

void apply_gre(const TunnelCommand& command, TunnelConfig& tunnel) {
  if (command.in_key) tunnel.in_key = command.in_key;
  if (command.out_key) tunnel.out_key = command.out_key;
  tunnel.in_checksum |= command.in_checksum;
  tunnel.out_checksum |= command.out_checksum;
  tunnel.in_sequence |= command.in_sequence;
  tunnel.out_sequence |= command.out_sequence;
  tunnel.keepalive = command.keepalive.value_or(tunnel.keepalive);
}

void apply_ipv6(const TunnelCommand& command, TunnelConfig& tunnel) {
  if (command.encapsulation_limit) tunnel.encapsulation_limit = command.encapsulation_limit->limit;
  if (command.flow_label) {
    tunnel.flow_label = command.flow_label->value;
    tunnel.flow_label_inherit = command.flow_label->inherit;
  }
  tunnel.dscp_inherit |= command.dscp_inherit;
  tunnel.allow_local_remote = command.allow_local_remote.value_or(tunnel.allow_local_remote);
}

}  // namespace

std::expected<TunnelConfig, std::string> apply(const TunnelCommand& command, const TunnelConfig& current) {
  if (Fault fault = ends_fault(command, current)) return std::unexpected(*std::move(fault));
  const bool fresh = !current.remote.is_set();
  TunnelConfig tunnel = current;
  if (command.remote) tunnel.remote = *command.remote;
  if (command.local) tunnel.local = *command.local;
  if (fresh) {
    tunnel.kind = command.kind.value_or(Kind::gre);
    // what was typed decides: ip6gre has a hop limit by default, gre and the others copy the inner one
    if (command.mode == "ip6gre" || command.mode == "gre/ipv6") tunnel.ttl = kDefaultHopLimit;
  }
  const Family outer = tunnel.outer();
  if (Fault fault = foreign_option(command, tunnel.kind, outer)) return std::unexpected(*std::move(fault));
  if (Fault fault = link_local_fault(command, tunnel.kind, outer)) return std::unexpected(*std::move(fault));
  tunnel.ttl = command.ttl.value_or(tunnel.ttl);
  if (command.tos) {
    tunnel.tos = command.tos->value;
    tunnel.tos_inherit = command.tos->inherit;
  }
  if (Fault fault = apply_df(command, tunnel)) return std::unexpected(*std::move(fault));
  apply_gre(command, tunnel);
  apply_ipv6(command, tunnel);
  return tunnel;
}

std::expected<InterfaceConfig, std::string> interface_config(const TunnelCommand& command) {
  auto tunnel = apply(command, {});
  if (!tunnel) return std::unexpected(std::move(tunnel.error()));
  InterfaceConfig out;
  out.format = Format::ip_tunnel;
  TunnelSpec& spec = out.tunnel.emplace();
  spec.mode = command.mode.empty() ? name_of(tunnel->kind) : command.mode;
  spec.tunnel = *std::move(tunnel);
  spec.underlay = command.underlay;
  out.link_local = command.link_local.value_or(LinkLocal::as_kernel);
  return out;
}

bool selects(const TunnelCommand& command, const std::string& name, const TunnelConfig& tunnel,
             uint32_t underlay) {
  const auto end_fits = [](const std::optional<IpAddress>& wanted, const IpAddress& has) {
    return !wanted || !wanted->is_set() || *wanted == has;
  };
  return (command.name.empty() || command.name == name) &&
         (command.family == Family::none || command.family == tunnel.outer()) &&
         (!command.kind || *command.kind == tunnel.kind) && end_fits(command.local, tunnel.local) &&
         end_fits(command.remote, tunnel.remote) && (!command.in_key || command.in_key == tunnel.in_key) &&
         (underlay == 0 || underlay == tunnel.underlay);
}

std::string ip_tunnel_usage() {
  return "Usage: hatsd-user tunnel { add | change | del | show } [ NAME ]\n"
         "          [ mode { gre | sit | ipip | ip6gre } ] [ remote ADDR ] [ local ADDR ]\n"
         "          [ dev PHYS_DEV ] [ ttl TTL ] [ tos TOS ] [ [no]pmtudisc ] [ [no]ignore-df ]\n"
         "          [ [i|o]key KEY ] [ [i|o]seq ] [ [i|o]csum ]\n"
         "          [ linklocal { kernel | isatap | plain | none } ]\n"
         "       GRE over IPv4 also:\n"
         "          [ keepalive SECONDS RETRIES | nokeepalive ]\n"
         "       with IPv6 ends (mode ip6gre) also:\n"
         "          [ encaplimit ELIM ] [ flowlabel FLOWLABEL ] [ dscp inherit ] [ [no]allow-localremote ]\n"
         "\n"
         "Where: ADDR      := IP_ADDRESS; local also any. ip6gre with two IPv4 addresses is GRE over IPv4\n"
         "       TTL       := { 0..255 | inherit }, 0 is inherit (default: inherit; ip6gre 64)\n"
         "       TOS       := { NAME | 00..ff | inherit | inherit/NAME | inherit/00..ff }\n"
         "       KEY       := { DOTTED_QUAD | NUMBER }\n"
         "       ELIM      := { none | 0..255 } (default: 4)\n"
         "       FLOWLABEL := { 0x0..0xfffff | inherit }\n";
}

}  // namespace hats::config
