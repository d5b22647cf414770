#include "tools/hatsd-user/cli/commands.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <thread>

#include "core/config/explain.hpp"
#include "core/config/wg_quick.hpp"
#include "crypto/rng.hpp"
#include "crypto/x25519.hpp"
#include "tools/hatsd-user/cli/config_lookup.hpp"
#include "tools/hatsd-user/cli/live.hpp"
#include "tools/hatsd-user/cli/show_text.hpp"
#include "tools/hatsd-user/cli/tunnel_command.hpp"
#include "tools/hatsd-user/control/control_client.hpp"
#include "tools/hatsd-user/daemon/launch.hpp"
#include "tools/hatsd-user/daemon/local_host.hpp"
#include "tools/hatsd-user/daemon/log.hpp"
#include "tools/hatsd-user/daemon/privileges.hpp"
#include "tools/hatsd-user/quick/file_guard.hpp"
#include "tools/hatsd-user/quick/host_setup.hpp"
#include "tools/hatsd-user/quick/link_mtu.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"
#include "tools/hatsd-user/quick/undo_record.hpp"
#include "tun/link.hpp"

namespace hats::app {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

// ---- up, bare NAME ----

int run_up(const CommandLine& line) {
  std::vector<InterfaceFile> files;
  std::vector<std::string> warnings;
  for (const std::string& word : line.names) {
    auto loaded = load_config(word, warnings);
    if (!loaded) return complain(loaded.error());
    for (InterfaceFile& file : *loaded) {
      if (auto fits = check_beside(file, files); !fits) return complain(fits.error());
      files.push_back(std::move(file));
    }
  }
  for (const std::string& warning : warnings) std::cerr << "hatsd-user: warning: " << warning << '\n';
  // The name before the wire: what is up already is alike to itself.
  for (const InterfaceFile& file : files) {
    if (auto free = check_name_is_free(file.name); !free) return complain(free.error());
    if (auto free = check_wire_is_free(file); !free) return complain(free.error());
    // No refusal: a PreUp hook may end the other.
    if (const auto port = own_port_text(file)) std::cerr << "hatsd-user: warning: " << *port << '\n';
  }
  return launch_files(std::move(files), line.settings);
}

/// A descriptor number from the environment; -1 if it is not set.
AppResult<int> descriptor_from(const char* variable) {
  const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  if (text == nullptr || *text == '\0') return -1;
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  struct stat status{};
  if (*end != '\0' || number < 0 || number > 1'000'000 || fstat(static_cast<int>(number), &status) != 0) {
    return fail(std::string(variable) + ": '" + text + "' is not an open descriptor", kExitUsage);
  }
  return static_cast<int>(number);
}

int run_bare(const CommandLine& line) {
  const std::string& name = line.names.front();
  if (const std::string fault = config::interface_name_fault(name); !fault.empty()) {
    return complain({fault, kExitUsage});
  }
  const auto tun_fd = descriptor_from("WG_TUN_FD");
  if (!tun_fd) return complain(tun_fd.error());
  const auto uapi_fd = descriptor_from("WG_UAPI_FD");
  if (!uapi_fd) return complain(uapi_fd.error());
  if (*tun_fd < 0) {
    if (auto free = check_name_is_free(name); !free) return complain(free.error());
  }
  if (*uapi_fd < 0) {
    if (auto free = check_wg_socket_is_free(name); !free) return complain(free.error());
  }
  return launch_bare({.name = name,
                      .file = {},
                      .tun_fd = *tun_fd,
                      .uapi_fd = *uapi_fd,
                      .offload = line.settings.tun_offload},
                     line.settings);
}

// ---- down, show, reload ----

/// The interfaces in the caller's namespace, and those that were moved out of it.
AppResult<std::vector<LiveInterface>> own_live_interfaces() {
  auto all = all_live_interfaces();
  if (all) std::erase_if(*all, [](const LiveInterface& live) { return !live.here && !live.born_here; });
  return all;
}

int run_down(const CommandLine& line) {
  int code = 0;
  const auto note = [&](const AppResult<void>& done) {
    if (!done) code = complain(done.error());
  };
  const auto names = interfaces_of(line.names);
  if (!names) return complain(names.error());
  for (const std::string& name : *names) {
    const auto found = live_interfaces(name);
    if (!found) return complain(found.error());
    const LiveInterface* live = find_interface(*found, name);
    note(live != nullptr ? take_down(*live) : clean_up_after(name));
  }
  if (line.all) {
    const auto all = own_live_interfaces();
    if (!all) return complain(all.error());
    for (const LiveInterface& live : *all) note(take_down(live));
    const auto cleaned = clean_up_after_all();
    if (!cleaned) code = complain(cleaned.error());
    if (cleaned && !*cleaned && all->empty() && names->empty())
      std::cerr << "hatsd-user: nothing is up in this network namespace\n";
  }
  return code;
}

/// What processes that were killed left of the host's settings; `down` undoes it.
void tell_left_behind() {
  for (const std::string& name : UndoRecord::left_behind(kRunDirectory)) {
    std::cerr << "hatsd-user: warning: " << name
              << ": its process is gone, but what it changed on this host is not undone: `hatsd-user down "
              << name << "` undoes it\n";
  }
}

int run_show(const CommandLine& line) {
  std::vector<LiveInterface> wanted;
  int code = 0;
  const auto names = interfaces_of(line.names);
  if (!names) return complain(names.error());
  for (const std::string& name : *names) {
    const auto found = live_interfaces(name);
    if (!found) return complain(found.error());
    if (const LiveInterface* live = find_interface(*found, name)) {
      wanted.push_back(*live);
    } else {
      code = complain(no_such_interface(name));
    }
  }
  if (line.names.empty()) {
    auto all = own_live_interfaces();
    if (!all) return complain(all.error());
    wanted = std::move(*all);
    tell_left_behind();
  }
  if (line.json) {
    json out = {{"interfaces", json::array()}};
    for (LiveInterface& live : wanted) out["interfaces"].push_back(std::move(live.status));
    std::cout << out.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    return code;
  }
  const char* separator = "";
  for (const LiveInterface& live : wanted) {
    std::cout << separator << show_text(live.status, std::time(nullptr), !live.here);
    separator = "\n";
  }
  return code;
}

int reload(const std::string& name) {
  const auto found = live_interfaces(name);
  if (!found) return complain(found.error());
  const LiveInterface* live = find_interface(*found, name);
  if (live == nullptr) return complain(no_such_interface(name));
  const std::string word = live->status.value("found", "");
  if (word.empty()) {
    return complain({name + ": was not brought up from a file; " +
                     (live->status.contains("tunnel") ? "use `hatsd-user tunnel change`" : "use wg(8)")});
  }
  std::vector<std::string> warnings;
  auto files = load_config(word, warnings);
  if (!files) return complain(files.error());
  const auto file = std::find_if(files->begin(), files->end(),
                                 [&](const InterfaceFile& candidate) { return candidate.name == name; });
  if (file == files->end()) return complain({word + ": no longer holds " + name, kExitUsage});
  for (const std::string& warning : warnings) std::cerr << "hatsd-user: warning: " << warning << '\n';
  for (const ConfigError& warning : file->config.warnings) {
    std::cerr << "hatsd-user: warning: " << warning.text(file->path) << '\n';
  }
  const json request = {{"op", "reload"},
                        {"name", live->status.value("id", name)},
                        {"sources", sources_to_json(file->sources)}};
  file->sources.wipe();
  if (auto done = control_request(live->socket, request); !done) return complain(done.error());
  return 0;
}

int run_reload(const CommandLine& line) {
  const auto names = interfaces_of(line.names);
  if (!names) return complain(names.error());
  int code = 0;
  for (const std::string& name : *names) {
    if (const int failed = reload(name); failed != 0) code = failed;
  }
  return code;
}

// ---- check ----

int run_check(const CommandLine& line) {
  int code = 0;
  const char* separator = "";
  std::vector<InterfaceFile> before;
  for (const std::string& word : line.names) {
    std::vector<std::string> warnings;
    auto files = load_config(word, warnings);
    for (const std::string& warning : warnings) std::cout << "warning: " << warning << '\n';
    if (!files) {
      code = complain(files.error());
      continue;
    }
    for (InterfaceFile& file : *files) {
      std::cout << std::exchange(separator, "\n");
      if (auto fits = check_beside(file, before); !fits) code = complain(fits.error());
      if (file.sources.format == config::Format::networkd && file.sources.networkd.network.empty()) {
        std::cout << "warning: no .network matches " << file.name << ": it gets no addresses and no routes\n";
      }
      for (const std::string& text : collisions(file)) std::cout << "warning: " << text << '\n';
      for (const std::string& path : file.secret_paths()) {
        for (const std::string& warning : file_guard(path)) std::cout << "warning: " << warning << '\n';
      }
      for (const std::string& text :
           config::explain(file.config, explain_facts(file.config, file.name, file.path))) {
        std::cout << text << '\n';
      }
      before.push_back(std::move(file));
    }
  }
  return code;
}

// ---- Keys, as wg(8) ----

int print_key(std::span<const uint8_t, crypto::kKeySize> key, bool secret) {
  struct stat status{};
  if (secret && fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 07) != 0) {
    std::cerr << "Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying "
                 "again.\n";
  }
  std::string text = crypto::key_to_base64(key);
  std::cout << text << std::endl;
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  return std::cout ? 0 : kExitFailure;
}

