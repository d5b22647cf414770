#include "tools/hatsd-user/cli/networkd_files.hpp"

#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "core/config/network.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"
#include "tools/hatsd-user/quick/file_guard.hpp"

namespace hats::app {
namespace {

namespace fs = std::filesystem;
using config::SourceText;
using Folders = std::vector<std::string>;
using Texts = std::vector<SourceText>;

constexpr off_t kMaxKeyFile = 4'096;     // bytes; a key has 44 characters
constexpr time_t kKeySocketTimeout = 5;  // seconds until who should send a key has sent it

void wipe(Texts& texts) {
  for (SourceText& source : texts) config::wipe_text(source.text);
}

/// An empty file, or a link to /dev/null: it takes the place of another of its name, and says nothing.
bool is_mask(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return false;
  return S_ISREG(status.st_mode) ? status.st_size == 0 : S_ISCHR(status.st_mode);
}

/// The files of the folders that end in `suffix`, by name; of one name that of the first folder counts.
std::vector<std::string> files_of(const Folders& folders, std::string_view suffix) {
  std::map<std::string, std::string> by_name;
  for (const std::string& folder : folders) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      std::error_code ignored;
      if (!name.ends_with(suffix) || name.starts_with('.') || entry->is_directory(ignored)) continue;
      by_name.try_emplace(name, entry->path().string());
    }
  }
  std::vector<std::string> out;
  for (const auto& [name, path] : by_name) {
    if (!is_mask(path)) out.push_back(path);
  }
  return out;
}

/// A file and its drop-ins, which may lie in any of the folders.
AppResult<Texts> read_with_drop_ins(const std::string& path, const Folders& folders) {
  std::vector<std::string> paths{path};
  Folders drop_in_folders;
  const std::string name = fs::path(path).filename().string() + ".d";
  for (const std::string& folder : folders) drop_in_folders.push_back((fs::path(folder) / name).string());
  const auto drop_ins = files_of(drop_in_folders, ".conf");
  paths.insert(paths.end(), drop_ins.begin(), drop_ins.end());
  Texts out;
  for (const std::string& one : paths) {
    auto text = read_named_file(one, kMaxConfigFile);
    if (!text) {
      wipe(out);
      return fail(one + ":1: " + text.error(), kExitUsage);
    }
    out.push_back({one, std::move(*text)});
  }
  return out;
}

// ---- Keys ----

