// Which file a word of the command line means (DESIGN.md 7, "Look-up").
#pragma once

#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"

namespace hats::app {

struct ConfigFolders {
  std::string own = "/etc/hatsd-user";
  std::string wireguard = "/etc/wireguard";
};

struct FoundConfig {
  std::string name;  // of the interface
  std::string path;
  std::vector<std::string> shadowed;  // other files of that name, which are not used
};

/// Finds the file of `word`. Exit code 2: an impossible name, a format of another version, no such file.
[[nodiscard]] AppResult<FoundConfig> find_config(const std::string& word, const ConfigFolders& folders = {});

/// Finds, reads and parses.
[[nodiscard]] AppResult<InterfaceFile> load_config(const std::string& word,
                                                   std::vector<std::string>& warnings,
                                                   const ConfigFolders& folders = {});

}  // namespace hats::app
