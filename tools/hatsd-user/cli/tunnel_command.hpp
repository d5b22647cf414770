// `hatsd-user tunnel`: the words of `ip tunnel` (DESIGN.md 7, formats.md 4).
#pragma once

#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/settings.hpp"

namespace hats::app {

/// Carries out what follows `tunnel`; returns the exit code.
[[nodiscard]] int run_tunnel(const std::vector<std::string>& words, const Settings& settings);

}  // namespace hats::app
