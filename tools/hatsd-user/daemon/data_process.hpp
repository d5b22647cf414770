// The process that handles packets, from its first step to its end.
#pragma once

#include <vector>

#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/daemon/readiness.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

struct DataProcess {
  std::vector<InterfaceFile> files;      // of `up`
  std::vector<Interface::Options> bare;  // or one bare NAME
  Settings settings;
  transport::UniqueFd keeper;  // the channel to the keeper, where there is one
};

/// Runs it; returns the exit code. Without a keeper it reports readiness itself.
[[nodiscard]] int run_data_process(DataProcess process, Readiness ready);

/// Where the log goes once everything is up.
[[nodiscard]] bool logs_to_syslog(const Settings& settings);

}  // namespace hats::app
