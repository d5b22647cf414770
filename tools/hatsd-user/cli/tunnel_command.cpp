#include "tools/hatsd-user/cli/tunnel_command.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>

#include "core/config/ip_tunnel.hpp"
#include "core/config/tunnel_show.hpp"
#include "tools/hatsd-user/cli/live.hpp"
#include "tools/hatsd-user/control/tunnel_json.hpp"
#include "tools/hatsd-user/daemon/launch.hpp"
#include "tools/hatsd-user/quick/dsfield_file.hpp"
#include "tools/hatsd-user/quick/undo_record.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

/// One `tunnel add` at a time: two that come together must not each start a process. The lock is on the
/// folder itself, so that nothing is left of it.
transport::UniqueFd lock_adding() {
  while (true) {
    (void)mkdir(kRunDirectory, 0700);
    transport::UniqueFd fd(open(kRunDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    while (fd && flock(fd.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    // The last process to end, or an add that failed, has taken away what we waited for: others lock the
    // next one.
    struct stat folder{};
    if (!fd || fstat(fd.get(), &folder) != 0 || folder.st_nlink != 0) return fd;
  }
}

const LiveInterface* process_for_tunnels(const std::vector<LiveInterface>& all) {
  for (const LiveInterface& live : all) {
    if (live.born_here && live.status.value("accepts_tunnels", false)) return &live;
  }
  return nullptr;
}

/// What `add` does under its lock, which is given away only where a process is started: this one then waits
/// for it, lock in hand.
int add_alone(InterfaceFile file, const std::vector<std::string>& words, const Settings& settings,
              transport::UniqueFd& lock) {
  if (auto free = check_name_is_free(file.name); !free) return complain(free.error());
  if (auto free = check_wire_is_free(file, {}); !free) return complain(free.error());
  const auto all = all_live_interfaces();
  if (!all) return complain(all.error());
  if (const LiveInterface* process = process_for_tunnels(*all)) {
    const json request = {{"op", "tunnel_add"}, {"name", file.name}, {"words", words}};
    if (auto done = control_request(process->socket, request); !done) return complain(done.error());
    return 0;
  }
  std::vector<InterfaceFile> files;
  files.push_back(std::move(file));
  return launch_files(std::move(files), settings, std::move(lock));
}

int add(const config::TunnelCommand& command, const std::vector<std::string>& words,
        const Settings& settings) {
  if (const std::string fault = config::interface_name_fault(command.name); !fault.empty()) {
    return complain({"tunnel: " + fault, kExitUsage});
  }
  if (!command.underlay.empty() && if_nametoindex(command.underlay.c_str()) == 0) {
    return complain(
        {"tunnel: dev " + command.underlay + ": no such interface (`ip link` lists them)", kExitUsage});
  }
  InterfaceSources sources{.format = config::Format::ip_tunnel, .files = {{{}, join_words(words)}}};
  auto file = parse_interface_file(command.name, "tunnel", {}, std::move(sources));
  if (!file) return complain(file.error());
  file->path.clear();

  transport::UniqueFd lock = lock_adding();
  const int code = add_alone(std::move(*file), words, settings, lock);
  // Empty it is if nobody is served.
  if (code != 0) (void)rmdir(kRunDirectory);
  return code;
}

/// The live tunnel of that name; complains if there is none.
const LiveInterface* find_tunnel(const std::vector<LiveInterface>& all, const std::string& name) {
  const LiveInterface* live = find_interface(all, name);
  if (live != nullptr && live->status.contains("tunnel")) return live;
  complain({live == nullptr
                ? name + ": hatsd-user has no such tunnel here (`hatsd-user tunnel show` lists them)"
                : name + ": is a WireGuard interface; wg(8) changes it, `hatsd-user down` ends it"});
  return nullptr;
}

int change(const std::vector<LiveInterface>& all, const config::TunnelCommand& command,
           const std::vector<std::string>& words) {
  const LiveInterface* live = find_tunnel(all, command.name);
  if (live == nullptr) return kExitFailure;
  // Said here already, with the exit code of a usage error.
  const auto changed = config::apply(command, tunnel_from_json(live->status["tunnel"]));
  if (!changed) return complain({"tunnel: " + changed.error(), kExitUsage});
  const json request = {
      {"op", "tunnel_change"}, {"name", live->status.value("id", command.name)}, {"words", words}};
  if (auto done = control_request(live->socket, request); !done) return complain(done.error());
  return 0;
}

int show(const std::vector<LiveInterface>& all, const config::TunnelCommand& command) {
  uint32_t underlay = 0;
  if (!command.underlay.empty()) {
    underlay = if_nametoindex(command.underlay.c_str());
    if (underlay == 0) {
      return complain(
          {"tunnel: dev " + command.underlay + ": no such interface (`ip link` lists them)", kExitUsage});
    }
  }
  if (!command.name.empty() && find_tunnel(all, command.name) == nullptr) return kExitFailure;
  const auto link_name = [](uint32_t index) {
    std::array<char, IF_NAMESIZE> name{};
    return if_indextoname(index, name.data()) != nullptr ? std::string(name.data())
                                                         : "if" + std::to_string(index);
  };
  const config::DsfieldNames names = dsfield_names();
  for (const LiveInterface& live : all) {
    if (!live.here || !live.status.contains("tunnel")) continue;
    const encap::TunnelConfig tunnel = tunnel_from_json(live.status["tunnel"]);
    if (config::selects(command, live.name, tunnel, underlay)) {
      std::cout << config::tunnel_text(live.name, tunnel, names, link_name) << '\n';
    }
  }
  return 0;
}

}  // namespace

int run_tunnel(const std::vector<std::string>& words, const Settings& settings) {
  const auto command = config::parse_ip_tunnel(words, dsfield_names());
  if (!command) return complain({"tunnel: " + command.error(), kExitUsage});
  using Verb = config::TunnelCommand::Verb;
  if (command->verb == Verb::help) {
    std::cout << config::ip_tunnel_usage();
    return 0;
  }
  if (command->verb == Verb::add) return add(*command, words, settings);
  const auto all = all_live_interfaces();
  if (!all) return complain(all.error());
  if (command->verb == Verb::show) return show(*all, *command);
  if (command->verb == Verb::change) return change(*all, *command, words);
  if (find_tunnel(*all, command->name) == nullptr) return kExitFailure;
  const auto down = take_down(*all, command->name);
  return down ? 0 : complain(down.error());
}

}  // namespace hats::app
