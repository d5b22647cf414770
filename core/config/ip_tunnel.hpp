// The words of `ip tunnel` as a value (formats.md 4.1): the grammar of iproute2 6.1 for gre, sit, ipip and
// ip6gre, and the guide's `mode ip6gre` with IPv4 ends. Whatever ip(8) refuses before it asks the kernel is
// refused here, too; what the kernel alone has, not we, is refused by name.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "core/config/dsfield.hpp"
#include "core/config/interface_config.hpp"
#include "core/config/ip_tunnel_values.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::config {

struct TunnelEncapsulationLimit {
  std::optional<uint8_t> limit{};  // unset: none is sent
};
struct TunnelFlowLabel {
  uint32_t value = 0;  // 20 bits
  bool inherit = false;
};

/// What was asked for: the options that were given, and no others. Of repeated ones the last counts.
struct TunnelCommand {
  enum class Verb : uint8_t { add, change, del, show, help } verb = Verb::show;
  std::string name{};  // empty with show: every tunnel
  /// The outer family: of the ends, else what -4, -6 or the mode tells; none if nothing does (change, show).
  Family family = Family::none;
  std::string mode{};  // as written; empty if there was none
  std::optional<encap::Kind> kind{};

  std::optional<IpAddress> local{}, remote{};  // an unset address: any
  std::string underlay{};                      // `dev`; whether it exists is the caller's to see
  std::optional<uint8_t> ttl{};                // 0: inherit
  std::optional<TunnelTos> tos{};
  std::optional<bool> path_mtu_discovery{}, ignore_df{};
  std::optional<uint32_t> in_key{}, out_key{};
  // As with ip(8), these can be switched on, and not off.
  bool in_checksum = false, out_checksum = false, in_sequence = false, out_sequence = false;

  // Over IPv6 alone.
  std::optional<TunnelEncapsulationLimit> encapsulation_limit{};
  std::optional<TunnelFlowLabel> flow_label{};
  bool dscp_inherit = false;  // likewise not to be switched off
  std::optional<bool> allow_local_remote{};

  // Ours; ip(8) has neither.
  std::optional<encap::Keepalive> keepalive{};  // of interval 0: off
  std::optional<LinkLocal> link_local{};
};

/// Reads the words that follow `tunnel`: [-4|-6|-f FAMILY] [VERB] [[name] NAME] [OPTION]... None: show.
/// `add` has been checked as far as it can be without asking the host. `names`: of rt_dsfield.
/// The error is one line without its end: "WORD: what is wrong, what would be right".
[[nodiscard]] std::expected<TunnelCommand, std::string> parse_ip_tunnel(std::span<const std::string> words,
                                                                        const DsfieldNames& names = {});

/// The tunnel that the command makes of `current`: add begins with one without a remote, change with the
/// values of the interface. `current.underlay` stays: who calls knows the index of `command.underlay`.
[[nodiscard]] std::expected<encap::TunnelConfig, std::string> apply(const TunnelCommand& command,
                                                                    const encap::TunnelConfig& current);

/// What `add` makes, as the value that all formats share; the name is in the command.
[[nodiscard]] std::expected<InterfaceConfig, std::string> interface_config(const TunnelCommand& command);

/// Whether `show` with these words lists the tunnel: by name, family, kind, ends, key and underlay (its
/// index, or 0 if the command names none). Without a family word, tunnels over both are listed.
[[nodiscard]] bool selects(const TunnelCommand& command, const std::string& name,
                           const encap::TunnelConfig& tunnel, uint32_t underlay);

/// The text of `tunnel help`, with its line ends.
[[nodiscard]] std::string ip_tunnel_usage();

}  // namespace hats::config
