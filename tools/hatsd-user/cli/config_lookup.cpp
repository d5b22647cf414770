#include "tools/hatsd-user/cli/config_lookup.hpp"

#include <unistd.h>

#include <array>
#include <utility>

#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {

namespace {

constexpr std::array<std::string_view, 3> kOtherSuffixes = {".netdev", ".yaml", ".yml"};

bool has_other_suffix(const std::string& word) {
  for (const auto suffix : kOtherSuffixes) {
    if (word.ends_with(suffix)) return true;
  }
  return false;
}

std::unexpected<AppError> unsupported(const std::string& path) {
  return fail(path + ":1: this version reads wg-quick files (NAME.conf) alone, not .netdev or netplan files",
              kExitUsage);
}

bool exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

}  // namespace

AppResult<FoundConfig> find_config(const std::string& word, const ConfigFolders& folders) {
  FoundConfig out;
  const bool is_path =
      word.find('/') != std::string::npos || word.ends_with(".conf") || has_other_suffix(word);
  if (is_path) {
    if (has_other_suffix(word)) return unsupported(word);
    out.path = word;
    std::string file = word.substr(word.rfind('/') + 1);
    if (!file.ends_with(".conf")) {
      return fail(word + ":1: a configuration is called NAME.conf, NAME being the interface", kExitUsage);
    }
    out.name = file.substr(0, file.size() - 5);
    if (!config::valid_interface_name(out.name))
      return fail(word + ":1: " + config::interface_name_fault(out.name), kExitUsage);
    return out;
  }
  if (!config::valid_interface_name(word)) return fail(config::interface_name_fault(word), kExitUsage);
  out.name = word;
  std::vector<std::string> hits;
  for (const auto& candidate :
       {folders.own + "/" + word + ".conf", folders.own + "/" + word + ".netdev",
        folders.own + "/" + word + ".yaml", folders.wireguard + "/" + word + ".conf"}) {
    if (exists(candidate)) hits.push_back(candidate);
  }
  if (hits.empty()) {
    return fail(word + ": no configuration; looked for " + folders.own + "/" + word + ".conf and " +
                    folders.wireguard + "/" + word + ".conf",
                kExitUsage);
  }
  if (has_other_suffix(hits.front())) return unsupported(hits.front());
  out.path = hits.front();
  out.shadowed.assign(hits.begin() + 1, hits.end());
  return out;
}

AppResult<InterfaceFile> load_config(const std::string& word, std::vector<std::string>& warnings,
                                     const ConfigFolders& folders) {
  auto found = find_config(word, folders);
  if (!found) return std::unexpected(found.error());
  for (const std::string& other : found->shadowed) {
    warnings.push_back(found->name + ": " + found->path + " is used, " + other + " is not");
  }
  auto text = read_whole_file(found->path);
  if (!text) return fail(found->path + ":1: " + std::strerror(text.error()), kExitUsage);
  if (text->size() > kMaxConfigFile) return fail(found->path + ":1: larger than 16 MiB", kExitUsage);
  // The daemon leaves the working directory, and reload and SaveConfig need the file again.
  std::string path = found->path;
  if (!path.starts_with('/')) {
    std::array<char, 4096> directory{};
    if (getcwd(directory.data(), directory.size()) != nullptr)
      path = std::string(directory.data()) + "/" + path;
  }
  auto file = parse_interface_file(found->name, found->path, std::move(*text));
  if (file) file->path = path;
  return file;
}

}  // namespace hats::app
