// The readers of a .netdev's sections; netdev.cpp puts them together.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/interface_config.hpp"
#include "core/config/netdev.hpp"
#include "core/config/networkd_ini.hpp"
#include "core/config/networkd_rules.hpp"

namespace hats::config {

/// [Tunnel], for Kind= gre, sit, ip6gre and ipip. The error of a missing key names `file`.
[[nodiscard]] ConfigResult<TunnelSpec> read_tunnel(const IniText& text, std::string_view kind,
                                                   const std::string& file, Warnings& warnings);

/// [WireGuard] and [WireGuardPeer] into `config`: keys, port, mark, peers, and the routes of RouteTable=.
[[nodiscard]] ConfigResult<void> read_wireguard(const IniText& text, const NetworkdSources& sources,
                                                InterfaceConfig& config, Warnings& warnings);

}  // namespace hats::config