/// What a socket sends until it closes.
std::string receive_key(const std::string& path, std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return std::strerror(ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::strerror(errno);
  const timeval timeout{.tv_sec = kKeySocketTimeout, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  int error = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  std::array<char, kMaxKeyFile> buffer{};
  size_t filled = 0;
  while (error == 0 && filled < buffer.size()) {
    const ssize_t n = recv(fd, buffer.data() + filled, buffer.size() - filled, 0);
    if (n == 0) break;
    if (n < 0) error = errno;
    if (n > 0) filled += static_cast<size_t>(n);
  }
  close(fd);
  text.assign(buffer.data(), filled);
  crypto::wipe({reinterpret_cast<uint8_t*>(buffer.data()), buffer.size()});
  return error == 0 ? "" : std::strerror(error);
}

config::KeyFile read_key_file(const std::string& path, std::vector<std::string>& warnings) {
  config::KeyFile out{path, "", ""};
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    out.fault = std::strerror(errno);
  } else if (S_ISSOCK(status.st_mode)) {
    out.fault = receive_key(path, out.text);
  } else if (!S_ISREG(status.st_mode)) {
    out.fault = "is neither a file nor a socket";
  } else if (status.st_size > kMaxKeyFile) {
    out.fault = "is too large to be a key";
  } else if (auto text = read_whole_file(path); text) {
    out.text = std::move(*text);
    const auto guard = file_guard(path);
    warnings.insert(warnings.end(), guard.begin(), guard.end());
  } else {
    out.fault = std::strerror(text.error());
  }
  return out;
}

// ---- The host ----

std::optional<std::string> first_line(const std::string& path) {
  const auto text = read_whole_file(path);
  if (!text) return std::nullopt;
  return std::string(config::trim(std::string_view(*text).substr(0, text->find('\n'))));
}

config::HostFacts host_facts(const NetworkdRoots& roots) {
  config::HostFacts out;
  utsname names{};
  if (uname(&names) == 0) {
    out.host_name = std::string(names.nodename);
    out.architecture = std::string(names.machine);
    out.kernel_release = std::string(names.release);
  }
  out.machine_id = first_line(roots.machine_id);
  out.kernel_command_line = first_line(roots.proc + "/cmdline");
  return out;
}

// ---- Look-up ----

/// What find() has passed over.
struct Passed {
  std::vector<std::string> duplicates;  // the same Name=, later in the order
  std::vector<std::string> broken;      // "FILE:LINE: ..." of files that cannot be parsed or read
};

/// The texts of the .netdev of `name`.
std::optional<Texts> find(const std::string& name, const NetworkdRoots& roots, const config::HostFacts& host,
                          Passed& passed) {
  std::optional<Texts> out;
  for (const std::string& path : files_of(roots.folders, ".netdev")) {
    auto texts = read_with_drop_ins(path, roots.folders);
    if (!texts) {
      passed.broken.push_back(texts.error().message);
      continue;
    }
    const auto identity = config::netdev_identity(*texts);
    if (!identity) passed.broken.push_back(identity.error().text(path));
    const bool hit = identity && identity->name == name && config::is_for_host(*texts, host);
    if (hit && !out) {
      out = std::move(*texts);
      continue;
    }
    if (hit) passed.duplicates.push_back(path);
    wipe(*texts);
  }
  return out;
}

/// The first .network, in the order of names, that is for the interface; empty: none.
Texts find_network(const Folders& folders, const config::NetdevIdentity& identity,
                   const config::HostFacts& host, std::vector<std::string>& warnings) {
  for (const std::string& path : files_of(folders, ".network")) {
    auto texts = read_with_drop_ins(path, folders);
    if (!texts) {
      warnings.push_back(texts.error().message + " (the file is passed over)");
    } else if (config::network_matches(*texts, identity.name, identity.kind, host)) {
      return std::move(*texts);
    }
  }
  return {};
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

AppResult<Texts> find_by_name(const std::string& name, const NetworkdRoots& roots,
                              const config::HostFacts& host, std::vector<std::string>& warnings) {
  Passed passed;
  auto found = find(name, roots, host, passed);
  if (!found) {
    std::string message = name + ": no .netdev file with Name=" + name + " in " + listed(roots.folders);
    for (const std::string& broken : passed.broken) message += "\n" + broken + " (the file is passed over)";
    return fail(message, kExitUsage);
  }
  const std::string used = name + ": " + found->front().path + " is used, ";
  for (const std::string& other : passed.duplicates) {
    std::string warning = used;
    warnings.push_back(warning.append(other).append(" is not"));
  }
  return std::move(*found);
}

bool is_path(const std::string& word) {
  return word.find('/') != std::string::npos || word.ends_with(".netdev");
}

/// The /proc folder of the systemd-networkd of this network namespace; nullopt: none runs.
std::optional<std::string> networkd_process(const NetworkdRoots& roots) {
  std::error_code error;
  const fs::path own = fs::read_symlink(roots.proc + "/self/ns/net", error);
  if (error) return std::nullopt;
  for (fs::directory_iterator entry(roots.proc, error), end; !error && entry != end; entry.increment(error)) {
    const std::string pid = entry->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto command = read_whole_file(entry->path().string() + "/cmdline");
    if (!command) continue;
    const std::string program = command->substr(0, command->find('\0'));
    if (fs::path(program).filename() != "systemd-networkd") continue;
    std::error_code gone;
    // Another network namespace has a networkd of its own, or none.
    if (fs::read_symlink(entry->path() / "ns/net", gone) == own && !gone) return entry->path().string();
  }
  return std::nullopt;
}

/// The numbers behind "NAME:" in a /proc/PID/status.
std::vector<uint64_t> status_numbers(const std::string& status, const std::string& name, int base) {
  std::vector<uint64_t> out;
  const size_t at = ("\n" + status).find("\n" + name + ":");
  if (at == std::string::npos) return out;
  const std::string line = status.substr(at, status.find('\n', at) - at);
  std::istringstream words(line.substr(name.size() + 1));
  for (std::string word; words >> word;) out.push_back(std::strtoull(word.c_str(), nullptr, base));
  return out;
}

/// Whether the process of that /proc folder may read a file: networkd is not root.
bool can_read(const std::string& process, const std::string& path) {
  constexpr uint64_t kReadsAll = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;
  struct stat file{};
  const auto status = read_whole_file(process + "/status");
  if (!status || stat(path.c_str(), &file) != 0) return false;
  const auto capabilities = status_numbers(*status, "CapEff", 16);
  if (!capabilities.empty() && (capabilities[0] & kReadsAll) != 0) return true;
  const auto user = status_numbers(*status, "Uid", 10);
  if (user.size() > 1 && user[1] == file.st_uid) return (file.st_mode & S_IRUSR) != 0;
  std::vector<uint64_t> groups = status_numbers(*status, "Groups", 10);
  if (const auto group = status_numbers(*status, "Gid", 10); group.size() > 1) groups.push_back(group[1]);
  const bool member = std::ranges::find(groups, file.st_gid) != groups.end();
  return (file.st_mode & (member ? S_IRGRP : S_IROTH)) != 0;
}

/// Whether the networkd that runs here would configure the link that we make by these sources. It leaves a
/// link alone that has the name of a .netdev it knows, but another kind, and ours is a TUN.
bool networkd_takes(const config::NetworkdSources& sources, const NetworkdRoots& roots) {
  if (sources.network.empty()) return false;
  const auto process = networkd_process(roots);
  if (!process) return false;
  const auto knows = [&](const std::string& path) {
    const fs::path folder = fs::absolute(path).parent_path();
    const bool is_its = std::ranges::any_of(roots.folders, [&](const std::string& its) {
      std::error_code ignored;
      return fs::equivalent(its, folder, ignored);
    });
    return is_its && can_read(*process, path);
  };
  return knows(sources.network.front().path) && !knows(sources.netdev.front().path);
}

}  // namespace

NetworkdRoots NetworkdRoots::below(const std::string& root) {
  NetworkdRoots out;
  for (std::string& folder : out.folders) folder.insert(0, root);
  out.proc.insert(0, root);
  out.machine_id.insert(0, root);
  return out;
}

std::optional<std::string> find_netdev(const std::string& name, const NetworkdRoots& roots) {
  Passed passed;
  auto found = find(name, roots, host_facts(roots), passed);
  if (!found) return std::nullopt;
  wipe(*found);
  return found->front().path;
}

AppResult<config::NetworkdSources> load_networkd(const std::string& word, std::vector<std::string>& warnings,
                                                 const NetworkdRoots& roots) {
  if (!is_path(word) && !config::valid_interface_name(word)) {
    return fail(config::interface_name_fault(word), kExitUsage);
  }
  config::NetworkdSources out;
  out.host = host_facts(roots);
  Folders folders = roots.folders;
  if (is_path(word)) {
    const std::string folder = fs::path(word).parent_path().string();
    folders = {folder.empty() ? "." : folder};
  }
  auto texts =
      is_path(word) ? read_with_drop_ins(word, folders) : find_by_name(word, roots, out.host, warnings);
  if (!texts) return std::unexpected(texts.error());
  out.netdev = std::move(*texts);
  for (const SourceText& source : out.netdev) {
    if (!config::holds_secrets(source)) continue;
    const auto guard = file_guard(source.path);
    warnings.insert(warnings.end(), guard.begin(), guard.end());
  }
  if (const auto identity = config::netdev_identity(out.netdev); identity && !identity->name.empty()) {
    out.network = find_network(folders, *identity, out.host, warnings);
  }
  for (const std::string& path : config::key_files_of(out.netdev)) {
    out.key_files.push_back(read_key_file(path, warnings));
  }
  out.networkd_takes_link = networkd_takes(out, roots);
  return out;
}

std::vector<std::string> networkd_names(const NetworkdRoots& roots) {
  const config::HostFacts host = host_facts(roots);
  std::vector<std::string> out;
  for (const std::string& path : files_of(roots.folders, ".netdev")) {
    auto texts = read_with_drop_ins(path, roots.folders);
    if (!texts) continue;
    const auto identity = config::netdev_identity(*texts);
    const bool ours = identity && config::valid_interface_name(identity->name) &&
                      config::is_served_kind(identity->kind) && config::is_for_host(*texts, host);
    wipe(*texts);
    if (ours && std::ranges::find(out, identity->name) == out.end()) out.push_back(identity->name);
  }
  return out;
}

}  // namespace hats::app
