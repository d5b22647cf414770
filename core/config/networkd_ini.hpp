// The syntax of systemd-networkd's files (formats.md 2.1): sections, assignments, comments, continued lines.
// What a section or a key means is asked elsewhere. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/source_text.hpp"

namespace hats::config {

/// `key = value` within a section. Case counts in keys.
struct IniEntry {
  std::string key;
  std::string value;  // trimmed; may hold a secret
  int line = 0;       // of its first line
};

/// From one header to the next. The same name may come again, also in another file: each is a section.
struct IniSection {
  std::string name;
  std::string file;
  int line = 0;
  std::vector<IniEntry> entries;
};

/// A file and its drop-ins, one after the other. Wipes its values when it goes.
class IniText {
 public:
  IniText() = default;
  IniText(IniText&&) noexcept = default;
  IniText& operator=(IniText&&) = delete;
  IniText(const IniText&) = delete;
  IniText& operator=(const IniText&) = delete;
  ~IniText();

  /// Adds the sections of `source`. Fails on a broken section header, and on a line that is not UTF-8, as
  /// networkd gives up the whole file for them. A line that it skips is skipped here, with a warning.
  [[nodiscard]] ConfigResult<void> add(const SourceText& source);

  [[nodiscard]] const std::vector<IniSection>& sections() const { return sections_; }
  [[nodiscard]] const std::vector<ConfigError>& warnings() const { return warnings_; }

 private:
  ConfigResult<void> read_line(std::string_view line, int number, const SourceText& source);
  void warn(const SourceText& source, int line, std::string message);

  std::vector<IniSection> sections_;
  std::vector<ConfigError> warnings_;
  bool within_section_ = false;
};

/// A file and its drop-ins, in this order.
[[nodiscard]] ConfigResult<IniText> parse_networkd_ini(const std::vector<SourceText>& sources);

}  // namespace hats::config
