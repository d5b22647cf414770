// The packet filter that goes with a default route through the tunnel (formats.md 1.6): packets to the
// tunnel's own addresses that arrive elsewhere from abroad are dropped, and the mark of our UDP packets is
// kept in conntrack, so that answers are looked up in the same routing table (strict reverse path filtering).
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "core/base/address.hpp"

namespace hats::app {

enum class FirewallTool : uint8_t { nft, iptables };
[[nodiscard]] const char* firewall_tool_name(FirewallTool tool);

struct FirewallRules {
  Family family = Family::v4;
  std::string interface;
  std::vector<IpAddress> addresses;  // of the interface, of that family
  uint32_t mark = 0;
};

/// The nft table's name: "hatsd-user-NAME", with '=' and '+', which nft cannot read in a name, as /3d and
/// /2b.
[[nodiscard]] std::string nft_table_name(const std::string& interface);
/// What `nft -f -` is told: one transaction that replaces the table.
[[nodiscard]] std::string nft_script(const FirewallRules& rules);
/// What `iptables-restore -n` is told; each rule carries a comment by which it is found again.
[[nodiscard]] std::string iptables_script(const FirewallRules& rules);
/// From the text of iptables-save, the script that deletes the rules with our comment for `interface`; empty
/// if there are none.
[[nodiscard]] std::string iptables_removal(const std::string& saved, const std::string& interface);

/// Programs of this host that can do it, best first.
[[nodiscard]] std::vector<FirewallTool> firewall_tools(Family family);
[[nodiscard]] std::expected<void, std::string> install_firewall(FirewallTool tool,
                                                                const FirewallRules& rules);
/// No error if there is nothing to remove.
[[nodiscard]] std::expected<void, std::string> remove_firewall(FirewallTool tool, Family family,
                                                               const std::string& interface);

}  // namespace hats::app
