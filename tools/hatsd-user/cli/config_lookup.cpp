#include "tools/hatsd-user/cli/config_lookup.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "core/config/netplan.hpp"
#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/cli/netplan_files.hpp"
#include "tools/hatsd-user/cli/networkd_files.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {

using config::Format;

namespace {

constexpr std::array kSuffixes = {std::pair{".conf", Format::wg_quick},
                                  std::pair{".netdev", Format::networkd},
                                  std::pair{".yaml", Format::netplan}};

NetworkdRoots networkd_roots(const ConfigFolders& folders) {
  return folders.root.empty() ? NetworkdRoots{} : NetworkdRoots::below(folders.root);
}

bool exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

/// The daemon leaves the working directory, and reload and SaveConfig need the file again.
std::string absolute(const std::string& path) {
  std::error_code error;
  const auto full = std::filesystem::absolute(path, error);
  return error ? path : full.string();
}

AppResult<FoundConfig> found_at(const std::string& path) {
  for (const auto& [suffix, format] : kSuffixes) {
    if (!path.ends_with(suffix)) continue;
    FoundConfig out{.format = format, .name = {}, .path = path, .shadowed = {}};
    if (format != Format::wg_quick) return out;
    const std::string file = file_name(path);
    out.name = file.substr(0, file.size() - std::string_view(suffix).size());
    if (!config::valid_interface_name(out.name)) {
      return fail(path + ":1: " + config::interface_name_fault(out.name), kExitUsage);
    }
    return out;
  }
  return fail(
      path +
          ":1: what it holds is told by its name: NAME.conf of wg-quick, *.netdev of systemd-networkd, "
          "*.yaml of netplan",
      kExitUsage);
}

/// The places where an interface of that name is, the one that counts first.
std::vector<FoundConfig> places_of(const std::string& name, const ConfigFolders& folders) {
  std::vector<FoundConfig> out;
  const auto file = [&](Format format, const std::string& path) {
    if (exists(path)) out.push_back({.format = format, .name = name, .path = path, .shadowed = {}});
  };
  for (const auto& [suffix, format] : kSuffixes) file(format, folders.own + "/" + name + suffix);
  file(Format::wg_quick, folders.wireguard + "/" + name + ".conf");
  const auto listed = [&](Format format, const std::vector<std::string>& names) {
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      out.push_back({.format = format, .name = name, .path = {}, .shadowed = {}});
    }
  };
  listed(Format::networkd, networkd_names(networkd_roots(folders)));
  // A fault in netplan's files is told by who has no other configuration of that name.
  const auto netplan = load_netplan(folders.root);
  const auto names =
      netplan ? config::netplan_tunnel_names(netplan->sources) : ConfigResult<std::vector<std::string>>{};
  if (names) listed(Format::netplan, *names);
  return out;
}

std::string place_text(const FoundConfig& found, const ConfigFolders& folders) {
  if (!found.path.empty()) return found.path;
  if (found.format == Format::netplan) return "tunnels." + found.name + " of netplan";
  return find_netdev(found.name, networkd_roots(folders)).value_or("networkd's " + found.name);
}

AppResult<InterfaceFile> load_wg_quick(const FoundConfig& found, const std::string& word) {
  auto text = read_named_file(found.path, kMaxConfigFile);
  if (!text) return fail(found.path + ":1: " + text.error(), kExitUsage);
  std::vector<config::SourceText> texts;
  texts.push_back({found.path, std::move(*text)});
  InterfaceSources sources{.format = Format::wg_quick, .files = std::move(texts)};
  auto file = parse_interface_file(found.name, found.path, word, std::move(sources));
  if (file) file->path = absolute(found.path);
  return file;
}

AppResult<InterfaceFile> load_networkd_interface(const FoundConfig& found, const std::string& word,
                                                 std::vector<std::string>& warnings,
                                                 const ConfigFolders& folders) {
  auto texts = load_networkd(found.path.empty() ? found.name : found.path, warnings, networkd_roots(folders));
  if (!texts) return std::unexpected(texts.error());
  const std::string path = texts->netdev.front().path;
  const auto identity = config::netdev_identity(texts->netdev);
  if (!identity) return fail(identity.error().texts(path), kExitUsage);
  InterfaceSources sources{.format = Format::networkd, .networkd = std::move(*texts)};
  auto file = parse_interface_file(identity->name, path, word, std::move(sources));
  if (file) file->path = absolute(path);
  return file;
}

