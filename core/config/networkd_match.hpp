// [Match] of networkd's files: which host a file is for, and which links a .network file is for
// (formats.md 2.2, 2.5; systemd.netdev(5) and systemd.network(5), "[MATCH] SECTION OPTIONS"). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/networkd_ini.hpp"

namespace hats::config {

/// What conditions ask about the host. Unset: not known, and a file that asks for it is refused.
struct HostFacts {
  std::optional<std::string> host_name{};
  std::optional<std::string> machine_id{};
  std::optional<std::string> architecture{};    // as uname -m has it
  std::optional<std::string> kernel_release{};  // as uname -r has it
  std::optional<std::string> kernel_command_line{};
};

enum class Verdict : uint8_t { holds, fails, unknown };
struct ConditionVerdict {
  Verdict verdict = Verdict::holds;
  ConfigError where{};  // of the condition that does not hold or cannot be asked
};

/// The conditions of [Match]. The last assignment of each counts, an empty one takes it back.
[[nodiscard]] ConditionVerdict conditions_of(const IniText& text, const HostFacts& host);

/// Shell globs: * ? [abc] [!a-c] and backslashes.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

/// How networkd knows a link. `kind` is as Kind= names it; the type (ARPHRD_*) follows from it.
struct LinkIdentity {
  std::string name;
  std::string kind;
};
/// Whether the keys of [Match], apart from conditions, are for `link`. A file that has none is for no link.
[[nodiscard]] bool matches_link(const IniText& text, const LinkIdentity& link);

}  // namespace hats::config
