// The keeper: the small parent process that has root's rights, runs hooks and undoes what an interface did to
// the host (DESIGN.md 5). It parses no packet and holds no socket but the channel. It is the service
// manager's main process; the data process dies with it, and it ends with the data process.
#pragma once

#include <sys/types.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/hatsd-user/control/descriptors.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/daemon/readiness.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "tools/hatsd-user/quick/host_setup.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

class Keeper {
 public:
  Keeper(transport::UniqueFd channel, pid_t data_process, std::vector<InterfaceFile> files,
         const Settings& settings, Readiness ready);

  /// Brings up, keeps, undoes. Returns the exit code.
  [[nodiscard]] int run();

 private:
  class Device;
  struct Guest {
    std::string name, path;
    HostSetup setup;
  };

  struct Heard {
    nlohmann::json message;
    Descriptors descriptors;
  };

  bool wait_until_created();
  void remember_sockets();
  bool bring_up();
  void serve();
  void handle(const Heard& heard);
  /// Waits for one message; nullopt if the data process is gone.
  std::optional<Heard> hear();
  void reload(const std::string& name);
  void end(const std::string& name, bool link_gone, const Descriptors& output);
  [[nodiscard]] HostOptions host_options();
  void end_all();
  void data_process_died();
  int wait_for_data_process();
  /// Sends a request and waits for its reply; nullopt if the data process is gone.
  std::optional<nlohmann::json> ask(const nlohmann::json& request);
  Guest* find(const std::string& name);

  transport::UniqueFd channel_;
  pid_t data_process_;
  std::vector<InterfaceFile> files_;
  Settings settings_;
  Readiness ready_;
  transport::UniqueFd signals_;
  std::vector<Guest> guests_;              // that are up, in order
  std::deque<Heard> unhandled_;            // said while we waited for a reply
  std::vector<SocketFile> sockets_;        // of the data process, to remove if it dies without a word
  const Descriptors* listener_ = nullptr;  // output and error of who asked for what is being done, if any
  bool data_process_gone_ = false;
};

}  // namespace hats::app
