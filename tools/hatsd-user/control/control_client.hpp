// The other end of /run/hatsd-user/PID.sock, for the command line.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// An interface of some running process.
struct LiveInterface {
  std::string name;
  std::string socket;  // of its process
  pid_t process = 0;
  bool here = false;       // its link is in the caller's network namespace
  bool born_here = false;  // its process belongs to the caller's network namespace
  nlohmann::json status;   // status_json()
};

/// A running process, and what it answered.
struct LiveProcess {
  std::string socket;
  pid_t process = 0;
  bool born_here = false;  // it belongs to the caller's network namespace
  nlohmann::json answer;
};

/// Sends one request to every process that answers. A socket file that nobody answers on is removed.
[[nodiscard]] AppResult<std::vector<LiveProcess>> ask_all(const nlohmann::json& request);

[[nodiscard]] AppResult<std::vector<LiveInterface>> all_live_interfaces();
/// Those that are called so, in whatever namespace.
[[nodiscard]] AppResult<std::vector<LiveInterface>> live_interfaces(const std::string& name);

/// The interface of that name in the caller's network namespace.
[[nodiscard]] const LiveInterface* find_here(const std::vector<LiveInterface>& all, const std::string& name);
/// The interface that NAME means to the caller: the one in its namespace, else one that was moved out of it.
[[nodiscard]] const LiveInterface* find_interface(const std::vector<LiveInterface>& all,
                                                  const std::string& name);

/// How messages name an interface that is in the way: "gx", or "gx (moved to another network namespace)".
[[nodiscard]] std::string name_and_place(const std::string& name, bool here);

/// Sends one request to a process, with `descriptors` if it is to have some, and waits for its reply.
[[nodiscard]] AppResult<nlohmann::json> control_request(const std::string& socket,
                                                        const nlohmann::json& request,
                                                        std::span<const int> descriptors = {});

}  // namespace hats::app
