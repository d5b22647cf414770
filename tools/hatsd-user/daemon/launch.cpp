#include "tools/hatsd-user/daemon/launch.hpp"

#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "tools/hatsd-user/daemon/channel.hpp"
#include "tools/hatsd-user/daemon/data_process.hpp"
#include "tools/hatsd-user/daemon/keeper.hpp"
#include "tools/hatsd-user/daemon/local_host.hpp"
#include "tools/hatsd-user/daemon/log.hpp"
#include "tools/hatsd-user/daemon/privileges.hpp"
#include "tools/hatsd-user/daemon/readiness.hpp"

namespace hats::app {

namespace {

Readiness begin(const Settings& settings) {
  Readiness ready = settings.foreground ? Readiness() : fork_daemon();
  protect_secrets();
  set_up_log(LogTo::standard_error, settings.foreground || settings.log_level_given
                                        ? settings.log_level
                                        : std::min(settings.log_level, LogLevel::warning));
  return ready;
}

int finish(int code, Readiness& ready) {
  ready.report(code);
  return code;
}

bool needs_keeper(const std::vector<InterfaceFile>& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const InterfaceFile& file) { return HostSetup::needs_keeper(file.config); });
}

int launch_kept(std::vector<InterfaceFile> files, const Settings& settings, Readiness ready) {
  auto [ours, theirs] = make_channel();
  const pid_t keeper = getpid();
  const pid_t child = fork();
  if (child < 0) {
    spdlog::error("{}", errno_text("fork", errno));
    return finish(kExitFailure, ready);
  }
  if (child == 0) {
    // It dies with its keeper: the channel ends then, and this is for a keeper killed while the child is
    // busy.
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != keeper) _exit(kExitFailure);
    ours.reset();
    ready = Readiness();
    return run_data_process(
        {.files = std::move(files), .bare = {}, .settings = settings, .keeper = std::move(theirs)},
        Readiness());
  }
  theirs.reset();
  return Keeper(std::move(ours), child, std::move(files), settings, std::move(ready)).run();
}

}  // namespace

int launch_files(std::vector<InterfaceFile> files, const Settings& settings,
                 transport::UniqueFd launcher_only) {
  Readiness ready = begin(settings);
  launcher_only.reset();
  if (needs_keeper(files)) return launch_kept(std::move(files), settings, std::move(ready));
  return run_data_process({.files = std::move(files), .bare = {}, .settings = settings, .keeper = {}},
                          std::move(ready));
}

int launch_bare(const Interface::Options& options, const Settings& settings) {
  return run_data_process({.files = {}, .bare = {options}, .settings = settings, .keeper = {}},
                          begin(settings));
}

}  // namespace hats::app