AppResult<InterfaceFile> load_netplan_interface(NetplanSources& set, const config::NetplanFiles& files,
                                                const SharedTexts& texts, const std::string& name,
                                                const std::string& word) {
  if (auto keys = load_netplan_keys(set, files, name); !keys) return std::unexpected(keys.error());
  auto config = files.tunnel(name, set.key_files);
  const std::string path = files.file_of(name);
  InterfaceSources sources{.format = Format::netplan, .files = texts, .key_files = set.key_files};
  auto file = parsed_interface_file(name, path, word, std::move(sources), std::move(config));
  if (file) file->path = absolute(path);
  return file;
}

AppResult<std::vector<InterfaceFile>> load_netplan_interfaces(const FoundConfig& found,
                                                              const std::string& word,
                                                              const ConfigFolders& folders) {
  auto set = found.path.empty() ? load_netplan(folders.root) : load_netplan_file(found.path);
  if (!set) return std::unexpected(set.error());
  const std::string& path = found.path;
  const auto files = config::NetplanFiles::read(set->sources);
  if (!files) return fail(files.error().texts(path), kExitUsage);
  std::vector<std::string> names{found.name};
  if (found.name.empty()) {
    auto all = files->tunnel_names();
    if (!all) return fail(all.error().texts(path), kExitUsage);
    names = std::move(*all);
    if (names.empty()) return fail(path + ":1: tunnels: the file has none", kExitUsage);
  }
  const SharedTexts texts(std::move(set->sources));
  std::vector<InterfaceFile> out;
  std::string faults;  // of all tunnels
  for (const std::string& name : names) {
    auto file = load_netplan_interface(*set, *files, texts, name, word);
    if (!file) {
      faults += (faults.empty() ? "" : "\n") + file.error().message;
      continue;
    }
    out.push_back(std::move(*file));
  }
  if (!faults.empty()) return fail(faults, kExitUsage);
  return out;
}

}  // namespace

AppResult<FoundConfig> find_config(const std::string& word, const ConfigFolders& folders) {
  const bool has_suffix = std::any_of(kSuffixes.begin(), kSuffixes.end(),
                                      [&](const auto& known) { return word.ends_with(known.first); });
  if (has_suffix || word.find('/') != std::string::npos) return found_at(word);
  if (!config::valid_interface_name(word)) return fail(config::interface_name_fault(word), kExitUsage);
  std::vector<FoundConfig> places = places_of(word, folders);
  if (places.empty()) {
    const auto netplan = load_netplan(folders.root);
    if (!netplan) return std::unexpected(netplan.error());
    const auto names = config::netplan_tunnel_names(netplan->sources);
    if (!names) return fail(names.error().text("netplan"), kExitUsage);
    // Of a kind that is not ours: its file says which.
    if (find_netdev(word, networkd_roots(folders))) {
      return FoundConfig{.format = Format::networkd, .name = word, .path = {}, .shadowed = {}};
    }
    return fail(word + ": no configuration; looked for " + word + ".conf, .netdev or .yaml in " +
                    folders.own + ", " + folders.wireguard + "/" + word +
                    ".conf, a .netdev of systemd-networkd with Name=" + word + ", and tunnels." + word +
                    " of netplan",
                kExitUsage);
  }
  FoundConfig out = std::move(places.front());
  for (size_t i = 1; i < places.size(); ++i) out.shadowed.push_back(place_text(places[i], folders));
  return out;
}

AppResult<std::vector<InterfaceFile>> load_config(const std::string& word, std::vector<std::string>& warnings,
                                                  const ConfigFolders& folders) {
  const auto found = find_config(word, folders);
  if (!found) return std::unexpected(found.error());
  for (const std::string& other : found->shadowed) {
    warnings.push_back(found->name + ": " + place_text(*found, folders) + " is used, " + other + " is not");
  }
  // A path that was looked up stays a name for reload: whatever is found first then counts.
  const std::string again =
      word.find('/') != std::string::npos || word == found->path ? absolute(word) : word;
  if (found->format == Format::netplan) return load_netplan_interfaces(*found, again, folders);
  auto file = found->format == Format::networkd ? load_networkd_interface(*found, again, warnings, folders)
                                                : load_wg_quick(*found, again);
  if (!file) return std::unexpected(file.error());
  std::vector<InterfaceFile> out;
  out.push_back(std::move(*file));
  return out;
}

}  // namespace hats::app
