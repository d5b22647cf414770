// systemd-networkd's .network files: addresses, routes and link settings (formats.md 2.5). Pure.
#pragma once

#include <string_view>
#include <vector>

#include "core/config/interface_config.hpp"
#include "core/config/networkd_ini.hpp"
#include "core/config/networkd_match.hpp"
#include "core/config/networkd_rules.hpp"
#include "core/config/source_text.hpp"

namespace hats::config {

/// Whether a .network file and its drop-ins are for the link `name` of that kind ("wireguard", "gre", ...).
/// False also for a file that is broken, that has no [Match], or that is not for this host.
[[nodiscard]] bool network_matches(const std::vector<SourceText>& network, std::string_view name,
                                   std::string_view kind, const HostFacts& host = {});

/// Reads the file into `config`: addresses, routes, MTU, DNS, link-local and router advertisements. With
/// `lenient` what would refuse the file is a warning (networkd itself configures the interface).
[[nodiscard]] ConfigResult<void> read_network(const IniText& text, InterfaceConfig& config,
                                              Warnings& warnings, bool lenient);

}  // namespace hats::config
