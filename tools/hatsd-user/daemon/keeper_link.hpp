// The data process's end of the channel to its keeper: carries out what the host set-up asks of a device, and
// has the keeper undo the host's part when an interface ends.
//
// The keeper asks {"do":...} and waits for {"reply":...}; we say {"say":...} and wait for nothing. What we
// say of our own accord is small, so that the two can never both be stuck in sending.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/daemon.hpp"
#include "tools/hatsd-user/daemon/host_side.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

class KeeperLink final : public HostSide {
 public:
  /// Tells the keeper that all interfaces exist.
  KeeperLink(Daemon& daemon, transport::UniqueFd channel, std::vector<InterfaceFile> files,
             const Settings& settings);
  ~KeeperLink() override;

  void end(Interface& interface, Ending why, const Descriptors& output, std::function<void()> remove,
           std::function<void()> done) override;
  void reload(Interface& interface, InterfaceSources sources,
              std::function<void(AppResult<void>)> done) override;
  /// Has the keeper end everything.
  void ask_to_stop();

 private:
  struct Pending {
    std::function<void()> remove, done;
  };
  struct Reload {
    InterfaceSources sources;
    std::function<void(AppResult<void>)> done;
  };
  void wait();
  void keeper_died();
  nlohmann::json carry_out(const std::string& what, const std::string& name, const nlohmann::json& message);
  nlohmann::json configure(Interface& interface);
  nlohmann::json reconfigure(Interface& interface);
  void finish_reload(const std::string& name, const nlohmann::json& message);
  void become_quiet();

  Daemon& daemon_;
  transport::UniqueFd channel_;
  boost::asio::posix::stream_descriptor readable_;
  std::vector<InterfaceFile> files_;
  Settings settings_;
  std::map<std::string, Pending> ending_;
  std::map<std::string, Reload> reloading_;
};

}  // namespace hats::app
