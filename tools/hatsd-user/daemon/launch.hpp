// From a parsed command to running processes (DESIGN.md 5): launcher -> (keeper ->) data process.
#pragma once

#include <vector>

#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "transport/socket.hpp"

namespace hats::app {

/// `up`: brings all of `files` up, or nothing. Returns the exit code: with settings.foreground when the last
/// interface is gone, else when everything is up and a daemon has taken over (the call then returns in two
/// processes: the launcher exits by itself). `launcher_only` is closed in the daemon: a lock until everything
/// is up.
[[nodiscard]] int launch_files(std::vector<InterfaceFile> files, const Settings& settings,
                               transport::UniqueFd launcher_only = {});

/// Bare NAME: one interface that somebody else configures (wg-quick's contract, peers.md 4).
[[nodiscard]] int launch_bare(const Interface::Options& options, const Settings& settings);

}  // namespace hats::app
