// PreUp, PostUp, PreDown, PostDown (formats.md 1.2, 1.4): commands of the operator, run by bash as wg-quick
// runs them. Run by root in the launching process, never in the one that handles packets.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>

namespace hats::app {

/// `command` with every "%i" replaced by the interface's name.
[[nodiscard]] std::string expand_hook(std::string_view command, std::string_view interface);

/// Runs an expanded hook with `bash -c`, where `false; true` fails as it does in wg-quick (set -e, pipefail).
/// Where there is no bash, /bin/sh runs it and `warn` is told. Standard input is the null device, output is
/// inherited; there is no time limit, but `interrupt_fd` (or -1) ends it. The error says how it ended: "exit
/// status 3".
[[nodiscard]] std::expected<void, std::string> run_hook(const std::string& command, int interrupt_fd,
                                                        const std::function<void(const std::string&)>& warn);

}  // namespace hats::app
