// A default route through the tunnel without a loop (formats.md 1.6): the device's own packets carry a mark,
// a rule sends everything without that mark to a table of its own, and another lets the main table decide
// first by anything but its default routes. Values and choices; who makes the changes is HostSetup.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "tun/link.hpp"

namespace hats::app {

/// The first routing table, and mark, that is tried.
inline constexpr uint32_t kFirstDefaultTable = 51820;

/// The first table from kFirstDefaultTable on without a route of either family; the error is an errno value.
[[nodiscard]] std::expected<uint32_t, int> first_free_table(tun::Netlink& netlink);

/// "not fwmark TABLE lookup TABLE" and "lookup main suppress_prefixlength 0", in the order in which they are
/// added.
[[nodiscard]] std::array<tun::Rule, 2> default_route_rules(Family family, uint32_t table);

/// The priority that the kernel would give to a rule added without one: that of the second rule, less one.
/// Chosen here so that the undo record names exactly our rule, and not an equal one of somebody else's.
/// nullopt: leave it to the kernel.
[[nodiscard]] std::optional<uint32_t> next_rule_priority(const std::vector<tun::Rule>& rules);

/// True if a rule "not fwmark N lookup N" is there, whoever made it.
[[nodiscard]] bool has_default_route_rule(tun::Netlink& netlink, Family family);

/// "The source address check looks up the route with the packet's mark": what strict reverse path filtering
/// needs.
inline constexpr const char* kSrcValidMark = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

/// The value without its newline; nullopt if it cannot be read.
[[nodiscard]] std::optional<std::string> read_sysctl(const std::string& path);
/// False with errno set if it cannot be written.
[[nodiscard]] bool write_sysctl(const std::string& path, const std::string& value);

}  // namespace hats::app
