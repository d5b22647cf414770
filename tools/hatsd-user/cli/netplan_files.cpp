#include "tools/hatsd-user/cli/netplan_files.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <utility>

#include "core/config/netplan.hpp"
#include "core/config/text.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxKeyFile = 4096;                                         // bytes; a key has 44
constexpr auto kFolders = {"/lib/netplan", "/etc/netplan", "/run/netplan"};  // a later one shadows

AppResult<void> add(NetplanSources& to, const std::string& path) {
  auto text = read_named_file(path, kMaxConfigFile);
  if (!text) return fail(path + ":1: " + text.error(), kExitUsage);
  to.sources.push_back({path, std::move(*text)});
  return {};
}

/// Paths by basename, of which a later folder's counts.
AppResult<std::map<std::string, std::string>> list_files(const std::string& root) {
  std::map<std::string, std::string> out;
  for (const std::string folder : kFolders) {
    std::error_code error;
    fs::directory_iterator at(root + folder, error);
    if (error == std::errc::no_such_file_or_directory) continue;
    while (!error && at != fs::directory_iterator()) {
      const std::string name = at->path().filename().string();
      if (name.ends_with(".yaml") && !name.starts_with('.')) out[name] = at->path().string();
      at.increment(error);
    }
    if (error) return fail(root + folder + ":1: " + error.message(), kExitUsage);
  }
  return out;
}

}  // namespace

NetplanSources::~NetplanSources() {
  for (auto& source : sources) config::wipe_text(source.text);
  for (auto& file : key_files) config::wipe_text(file.text);
}

AppResult<NetplanSources> load_netplan(const std::string& root) {
  const auto files = list_files(root);
  if (!files) return std::unexpected(files.error());
  NetplanSources out;
  for (const auto& [name, path] : *files) {
    if (auto done = add(out, path); !done) return std::unexpected(done.error());
  }
  return out;
}

AppResult<NetplanSources> load_netplan_file(const std::string& path) {
  NetplanSources out;
  if (auto done = add(out, path); !done) return std::unexpected(done.error());
  return out;
}

AppResult<void> load_netplan_keys(NetplanSources& sources, const config::NetplanFiles& files,
                                  const std::string& name) {
  for (auto& file : sources.key_files) config::wipe_text(file.text);
  sources.key_files.clear();
  for (config::NetplanKeyFile& file : files.key_files(name)) {
    auto text = read_named_file(file.path, kMaxKeyFile);
    if (!text) {
      file.named.message = "the key file " + file.path + ": " + text.error();
      return fail(file.named.text(file.named.file), kExitUsage);
    }
    sources.key_files.push_back({file.path, std::move(*text)});
  }
  return {};
}

}  // namespace hats::app
