// Files that are replaced as a whole or not at all: temporary file, fsync, rename, fsync of the folder.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace hats::app {

struct FileOwner {
  uid_t user = 0;
  gid_t group = 0;
};

/// Replaces `path` (mode 0600; owned by `owner` if given). On any error the old file is as it was and no
/// temporary file is left; the error is an errno value.
[[nodiscard]] std::expected<void, int> replace_file(const std::string& path, std::string_view text,
                                                    std::optional<FileOwner> owner = {});

/// The whole file; the error is an errno value. It may hold secrets: no copy but the result is left behind.
[[nodiscard]] std::expected<std::string, int> read_whole_file(const std::string& path);

/// The same of a file that an operator names, of at most `limit` bytes: what is no file could block, or never
/// end. A link to /dev/null is an empty file. The error is a sentence.
[[nodiscard]] std::expected<std::string, std::string> read_named_file(const std::string& path, size_t limit);

}  // namespace hats::app
