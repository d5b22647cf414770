#include "tools/hatsd-user/cli/tunnel_command.hpp"

#include <net/if.h>
#include <unistd.h>

#include <array>
#include <iostream>

#include "core/config/ip_tunnel.hpp"
#include "core/config/tunnel_show.hpp"
#include "tools/hatsd-user/cli/live.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/control/tunnel_json.hpp"
#include "tools/hatsd-user/daemon/launch.hpp"
#include "tools/hatsd-user/quick/dsfield_file.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

/// What `add` does under its lock, which is given away only where a process is started: this one then waits
/// for it, lock in hand.
int add_alone(InterfaceFile file, const std::vector<std::string>& words, const Settings& settings,
              transport::UniqueFd& lock) {
  if (auto free = check_name_is_free(file.name); !free) return complain(free.error());
  while (true) {
    const auto socket = survey_for_tunnel(file);
    if (!socket) return complain(socket.error());
    if (!*socket) break;
    const json request = {{"op", "tunnel_add"}, {"name", file.name}, {"words", words}};
    const auto done = control_request(**socket, request);
    if (done) return 0;
    // Its last tunnel may have gone meanwhile, and it with it.
    if (connect_to(**socket)) return complain(done.error());
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
  auto file = parse_interface_file(command.name, "tunnel", {}, words_as_sources(words));
  if (!file) return complain(file.error());
  file->path.clear();

  // One `tunnel add` at a time: two that come together must not each start a process.
  transport::UniqueFd lock = lock_run_directory();
  const int code = add_alone(std::move(*file), words, settings, lock);
  if (code == 0) return code;
  if (settings.foreground) {
    lock.reset();
    remove_run_directory_if_unused();
  } else {
    (void)rmdir(kRunDirectory);  // the lock is ours, or of the launcher that waits for this process to end
  }
  return code;
}

/// The live tunnel of that name in the caller's namespace, as ip has it; complains if there is none.
const LiveInterface* find_tunnel(const std::vector<LiveInterface>& all, const std::string& name) {
  const LiveInterface* live = find_here(all, name);
  if (live != nullptr && live->status.contains("tunnel")) return live;
  if (live != nullptr) {
    complain({name + ": is a WireGuard interface; wg(8) changes it, `hatsd-user down` ends it"});
  } else if (find_interface(all, name) != nullptr) {
    complain({name +
              ": was moved to another network namespace; there `hatsd-user tunnel` finds it, from here "
              "`hatsd-user down " +
              name + "` ends it"});
  } else {
    complain({name + ": hatsd-user has no such tunnel here (`hatsd-user tunnel show` lists them)"});
  }
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
  const auto all = command->name.empty() ? all_live_interfaces() : live_interfaces(command->name);
  if (!all) return complain(all.error());
  if (command->verb == Verb::show) return show(*all, *command);
  if (command->verb == Verb::change) return change(*all, *command, words);
  const LiveInterface* live = find_tunnel(*all, command->name);
  if (live == nullptr) return kExitFailure;
  const auto down = take_down(*live);
  return down ? 0 : complain(down.error());
}

}  // namespace hats::app
