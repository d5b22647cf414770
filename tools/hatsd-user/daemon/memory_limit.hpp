// How much memory packets may take: the arenas of all workers are made once and never grow.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hats::app {

/// What a --memory or HATSD_MEMORY may be, in MiB.
inline constexpr unsigned kLeastMemoryMib = 2;
inline constexpr unsigned kMostMemoryMib = 4096;

/// Bytes that a cgroup's memory.max or memory.limit_in_bytes names; nullopt for "max" and what is no number.
[[nodiscard]] std::optional<uint64_t> parse_cgroup_limit(std::string_view text) noexcept;
/// Bytes of MemTotal in /proc/meminfo's text.
[[nodiscard]] std::optional<uint64_t> parse_mem_total(std::string_view text) noexcept;
/// The path of this process's cgroup in /proc/self/cgroup's text: of the memory controller (version 1), else
/// of the unified hierarchy. Empty if there is none.
struct CgroupPath {
  std::string_view path;
  bool unified = false;
};
[[nodiscard]] CgroupPath parse_cgroup_path(std::string_view text) noexcept;

/// What this process may use at the most: the least limit of its cgroup and those above it, and the machine's
/// memory. 0 if nothing can be read.
[[nodiscard]] uint64_t memory_available();

/// Slabs for each of `workers` arenas out of `bytes` for all of them; kMinSlabs at the least, and no more
/// than a loop has use for.
[[nodiscard]] uint32_t slabs_for(uint64_t bytes, unsigned workers) noexcept;

/// The same from the setting: `memory_mib` MiB, or, where that is 0, a quarter of what is available.
[[nodiscard]] uint32_t slabs_of_setting(unsigned memory_mib, unsigned workers);

}  // namespace hats::app
