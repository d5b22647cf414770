// The host side without a keeper: nothing but netlink is to be undone, and it goes with the link or can be
// done by the daemon itself. Also for a bare NAME, whose host side is somebody else's (wg-quick's).
#pragma once

#include <map>
#include <string>

#include "tools/hatsd-user/daemon/host_side.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/quick/host_setup.hpp"

namespace hats::app {

class LocalHost final : public HostSide {
 public:
  /// `interrupt_fd`: readable when the start is to be given up.
  explicit LocalHost(int interrupt_fd) : interrupt_fd_(interrupt_fd) {}

  /// Brings up the host side of a new interface, and takes the configuration. On an error only the device is
  /// left.
  AppResult<void> up(Interface& interface, InterfaceFile& file);

  void end(Interface& interface, Ending why, const Descriptors& output, std::function<void()> remove,
           std::function<void()> done) override;
  void reload(Interface& interface, InterfaceSources sources,
              std::function<void(AppResult<void>)> done) override;

 private:
  int interrupt_fd_;
  std::map<std::string, HostSetup> setups_;  // by the interface's id
};

/// The options that every HostSetup of ours is made with: warnings and notes go to the log.
[[nodiscard]] HostOptions logging_host_options(int interrupt_fd);

}  // namespace hats::app
