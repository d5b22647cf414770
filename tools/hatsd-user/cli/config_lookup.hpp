// Which files a word of the command line means, in whatever format (DESIGN.md 7, "Look-up").
#pragma once

#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"

namespace hats::app {

struct ConfigFolders {
  std::string own = "/etc/hatsd-user";
  std::string wireguard = "/etc/wireguard";
  std::string root;  // before networkd's and netplan's folders; for tests
};

/// Where a configuration lies.
struct FoundConfig {
  config::Format format = config::Format::wg_quick;
  std::string name;  // of the interface; empty for a netplan file by path, which may hold several
  std::string path;  // the file; empty for what is looked up in all of netplan's or networkd's files
  std::vector<std::string> shadowed;  // other places where that name is; they are not used
};

/// A word with '/' or a known suffix is a path, any other the name of an interface. Exit code 2: an
/// impossible name, no such configuration, a file that cannot be read.
[[nodiscard]] AppResult<FoundConfig> find_config(const std::string& word, const ConfigFolders& folders = {});

/// Finds, reads and parses: one interface, or those of a netplan file.
[[nodiscard]] AppResult<std::vector<InterfaceFile>> load_config(const std::string& word,
                                                                std::vector<std::string>& warnings,
                                                                const ConfigFolders& folders = {});

}  // namespace hats::app
