// Routing table names (rt_tables of iproute2) for `Table = NAME` (formats.md 1.6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hats::app {

/// Where names come from, first hit wins: the administrator's folder, then the distribution's.
[[nodiscard]] std::vector<std::string> rt_tables_folders();

/// The number of a table: a name of rt_tables (or of rt_tables.d/*.conf) in one of `folders`, one of the
/// kernel's own (main, local, default), or a number, decimal, 0x or octal as iproute2 reads it. 0 is refused:
/// the kernel takes it for main.
[[nodiscard]] std::optional<uint32_t> routing_table(
    std::string_view text, const std::vector<std::string>& folders = rt_tables_folders());

}  // namespace hats::app
