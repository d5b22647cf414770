// netplan's files on this host (formats.md 3.1), and the key files that a tunnel of theirs names.
#pragma once

#include <string>
#include <vector>

#include "core/config/netplan.hpp"
#include "core/config/source_text.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// What parse_netplan() is given. Holds secrets, and wipes them.
struct NetplanSources {
  std::vector<config::SourceText> sources;    // in merge order
  std::vector<config::SourceText> key_files;  // of one tunnel; load_netplan_keys() reads them

  NetplanSources() = default;
  NetplanSources(NetplanSources&&) noexcept = default;
  NetplanSources& operator=(NetplanSources&&) noexcept = default;
  NetplanSources(const NetplanSources&) = delete;
  NetplanSources& operator=(const NetplanSources&) = delete;
  ~NetplanSources();
};

/// The merged set: ROOT/{lib,etc,run}/netplan/*.yaml in the order of their basenames; of equal ones that of
/// /run counts, else that of /etc. Empty if there is none. The error, a file that cannot be read, has exit
/// code 2.
[[nodiscard]] AppResult<NetplanSources> load_netplan(const std::string& root = "");

/// One file alone.
[[nodiscard]] AppResult<NetplanSources> load_netplan_file(const std::string& path);

/// Reads the key files that the tunnel `name` takes its keys from. The error is "FILE:LINE: KEY: ...", with
/// the file that names the key file, and exit code 2.
[[nodiscard]] AppResult<void> load_netplan_keys(NetplanSources& sources, const config::NetplanFiles& files,
                                                const std::string& name);

}  // namespace hats::app
