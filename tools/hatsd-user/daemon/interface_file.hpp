// A configuration file that has been read: what `up` brings up.
#pragma once

#include <string>

#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// Bytes of a configuration file at the most: 65,000 AllowedIPs are 3 MB.
inline constexpr size_t kMaxConfigFile = size_t{16} << 20;

struct InterfaceFile {
  std::string name;  // of the interface
  std::string path;
  std::string text;  // holds secrets; wiped by its owner
  config::InterfaceConfig config;

  /// A second value of the same file, for another owner.
  [[nodiscard]] config::InterfaceConfig parse_again() const { return *config::parse_wg_quick(text); }
};

/// Parses `text` as NAME.conf. The error is "FILE:LINE: KEY: ..." with exit code 2.
[[nodiscard]] AppResult<InterfaceFile> parse_interface_file(std::string name, std::string path,
                                                            std::string text);

}  // namespace hats::app
