// Finds and reads systemd-networkd's files of one interface (formats.md 2.1, DESIGN.md 7): the .netdev with
// its drop-ins, the first .network that is for it with its own, and the key files that they name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/netdev.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// Where networkd looks, first to last; and what is asked about the host.
struct NetworkdRoots {
  std::vector<std::string> folders = {"/etc/systemd/network", "/run/systemd/network",
                                      "/usr/local/lib/systemd/network", "/usr/lib/systemd/network"};
  std::string proc = "/proc";
  std::string machine_id = "/etc/machine-id";
  /// The same below `root`, for tests.
  [[nodiscard]] static NetworkdRoots below(const std::string& root);
};

/// The path of the .netdev whose Name= is `name`, by networkd's order: the first one wins. nullopt: none.
[[nodiscard]] std::optional<std::string> find_netdev(const std::string& name,
                                                     const NetworkdRoots& roots = {});

/// Reads all that is for an interface. `word` is its name, to be looked for in the folders; or the path of a
/// .netdev, which is read with its drop-ins and the matching .network beside it. Files that others can read
/// though they hold keys, and files of the same Name= that do not count, are warned of. Exit code 2: not
/// found or not readable. The sources hold secrets: wipe() them.
[[nodiscard]] AppResult<config::NetworkdSources> load_networkd(const std::string& word,
                                                               std::vector<std::string>& warnings,
                                                               const NetworkdRoots& roots = {});

/// The names of all interfaces that we could make of the folders' files, in networkd's order.
[[nodiscard]] std::vector<std::string> networkd_names(const NetworkdRoots& roots = {});

}  // namespace hats::app
