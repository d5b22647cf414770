// Warns of a configuration file with secrets that others on the host can read.
#pragma once

#include <string>
#include <vector>

namespace hats::app {

/// One sentence for each thing wrong with the permissions of `path` (after symlinks) or of its folder; empty
/// if all is well or the file is not there. A file inside a folder that others cannot enter is safe whatever
/// its own mode.
[[nodiscard]] std::vector<std::string> file_guard(const std::string& path);

}  // namespace hats::app
