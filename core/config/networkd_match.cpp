#include "core/config/networkd_match.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

constexpr auto kConditions =
    std::to_array<std::string_view>({"Host", "Virtualization", "KernelCommandLine", "KernelVersion",
                                     "Credential", "Architecture", "Firmware"});
// A tunnel has none of these: it is matched only by a list that rules things out.
constexpr auto kKeysWithoutValue =
    std::to_array<std::string_view>({"Driver", "Path", "MACAddress", "PermanentMACAddress", "Property",
                                     "SSID", "BSSID", "WLANInterfaceType"});

struct Found {
  const IniSection* section;
  const IniEntry* entry;
};

std::vector<std::string_view> blank_separated(std::string_view text) {
  std::vector<std::string_view> out;
  while (!(text = trim(text)).empty()) {
    const auto* end = std::find_if(text.begin(), text.end(), is_blank);
    out.emplace_back(text.begin(), end);
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
  }
  return out;
}

// ---- Conditions ----

/// "6.1.0-13" against "6.2": numbers by value, the rest by character.
int compare_versions(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (!a.empty() && !b.empty()) {
    if (digit(a.front()) && digit(b.front())) {
      const auto number = [&](std::string_view& text) {
        size_t size = 0;
        while (size < text.size() && digit(text[size])) ++size;
        std::string_view digits = text.substr(0, size);
        text.remove_prefix(size);
        while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
        return std::pair(digits.size(), digits);
      };
      const auto x = number(a);
      const auto y = number(b);
      if (x != y) return x < y ? -1 : 1;
      continue;
    }
    if (a.front() != b.front()) return a.front() < b.front() ? -1 : 1;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  return a.empty() && b.empty() ? 0 : a.empty() ? -1 : 1;
}

/// One word of KernelVersion=: a comparison or a glob.
bool version_holds(std::string_view word, std::string_view version) {
  constexpr auto kOperators = std::to_array<std::string_view>({"<=", ">=", "!=", "==", "<>", "<", ">", "="});
  for (const std::string_view op : kOperators) {
    if (!word.starts_with(op)) continue;
    const int order = compare_versions(version, trim(word.substr(op.size())));
    if (op == "<") return order < 0;
    if (op == ">") return order > 0;
    if (op == "!=" || op == "<>") return order != 0;
    return order == 0 || (op == "<=" && order < 0) || (op == ">=" && order > 0);
  }
  return glob_matches(word, version);
}

/// systemd's name of an architecture that uname -m names.
std::string_view architecture_name(std::string_view machine) {
  constexpr auto kNames = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"x86_64", "x86-64"},
      {"i686", "x86"},
      {"i586", "x86"},
      {"i486", "x86"},
      {"i386", "x86"},
      {"aarch64", "arm64"},
      {"aarch64_be", "arm64-be"},
      {"armv8l", "arm"},
      {"armv7l", "arm"},
      {"armv6l", "arm"},
      {"armv5tel", "arm"},
      {"ppc64le", "ppc64-le"},
      {"ppc64", "ppc64"},
      {"ppc", "ppc"},
      {"mips", "mips"},
      {"mips64", "mips64"},
      {"riscv64", "riscv64"},
      {"riscv32", "riscv32"},
      {"s390x", "s390x"},
      {"loongarch64", "loongarch64"},
  });
  for (const auto& [name, systemd_name] : kNames) {
    if (name == machine) return systemd_name;
  }
  return {};
}

Verdict verdict_of(bool holds) {
  return holds ? Verdict::holds : Verdict::fails;
}

/// A word of the command line, alone or with its value.
bool on_command_line(std::string_view wanted, std::string_view command_line) {
  const bool with_value = wanted.find('=') != std::string_view::npos;
  return std::ranges::any_of(blank_separated(command_line), [&](std::string_view word) {
    return word == wanted || (!with_value && word.substr(0, word.find('=')) == wanted);
  });
}

Verdict ask(std::string_view condition, std::string_view value, const HostFacts& host) {
  if (condition == "Host" && host.host_name) {
    if (host.machine_id && value == *host.machine_id) return Verdict::holds;
    return verdict_of(glob_matches(value, *host.host_name));
  }
  if (condition == "KernelVersion" && host.kernel_release) {
    // "< 6.1" is one comparison: the operator may stand apart from its version.
    std::string joined;
    for (const std::string_view word : blank_separated(value)) {
      joined += word;
      if (word.find_first_not_of("<>=!") != std::string_view::npos) joined += ' ';
    }
    const auto words_of_value = blank_separated(joined);
    return verdict_of(std::ranges::all_of(
        words_of_value, [&](std::string_view word) { return version_holds(word, *host.kernel_release); }));
  }
  if (condition == "Architecture" && host.architecture) {
    const std::string_view name = architecture_name(*host.architecture);
    if (value == "native") return Verdict::holds;
    return name.empty() ? Verdict::unknown : verdict_of(value == name);
  }
  if (condition == "KernelCommandLine" && host.kernel_command_line) {
    return verdict_of(on_command_line(value, *host.kernel_command_line));
  }
  return Verdict::unknown;
}

// ---- Links ----

/// What networkctl shows as the type of the kernel's device of that kind (ARPHRD_*, or its DEVTYPE).
std::string_view type_of(std::string_view kind) {
  constexpr auto kTypes =
      std::to_array<std::pair<std::string_view, std::string_view>>({{"wireguard", "wireguard"},
                                                                    {"gre", "ipgre"},
                                                                    {"sit", "sit"},
                                                                    {"ip6gre", "ip6gre"},
                                                                    {"ipip", "tunnel"},
                                                                    {"tun", "none"}});
  for (const auto& [name, type] : kTypes) {
    if (name == kind) return type;
  }
  return {};
}

