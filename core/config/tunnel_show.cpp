#include "core/config/tunnel_show.hpp"

#include <array>
#include <cstdio>

namespace hats::config {
namespace {

using encap::Kind;
using encap::TunnelConfig;

std::string hexadecimal(uint32_t value, int digits) {
  std::array<char, 16> out{};
  std::snprintf(out.data(), out.size(), "0x%0*x", digits, value);
  return out.data();
}

const char* protocol_text(Kind kind) {
  return kind == Kind::gre ? "gre" : kind == Kind::sit ? "ipv6" : "ip";
}

std::string end_text(const IpAddress& address, Family outer) {
  if (address.is_set()) return address.text();
  return outer == Family::v6 ? "::" : "any";
}

std::string over_ipv4(const TunnelConfig& tunnel, const DsfieldNames& names) {
  std::string out = " ttl " + (tunnel.ttl != 0 ? std::to_string(tunnel.ttl) : "inherit");
  if (tunnel.tos_inherit) out += " tos inherit";
  if (tunnel.tos != 0) out += (tunnel.tos_inherit ? "/" : " tos ") + names.text(tunnel.tos);
  if (!tunnel.path_mtu_discovery) out += " nopmtudisc";
  // the kernel's sit devices all have it; nothing is sent to 2002::/16 by its rule while they have a remote
  if (tunnel.kind == Kind::sit) out += " 6rd-prefix 2002::/16";
  return out;
}

std::string over_ipv6(const TunnelConfig& tunnel) {
  // the traffic class stands above the flow label, RFC 8200 3; inherited ones are zero
  const uint32_t tos = tunnel.tos_inherit ? 0 : tunnel.tos;
  const uint32_t label = tunnel.flow_label_inherit ? 0 : tunnel.flow_label;
  std::string out = " encaplimit ";
  out += tunnel.encapsulation_limit ? std::to_string(*tunnel.encapsulation_limit) : "none";
  out += " hoplimit " + (tunnel.ttl != 0 ? std::to_string(tunnel.ttl) : "inherit");
  out += " tclass " + (tunnel.tos_inherit ? "inherit" : hexadecimal(tos, 2));
  out += " flowlabel " + (tunnel.flow_label_inherit ? "inherit" : hexadecimal(label, 5));
  out += " (flowinfo " + hexadecimal(tos << 20 | label, 8) + ")";
  if (tunnel.dscp_inherit) out += " dscp inherit";
  if (tunnel.allow_local_remote) out += " allow-localremote";
  return out;
}

std::string gre_fields(const TunnelConfig& tunnel) {
  std::string out;
  if (tunnel.in_key && tunnel.in_key == tunnel.out_key) {
    out += " key " + std::to_string(*tunnel.in_key);
  } else {
    if (tunnel.in_key) out += " ikey " + std::to_string(*tunnel.in_key);
    if (tunnel.out_key) out += " okey " + std::to_string(*tunnel.out_key);
  }
  if (tunnel.in_sequence) out += "\n  Drop packets out of sequence.";
  if (tunnel.in_checksum) out += "\n  Checksum in received packet is required.";
  if (tunnel.out_sequence) out += "\n  Sequence packets on output.";
  if (tunnel.out_checksum) out += "\n  Checksum output packets.";
  return out;
}

}  // namespace

std::string tunnel_text(const std::string& name, const TunnelConfig& tunnel, const DsfieldNames& names,
                        const LinkName& link_name) {
  const Family outer = tunnel.outer();
  std::string out = name + ": " + protocol_text(tunnel.kind) + (outer == Family::v6 ? "/ipv6" : "/ip") +
                    " remote " + end_text(tunnel.remote, outer) + " local " + end_text(tunnel.local, outer);
  if (tunnel.underlay != 0) {
    if (const std::string underlay = link_name(tunnel.underlay); !underlay.empty()) out += " dev " + underlay;
  }
  out += outer == Family::v6 ? over_ipv6(tunnel) : over_ipv4(tunnel, names);
  if (tunnel.kind == Kind::gre) out += gre_fields(tunnel);
  return out;
}

}  // namespace hats::config
