// What is done with each key of networkd's files: read, taken in silence, warned of, or refused. "A key that
// we cannot honour refuses the file and names the line"; a key that networkd itself would skip is skipped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/networkd_ini.hpp"

namespace hats::config {

/// One `key = value` with where it stands. Valid as long as its IniText.
struct Assignment {
  const IniSection* section = nullptr;
  const IniEntry* entry = nullptr;
  [[nodiscard]] const std::string& key() const { return entry->key; }
  [[nodiscard]] const std::string& value() const { return entry->value; }
  [[nodiscard]] bool empty() const { return entry->value.empty(); }
  [[nodiscard]] std::unexpected<ConfigError> fail(std::string message) const;
};

/// Collects warnings; those beyond a limit are counted in one more.
class Warnings {
 public:
  void add(const Assignment& at, std::string message);
  void add(std::string file, int line, std::string key, std::string message);
  void add(const std::vector<ConfigError>& others);
  [[nodiscard]] std::vector<ConfigError> take();

 private:
  std::vector<ConfigError> warnings_;
  size_t left_out_ = 0;
};

enum class Treatment : uint8_t {
  read,          // its reader knows what it means
  silent,        // means nothing to a tunnel, or has no effect on it
  warn,          // left out, though it is not empty
  warn_if_on,    // left out, though it is neither empty nor a `no`
  refuse,        // not empty
  refuse_if_on,  // neither empty nor a `no`
};

struct KeyRule {
  std::string_view section;
  std::string_view key;  // empty: every key of the section that has no rule of its own
  Treatment treatment;
  std::string_view why{};  // of a warning or a refusal
};

/// Rules of .netdev and .network files.
[[nodiscard]] std::span<const KeyRule> netdev_rules() noexcept;
[[nodiscard]] std::span<const KeyRule> network_rules() noexcept;

/// True: the caller is to read the value (it is not empty of a placeholder's braces). False: it has been
/// dealt with. An unknown key is warned of, as networkd does, with what may have been meant; X- keys are not.
[[nodiscard]] ConfigResult<bool> is_to_be_read(std::span<const KeyRule> rules, const Assignment& at,
                                               Warnings& warnings);
/// The fault that `key` stands nowhere in the sections called `section`: with the line of the unknown key
/// that may have been meant, or of the first of these sections, or of the unknown section that may have been
/// meant to be it. `remedy`: what to write.
[[nodiscard]] ConfigError missing_key(const IniText& text, std::span<const KeyRule> rules,
                                      std::string_view section, std::string key, const std::string& remedy,
                                      const std::string& file);
/// Whether the section has rules; if not, it is warned of (but for X-).
[[nodiscard]] bool is_known_section(std::span<const KeyRule> rules, const IniSection& section,
                                    Warnings& warnings);

}  // namespace hats::config
