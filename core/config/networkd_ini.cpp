#include "core/config/networkd_ini.hpp"

#include <algorithm>
#include <cstdint>

#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kMaxWarnings = 50;  // of the syntax of one file and its drop-ins

/// Bytes of the UTF-8 sequence that begins `text` (RFC 3629 4), or 0.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F;
  const bool beyond = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_comment(std::string_view line) {
  const std::string_view plain = trim(line);
  return plain.starts_with('#') || plain.starts_with(';');
}

/// Whether the line ends in a backslash that no other backslash takes back.
bool continues(std::string_view line) {
  size_t run = 0;
  while (run < line.size() && line[line.size() - 1 - run] == '\\') ++run;
  return run % 2 == 1;
}

/// The text of a line that goes on in the next; wiped, since it may be a key's.
struct Continued {
  std::string text;
  int line = 0;
  Continued() = default;
  Continued(const Continued&) = delete;
  Continued& operator=(const Continued&) = delete;
  ~Continued() { wipe_text(text); }
  void append(std::string_view more) {
    std::string longer;
    longer.reserve(text.size() + more.size());
    longer.append(text).append(more);
    wipe_text(text);
    text = std::move(longer);
  }
};

}  // namespace

IniText::~IniText() {
  for (IniSection& section : sections_) {
    for (IniEntry& entry : section.entries) wipe_text(entry.value);
  }
}

void IniText::warn(const SourceText& source, int line, std::string message) {
  if (warnings_.size() < kMaxWarnings) warnings_.push_back({line, "", std::move(message), source.path});
}

ConfigResult<void> IniText::add(const SourceText& source) {
  std::string_view rest = source.text;
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  within_section_ = false;
  Continued continued;
  int number = 0;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++number;
    while (line.ends_with('\r')) line.remove_suffix(1);
    if (is_comment(line)) continue;  // also between the parts of a continued line
    if (continued.line == 0) continued.line = number;
    const bool more = continues(line);
    if (more) line.remove_suffix(1);
    continued.append(line);
    if (more) {
      continued.append(" ");  // networkd puts it in the backslash's place
      if (!rest.empty()) continue;
    }
    if (auto done = read_line(continued.text, continued.line, source); !done) return done;
    wipe_text(continued.text);
    continued.text.clear();
    continued.line = 0;
  }
  if (continued.line == 0) return {};
  return read_line(continued.text, continued.line, source);  // comments alone followed the backslash
}

ConfigResult<void> IniText::read_line(std::string_view line, int number, const SourceText& source) {
  const auto fail = [&](std::string message) {
    return std::unexpected(ConfigError{number, "", std::move(message), source.path});
  };
  line = trim(line);
  if (line.empty()) return {};
  if (line.find('\0') != std::string_view::npos) {
    return fail("the line holds a zero byte; this is not a text file");
  }
  if (!is_utf8(line)) return fail("the line is not UTF-8; networkd gives up the whole file for it");
  if (line.front() == '[') {
    if (!line.ends_with(']') || line.size() < 3) {
      return fail("broken section header " + quoted(line) +
                  "; write [NAME] and nothing behind it (networkd gives up the whole file for it)");
    }
    within_section_ = true;
    sections_.push_back({std::string(line.substr(1, line.size() - 2)), source.path, number, {}});
    return {};
  }
  const size_t equals = line.find('=');
  if (!within_section_) {
    warn(source, number, "the line stands before the first section, and is skipped");
  } else if (equals == std::string_view::npos) {
    warn(source, number, "the line has no '=', and is skipped");
  } else if (equals == 0) {
    warn(source, number, "there is no key before '='; the line is skipped");
  } else {
    sections_.back().entries.push_back(
        {std::string(trim(line.substr(0, equals))), std::string(trim(line.substr(equals + 1))), number});
  }
  return {};
}

ConfigResult<IniText> parse_networkd_ini(const std::vector<SourceText>& sources) {
  IniText out;
  for (const SourceText& source : sources) {
    if (auto done = out.add(source); !done) return std::unexpected(done.error());
  }
  return out;
}

}  // namespace hats::config