int run_genkey() {
  crypto::SystemRng rng;
  return print_key(crypto::generate_private_key(rng).view(), true);
}

int run_genpsk() {
  crypto::SystemRng rng;
  crypto::PresharedKey key;
  rng.fill(key.span());
  return print_key(key.view(), true);
}

constexpr size_t kKeyTextSize = 44;

/// A key in base64 and nothing behind it but blanks and NULs, as wg(8) has it. Past the buffers of a stream,
/// which nobody would wipe.
bool read_key(crypto::PrivateKey& key) {
  std::array<char, 4096> buffer{};
  std::string text;
  text.reserve(kKeyTextSize);
  bool good = true;
  while (good) {
    const ssize_t got = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (const char c : std::string_view(buffer.data(), static_cast<size_t>(got))) {
      if (text.size() < kKeyTextSize) {
        text += c;
      } else {
        good = good && (c == '\0' || std::isspace(static_cast<unsigned char>(c)) != 0);
      }
    }
  }
  good = good && crypto::key_from_base64(text, key.span());
  crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  crypto::wipe({reinterpret_cast<uint8_t*>(buffer.data()), buffer.size()});
  return good;
}

int run_pubkey() {
  crypto::PrivateKey key;
  if (!read_key(key)) {
    return complain({"pubkey: standard input holds no private key (44 characters of base64, and no more)"});
  }
  return print_key(crypto::public_key_of(key).bytes, false);
}

bool reads_or_makes_keys(Command command) {
  constexpr Command kSuch[] = {Command::up,     Command::check,  Command::reload,
                               Command::genkey, Command::genpsk, Command::pubkey};
  return std::ranges::find(kSuch, command) != std::end(kSuch);
}

}  // namespace

int run_command(const CommandLine& line) {
  if (reads_or_makes_keys(line.command)) forbid_core_dumps();
  if (!crypto::initialise()) return complain({"no randomness: libsodium cannot start"});
  set_up_log(LogTo::standard_error, LogLevel::warning);
  switch (line.command) {
    case Command::up:
      return run_up(line);
    case Command::down:
      return run_down(line);
    case Command::show:
      return run_show(line);
    case Command::check:
      return run_check(line);
    case Command::reload:
      return run_reload(line);
    case Command::tunnel:
      return run_tunnel(line.names, line.settings);
    case Command::bench:
      return run_bench(line.bench, line.settings);
    case Command::genkey:
      return run_genkey();
    case Command::genpsk:
      return run_genpsk();
    case Command::pubkey:
      return run_pubkey();
    case Command::bare:
      break;
  }
  return run_bare(line);
}

}  // namespace hats::app
