// Who carries out the host's part of ending or reloading an interface: this process itself, or its keeper
// (DESIGN.md 5). The daemon asks; it never runs a hook.
#pragma once

#include <functional>
#include <string>

#include "tools/hatsd-user/control/descriptors.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"

namespace hats::app {

class HostSide {
 public:
  HostSide() = default;
  HostSide(const HostSide&) = delete;
  HostSide& operator=(const HostSide&) = delete;
  virtual ~HostSide() = default;

  /// Undoes what stands before deletion, calls `remove`, undoes the rest, calls `done`. May call both before
  /// it returns, or later. `output`: output and error of who asked for it by `down`, or none.
  virtual void end(Interface& interface, Ending why, const Descriptors& output, std::function<void()> remove,
                   std::function<void()> done) = 0;
  /// Applies a changed configuration.
  virtual void reload(Interface& interface, InterfaceSources sources,
                      std::function<void(AppResult<void>)> done) = 0;
};

}  // namespace hats::app
