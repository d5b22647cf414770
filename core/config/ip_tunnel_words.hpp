// The words of `ip tunnel`: options, modes, and what is refused by name. Of ip_tunnel.cpp alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "core/base/address.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::config {

enum class Option : uint8_t {
  mode,
  name,
  local,
  remote,
  dev,
  ttl,
  tos,
  pmtudisc,
  nopmtudisc,
  ignore_df,
  noignore_df,
  key,
  ikey,
  okey,
  seq,
  iseq,
  oseq,
  csum,
  icsum,
  ocsum,
  encaplimit,
  flowlabel,
  dscp,
  localremote,
  nolocalremote,
  keepalive,
  nokeepalive,
  linklocal
};

struct OptionWord {
  std::string_view word;
  Option option;
  uint8_t values = 0;          // how many words follow it
  Family only = Family::none;  // the outer family that has it
};

inline constexpr OptionWord kOptions[] = {
    {"mode", Option::mode, 1},
    {"name", Option::name, 1},
    {"local", Option::local, 1},
    {"remote", Option::remote, 1},
    {"dev", Option::dev, 1},
    {"ttl", Option::ttl, 1},
    {"hoplimit", Option::ttl, 1},
    {"hlim", Option::ttl, 1},
    {"tos", Option::tos, 1},
    {"tclass", Option::tos, 1},
    {"tc", Option::tos, 1, Family::v6},
    {"dsfield", Option::tos, 1},
    {"pmtudisc", Option::pmtudisc, 0, Family::v4},
    {"nopmtudisc", Option::nopmtudisc, 0, Family::v4},
    {"ignore-df", Option::ignore_df, 0, Family::v4},
    {"noignore-df", Option::noignore_df, 0, Family::v4},
    {"key", Option::key, 1},
    {"ikey", Option::ikey, 1},
    {"okey", Option::okey, 1},
    {"seq", Option::seq},
    {"iseq", Option::iseq},
    {"oseq", Option::oseq},
    {"csum", Option::csum},
    {"icsum", Option::icsum},
    {"ocsum", Option::ocsum},
    {"encaplimit", Option::encaplimit, 1, Family::v6},
    {"flowlabel", Option::flowlabel, 1, Family::v6},
    {"fl", Option::flowlabel, 1, Family::v6},
    {"dscp", Option::dscp, 1, Family::v6},
    {"allow-localremote", Option::localremote, 0, Family::v6},
    {"noallow-localremote", Option::nolocalremote, 0, Family::v6},
    {"keepalive", Option::keepalive, 2, Family::v4},
    {"nokeepalive", Option::nokeepalive, 0, Family::v4},
    {"linklocal", Option::linklocal, 1},
};

/// What people write that we cannot do, and what to do instead.
struct Refusal {
  std::string_view word;
  std::string_view reason;
};

inline constexpr std::string_view kOverIpv6 =
    "IP over IPv6 without GRE is not served; use `mode ip6gre` (GRE over IPv6, which carries both families) "
    "at "
    "both ends";
inline constexpr std::string_view kEthernet =
    "a tunnel for Ethernet frames is not served, these are for IP packets; use `mode gre` or `mode ip6gre` "
    "at "
    "both ends";
inline constexpr std::string_view kIpsec =
    "an interface of the kernel's IPsec is not served; use `mode gre` or `mode ipip`, or WireGuard for "
    "encryption";

inline constexpr Refusal kRefusedModes[] = {
    {"ip6ip6", kOverIpv6},
    {"ipv6/ipv6", kOverIpv6},
    {"ipip6", kOverIpv6},
    {"ip/ipv6", kOverIpv6},
    {"ipv4/ipv6", kOverIpv6},
    {"ip4ip6", kOverIpv6},
    {"any", kOverIpv6},
    {"any/ipv6", kOverIpv6},
    {"vti", kIpsec},
    {"vti6", kIpsec},
    {"isatap", "ISATAP has no fixed other end and is not served; use `mode sit` with `remote`"},
    {"gretap", kEthernet},
    {"ip6gretap", kEthernet},
    {"erspan", kEthernet},
    {"ip6erspan", kEthernet},
    {"wireguard", "WireGuard is not set up by `tunnel`; use `hatsd-user up FILE`"},
};

inline constexpr Refusal kRefusedOptions[] = {
    {"fwmark", "`ip tunnel` has no such option, and a mark of outer packets is not served"},
    {"external", "metadata mode is not served; give `local` and `remote`"},
    {"encap", "FOU and GUE are not served; leave it away"},
    {"6rd-prefix", "6rd is not served; use `mode sit` with `remote`"},
    {"6rd-relay_prefix", "6rd is not served; use `mode sit` with `remote`"},
    {"prl-default", "ISATAP is not served; use `mode sit` with `remote`"},
    {"prl-nodefault", "ISATAP is not served; use `mode sit` with `remote`"},
    {"type", "`ip tunnel` says `mode`, `ip link` says `type`; write `mode`"},
};

struct ModeWord {
  std::string_view word;
  encap::Kind kind;
  bool either_family = false;  // the ends tell; else over IPv4
};

inline constexpr ModeWord kModes[] = {
    {"gre", encap::Kind::gre},          {"gre/ip", encap::Kind::gre},         {"sit", encap::Kind::sit},
    {"ipv6/ip", encap::Kind::sit},      {"ipip", encap::Kind::ipip},          {"ip/ip", encap::Kind::ipip},
    {"ip6gre", encap::Kind::gre, true}, {"gre/ipv6", encap::Kind::gre, true},
};

inline constexpr std::string_view kModesText = "gre, sit, ipip or ip6gre";

/// iproute2's matches(): a prefix that is not empty.
inline bool abbreviates(std::string_view word, std::string_view whole) {
  return !word.empty() && whole.starts_with(word);
}

inline const OptionWord* find_option(std::string_view word) {
  // dsfield is the one that may be abbreviated
  const auto* found = std::ranges::find_if(kOptions, [&](const OptionWord& entry) {
    return entry.word == word || (entry.word == "dsfield" && abbreviates(word, entry.word));
  });
  return found == std::end(kOptions) ? nullptr : found;
}

template <size_t N>
const Refusal* find_refusal(const Refusal (&table)[N], std::string_view word) {
  const auto* found = std::ranges::find(table, word, &Refusal::word);
  return found == std::end(table) ? nullptr : found;
}

}  // namespace hats::config