struct Pattern {
  std::string_view glob;
  bool inverted = false;
};

/// The words of one assignment. A '!' before the first is before all of them.
void add_patterns(std::vector<Pattern>& list, std::string_view value) {
  const bool all = value.starts_with('!');
  if (all) value.remove_prefix(1);
  for (const std::string_view word : blank_separated(value)) {
    const bool own = !all && word.starts_with('!');
    list.push_back({own ? word.substr(1) : word, all || own});
  }
}

/// No inverted glob may match, and one of the others must, if there are others. `text` empty: the link has no
/// such property, and a list without others matches.
bool list_matches(const std::vector<Pattern>& patterns, std::string_view text) {
  bool positive = false, matched = false;
  for (const Pattern& pattern : patterns) {
    positive = positive || !pattern.inverted;
    if (text.empty() || !glob_matches(pattern.glob, text)) continue;
    if (pattern.inverted) return false;
    matched = true;
  }
  return matched || !positive;
}

/// The matching character or set at the front of `pattern`; what it took is removed from it.
bool take_one(std::string_view& pattern, char c) noexcept {
  const char first = pattern.front();
  const size_t close = first == '[' ? pattern.find(']', 2) : std::string_view::npos;
  if (first == '[' && close != std::string_view::npos) {
    std::string_view set = pattern.substr(1, close - 1);
    pattern.remove_prefix(close + 1);
    const bool negated = set.starts_with('!') || set.starts_with('^');
    if (negated) set.remove_prefix(1);
    bool found = false;
    for (size_t i = 0; i < set.size(); ++i) {
      if (i + 2 < set.size() && set[i + 1] == '-') {
        found = found || (set[i] <= c && c <= set[i + 2]);
        i += 2;
      } else {
        found = found || set[i] == c;
      }
    }
    return found != negated;
  }
  if (first == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
  const bool any = first == '?';
  const bool same = pattern.front() == c;
  pattern.remove_prefix(1);
  return any || same;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  // On a mismatch the last star takes one character more.
  std::optional<std::string_view> after_star;
  std::string_view star_text;
  while (!text.empty()) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      after_star = pattern;
      star_text = text;
      continue;
    }
    std::string_view rest = pattern;
    if (!rest.empty() && take_one(rest, text.front())) {
      pattern = rest;
      text.remove_prefix(1);
      continue;
    }
    if (!after_star) return false;
    pattern = *after_star;
    star_text.remove_prefix(1);
    text = star_text;
  }
  return pattern.find_first_not_of('*') == std::string_view::npos;
}

ConditionVerdict conditions_of(const IniText& text, const HostFacts& host) {
  std::map<std::string_view, Found> last;
  for (const IniSection& section : text.sections()) {
    if (section.name != "Match") continue;
    for (const IniEntry& entry : section.entries) {
      const auto* name = std::ranges::find(kConditions, std::string_view(entry.key));
      if (name == kConditions.end()) continue;
      last.erase(*name);
      if (!entry.value.empty()) last.emplace(*name, Found{&section, &entry});
    }
  }
  ConditionVerdict out;
  for (const auto& [name, found] : last) {
    std::string_view value = found.entry->value;
    const bool negated = value.starts_with('!');
    if (negated) value = trim(value.substr(1));
    Verdict verdict = ask(name, value, host);
    if (negated && verdict != Verdict::unknown) verdict = verdict_of(verdict == Verdict::fails);
    if (verdict == Verdict::holds || out.verdict == Verdict::fails) continue;
    out.verdict = verdict;
    out.where = {found.entry->line, std::string(name),
                 verdict == Verdict::fails
                     ? "the file is not for this host: " + quoted(found.entry->value) + " does not hold here"
                     : "hatsd-user cannot tell whether " + quoted(found.entry->value) +
                           " holds here; take the condition out of the file",
                 found.section->file};
  }
  return out;
}

bool matches_link(const IniText& text, const LinkIdentity& link) {
  std::map<std::string_view, std::vector<Pattern>> lists;
  for (const IniSection& section : text.sections()) {
    if (section.name != "Match") continue;
    for (const IniEntry& entry : section.entries) {
      const std::string_view key = entry.key;
      const bool of_link = key == "Name" || key == "OriginalName" || key == "Kind" || key == "Type" ||
                           std::ranges::find(kKeysWithoutValue, key) != kKeysWithoutValue.end();
      const bool condition = std::ranges::find(kConditions, key) != kConditions.end();
      if (!of_link && !condition) continue;
      auto& list = lists[key];
      if (entry.value.empty()) list.clear();
      add_patterns(list, entry.value);
    }
  }
  bool any = false;
  for (const auto& [key, patterns] : lists) {
    if (patterns.empty()) continue;
    any = true;
    if (std::ranges::find(kConditions, key) != kConditions.end()) continue;
    const std::string_view own = key == "Name" || key == "OriginalName" ? std::string_view(link.name)
                                 : key == "Kind"                        ? std::string_view(link.kind)
                                 : key == "Type"                        ? type_of(link.kind)
                                                                        : std::string_view();
    if (!list_matches(patterns, own)) return false;
  }
  return any;
}

}  // namespace hats::config
