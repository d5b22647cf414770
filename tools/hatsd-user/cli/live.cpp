#include "tools/hatsd-user/cli/live.hpp"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <thread>

#include "core/config/netdev.hpp"
#include "core/config/netplan.hpp"
#include "core/config/text.hpp"
#include "tools/hatsd-user/cli/netplan_files.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/control/tunnel_json.hpp"
#include "tools/hatsd-user/control/uapi_server.hpp"
#include "tools/hatsd-user/daemon/local_host.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"
#include "tools/hatsd-user/quick/host_setup.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"
#include "tools/hatsd-user/quick/service_port.hpp"
#include "tools/hatsd-user/quick/undo_record.hpp"
#include "transport/udp_socket.hpp"
#include "tun/link.hpp"

namespace hats::app {

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

/// How long `down` waits for a link to vanish after its process has answered.
constexpr auto kLinkGoneTimeout = 10s;

bool link_exists(const std::string& name) {
  auto netlink = tun::Netlink::open();
  return netlink && netlink->link(name).has_value();
}

bool wait_until_gone(const std::string& name, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (link_exists(name)) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// Whether there is no such link. A TUN that nobody serves is waited for: its process was killed, and the
/// kernel (io_uring's above all) is still letting go of it.
bool link_is_gone(const std::string& name) {
  auto netlink = tun::Netlink::open();
  if (!netlink) return false;
  const auto link = netlink->link(name);
  if (!link) return link.error() == ENODEV;
  if (link->kind != "tun") return false;
  const auto live = live_interfaces(name);
  return live && find_here(*live, name) == nullptr && wait_until_gone(name, kLettingGoTimeout);
}

constexpr std::string_view kSocketSuffix = ".sock";

std::string wg_socket(const std::string& name) {
  return std::string(kUapiDirectory) + "/" + name + std::string(kSocketSuffix);
}

/// Whether nobody listens on wg's socket of an interface that is not here: its process was killed. Waits
/// while the kernel is still letting go of socket and link.
bool has_dead_socket(const std::string& name) {
  const auto connected = connect_to(wg_socket(name));
  if (connected || connected.error() != ECONNREFUSED) return false;
  // All namespaces that share /run have it in common: with the rest of what is to be undone it is another's.
  if (!UndoRecord::elsewhere(kRunDirectory, name).empty()) return false;
  return link_is_gone(name);
}

/// True: there was one.
bool remove_dead_socket(const std::string& name) {
  return has_dead_socket(name) && unlink(wg_socket(name).c_str()) == 0;
}

/// Whose they were.
std::vector<std::string> dead_sockets() {
  std::vector<std::string> out;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(kUapiDirectory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (!file.ends_with(kSocketSuffix)) continue;
    std::string name = file.substr(0, file.size() - kSocketSuffix.size());
    if (has_dead_socket(name)) out.push_back(std::move(name));
  }
  return out;
}

/// The tunnel of a file, with the link that it names.
encap::TunnelConfig on_the_wire(const InterfaceFile& file) {
  encap::TunnelConfig out = file.config.tunnel->tunnel;
  if (const std::string& link = file.config.tunnel->underlay; !link.empty()) {
    out.underlay = if_nametoindex(link.c_str());
  }
  return out;
}

AppError alike(const InterfaceFile& file, const std::string& other) {
  const encap::TunnelConfig& tunnel = file.config.tunnel->tunnel;
  std::string text = "same ends";
  if (tunnel.kind == encap::Kind::gre) text += tunnel.in_key ? " and key" : ", and neither has a key";
  const ConfigError fault{.line = file.config.tunnel->line,
                          .key = {},
                          .message = file.name + " cannot be told apart from " + other + " on the wire (" +
                                     text + "): give one of them another address or GRE key",
                          .file = file.config.tunnel->file};
  const std::string path = file.path.empty() ? file.name : file.path;
  return {file.path.empty() ? fault.message : fault.text(path), kExitUsage};
}

AppError port_fault(const InterfaceFile& file, const std::string& message) {
  const ConfigError fault{.line = file.config.listen_port_line, .key = "ListenPort", .message = message};
  return {fault.text(file.path), kExitUsage};
}

/// Two files cannot both be brought up: the same interface, one port for both, tunnels that are one on the
/// wire.
AppResult<void> check_pair(const InterfaceFile& earlier, const InterfaceFile& file) {
  if (earlier.name == file.name) {
    return fail(file.path + ":1: " + earlier.path + " is the same interface; give one of them", kExitUsage);
  }
  if (earlier.config.tunnel && file.config.tunnel &&
      encap::alike_on_the_wire(on_the_wire(earlier), on_the_wire(file))) {
    return std::unexpected(alike(file, earlier.name));
  }
  const auto& port = file.config.listen_port;
  if (port.value_or(0) == 0 || port != earlier.config.listen_port) return {};
  return std::unexpected(port_fault(file, std::to_string(*port) + " is also that of " + earlier.path +
                                              "; each interface needs a port of its own"));
}

uint16_t port_of(const config::InterfaceConfig& config) {
  return config.listen_service.empty() ? config.listen_port.value_or(0)
                                       : service_port(config.listen_service).value_or(0);
}

bool is_taken(uint16_t port) {
  const auto sockets = transport::open_udp(port, 0);
  return !sockets && sockets.error() == EADDRINUSE;
}

}  // namespace

std::optional<std::string> own_port_text(const InterfaceFile& file) {
  const uint16_t port = port_of(file.config);
  // The rare case: to hear of interfaces with very many peers takes a while.
  if (port == 0 || !is_taken(port)) return std::nullopt;
  const auto all = all_live_interfaces();
  if (!all) return std::nullopt;
  // A moved interface has its sockets where its process is; one that is down has none.
  const auto holder = std::ranges::find_if(*all, [&](const LiveInterface& live) {
    return live.born_here && live.name != file.name && live.status.value("up", false) &&
           live.status.value("listen_port", 0) == port;
  });
  if (holder == all->end()) return std::nullopt;
  return port_fault(file, "the interface " + name_and_place(holder->name, holder->here) + " has UDP port " +
                              std::to_string(port) + " now; `hatsd-user down " + holder->name +
                              "` ends it, or choose another")
      .message;
}

namespace {

/// That another socket has the file's port now. The file's own interface may have it: reload keeps it.
std::optional<std::string> taken_port_text(const InterfaceFile& file, bool link_exists) {
  const uint16_t port = port_of(file.config);
  if (port == 0) return std::nullopt;
  const auto all = live_interfaces(file.name);
  const LiveInterface* live = all ? find_interface(*all, file.name) : nullptr;
  if (live == nullptr && link_exists) return std::nullopt;  // who serves it, and by what port, is not known
  if (live != nullptr && live->status.value("up", false) && live->status.value("listen_port", 0) == port)
    return std::nullopt;
  if (auto own = own_port_text(file)) return own;
  if (!is_taken(port)) return std::nullopt;
  const std::string number = std::to_string(port);
  return port_fault(file, "another socket has UDP port " + number + " now (`ss -ulnp sport = :" + number +
                              "` shows whose); end that, or choose another")
      .message;
}

/// The interface that a word which is no netplan file means.
std::string interface_of(const std::string& word) {
  const size_t slash = word.rfind('/');
  std::string name = slash == std::string::npos ? word : word.substr(slash + 1);
  if (name.ends_with(".conf")) return name.substr(0, name.size() - 5);
  if (name.ends_with(".netdev")) {
    const auto text = read_named_file(word, kMaxConfigFile);
    if (const auto named = text ? config::netdev_name(*text) : std::nullopt) return *named;
  }
  return name;
}

/// That a link has the name, and who serves it.
std::string taken_text(const std::string& name) {
  std::string text = name + ": the interface exists already";
  if (const auto live = live_interfaces(name)) {
    if (const auto* ours = find_here(*live, name)) {
      text += ", pid " + std::to_string(ours->process) + " serves it; `hatsd-user down " + name + "` ends it";
      if (!ours->status.value("found", "").empty()) {
        text += ", `hatsd-user reload " + name + "` applies a changed file";
      } else if (ours->status.contains("tunnel")) {
        text += ", `hatsd-user tunnel change " + name + "` changes it";
      } else {
        text += ", `wg set " + name + "` changes it";
      }
    }
  }
  return text;
}

}  // namespace

AppResult<void> check_beside(const InterfaceFile& file, const std::vector<InterfaceFile>& before) {
  for (const InterfaceFile& other : before) {
    if (auto fits = check_pair(other, file); !fits) return fits;
  }
  return {};
}

std::vector<std::string> collisions(const InterfaceFile& file) {
  std::vector<std::string> out;
  const bool exists = link_exists(file.name);
  if (auto port = taken_port_text(file, exists)) out.push_back(std::move(*port));
  if (const auto dns = HostSetup::dns_fault(file.config, file.path)) out.push_back(dns->text(file.path));
  if (exists) {
    out.push_back(taken_text(file.name));  // maybe by this very file
  } else if (const auto free = check_wire_is_free(file); !free) {
    out.push_back(free.error().message);
  }
  return out;
}

int complain(const AppError& error) {
  for (const std::string_view line : config::split(error.message, '\n')) {
    std::cerr << "hatsd-user: " << line << '\n';
  }
  return error.exit_code;
}

AppResult<void> check_name_is_free(const std::string& name) {
  if (access(kRunDirectory, R_OK | X_OK) != 0 && errno == EACCES) {
    return fail(std::string(kRunDirectory) + ": not permitted; run as root");
  }
  if (link_exists(name) && !link_is_gone(name)) return fail(taken_text(name));
  // What a process that died has left behind is undone first.
  const auto undone = HostSetup::finish_undo(name, logging_host_options(-1));
  if (!undone) return fail(name + ": " + undone.error());
  return {};
}

AppResult<std::optional<std::string>> survey_for_tunnel(const InterfaceFile& file) {
  const ino_t here = own_network_namespace();
  const auto processes = ask_all({{"op", "tunnel_survey"}, {"tunnel", tunnel_to_json(on_the_wire(file))}});
  if (!processes) return std::unexpected(processes.error());
  std::optional<std::string> accepts;
  for (const LiveProcess& process : *processes) {
    if (!process.born_here) continue;
    if (const auto other = process.answer.find("alike"); other != process.answer.end()) {
      const bool is_here = other->value("network_namespace", ino_t{0}) == here;
      return std::unexpected(alike(file, name_and_place(other->value("name", ""), is_here)));
    }
    if (!accepts && process.answer.value("accepts_tunnels", false)) accepts = process.socket;
  }
  return accepts;
}

AppResult<void> check_wg_socket_is_free(const std::string& name) {
  return check_nobody_answers(wg_socket(name));
}

AppResult<void> check_wire_is_free(const InterfaceFile& file) {
  if (!file.config.tunnel) return check_wg_socket_is_free(file.name);
  if (auto free = survey_for_tunnel(file); !free) return std::unexpected(free.error());
  return {};
}

AppResult<void> take_down(const LiveInterface& live) {
  const json request = {{"op", "down"}, {"name", live.status.value("id", live.name)}};
  // What hooks say is read where this program was started.
  constexpr std::array kOutput = {STDOUT_FILENO, STDERR_FILENO};
  if (auto done = control_request(live.socket, request, kOutput); !done) return std::unexpected(done.error());
  if (live.here && !wait_until_gone(live.name, kLinkGoneTimeout)) {
    return fail(live.name + ": the link is still there");
  }
  return {};
}

AppError no_such_interface(const std::string& name) {
  const std::vector<std::string> left = UndoRecord::left_behind(kRunDirectory);
  if (std::ranges::find(left, name) != left.end() || has_dead_socket(name)) {
    return {name + ": its process is gone, but not all that it made: `hatsd-user down " + name +
            "` undoes what is left"};
  }
  if (const auto others = UndoRecord::elsewhere(kRunDirectory, name); !others.empty()) {
    return {name + ": was in another network namespace (net:[" + std::to_string(others.front()) +
            "]), and what it changed there is not undone: `hatsd-user down " + name +
            "` in that one undoes it"};
  }
  return {name + ": hatsd-user has no such interface here (`hatsd-user show` lists them)"};
}

AppResult<void> clean_up_after(const std::string& name) {
  const auto undone = HostSetup::finish_undo(name, logging_host_options(-1));
  remove_run_directory_if_unused();
  if (!undone) return fail(name + ": " + undone.error());
  const bool had_socket = remove_dead_socket(name);
  if (*undone || had_socket) return {};
  return std::unexpected(no_such_interface(name));
}

AppResult<bool> clean_up_after_all() {
  std::vector<std::string> names = UndoRecord::left_behind(kRunDirectory);
  for (const std::string& name : dead_sockets()) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  std::string faults;
  for (const std::string& name : names) {
    const auto done = clean_up_after(name);
    if (!done) faults += (faults.empty() ? "" : "\n") + done.error().message;
  }
  if (!faults.empty()) return fail(faults);
  return !names.empty();
}

AppResult<std::vector<std::string>> interfaces_of(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words) {
    if (!word.ends_with(".yaml")) {
      out.push_back(interface_of(word));
      continue;
    }
    const auto netplan = load_netplan_file(word);
    if (!netplan) return std::unexpected(netplan.error());
    const auto names = config::netplan_tunnel_names(netplan->sources);
    if (!names) return fail(names.error().text(word), kExitUsage);
    if (names->empty()) return fail(word + ":1: tunnels: the file has none", kExitUsage);
    out.insert(out.end(), names->begin(), names->end());
  }
  return out;
}

}  // namespace hats::app
