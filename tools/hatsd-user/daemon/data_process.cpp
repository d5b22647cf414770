#include "tools/hatsd-user/daemon/data_process.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <utility>

#include "crypto/rng.hpp"
#include "tools/hatsd-user/daemon/daemon.hpp"
#include "tools/hatsd-user/daemon/keeper_link.hpp"
#include "tools/hatsd-user/daemon/local_host.hpp"
#include "tools/hatsd-user/daemon/log.hpp"
#include "tools/hatsd-user/daemon/notify.hpp"
#include "tools/hatsd-user/daemon/privileges.hpp"
#include "tools/hatsd-user/daemon/stop_signals.hpp"

namespace hats::app {

namespace {

using Descriptor = boost::asio::posix::stream_descriptor;

/// Calls `act` each time a stop signal comes.
class SignalWatch {
 public:
  SignalWatch(boost::asio::io_context& io, int fd, std::function<void()> act)
      : descriptor_(io, fd), act_(std::move(act)) {
    wait();
  }
  ~SignalWatch() { descriptor_.release(); }  // its owner closes it
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  void wait() {
    descriptor_.async_wait(Descriptor::wait_read, [this](boost::system::error_code error) {
      if (error) return;
      if (consume_stop_signal(descriptor_.native_handle())) act_();
      wait();
    });
  }
  Descriptor descriptor_;
  std::function<void()> act_;
};

int give_up(const AppError& error) {
  spdlog::error("{}", error.message);
  return error.exit_code;
}

AppResult<void> make_interfaces(Daemon& daemon, const DataProcess& process) {
  for (const InterfaceFile& file : process.files) {
    auto made = daemon.add(interface_options(file, process.settings));
    if (!made) return std::unexpected(made.error());
    (*made)->set_file_warnings(file.warnings());
  }
  for (const Interface::Options& options : process.bare) {
    if (auto made = daemon.add(options); !made) return std::unexpected(made.error());
  }
  return daemon.serve_control();
}

}  // namespace

bool logs_to_syslog(const Settings& settings) {
  return !settings.foreground;
}

int run_data_process(DataProcess process, Readiness ready) {
  protect_secrets();
  if (!crypto::initialise()) return give_up({"no randomness: libsodium cannot start"});
  const transport::UniqueFd signals = take_stop_signals();
  Daemon daemon(process.settings);
  const bool raw_tunnels =
      std::any_of(process.files.begin(), process.files.end(),
                  [](const InterfaceFile& file) { return file.config.tunnel.has_value(); });
  if (auto started = daemon.start(raw_tunnels); !started) return give_up(started.error());
  if (auto made = make_interfaces(daemon, process); !made) return give_up(made.error());

  if (process.keeper) {
    KeeperLink keeper(daemon, std::move(process.keeper), std::move(process.files), process.settings);
    daemon.set_host(keeper, false);
    const SignalWatch watch(daemon.io(), signals.get(), [&] { keeper.ask_to_stop(); });
    daemon.run();
    return 0;
  }

  LocalHost host(signals.get());
  daemon.set_host(host, true);
  const SignalWatch watch(daemon.io(), signals.get(), [&] {
    notify_service_manager("STOPPING=1");
    daemon.end_all();
  });
  for (InterfaceFile& file : process.files) {
    // `tunnel add` makes the device alone; the guide's next lines are ip's.
    if (file.sources.format == config::Format::ip_tunnel) continue;
    Interface* interface = daemon.find(file.name);
    if (auto up = host.up(*interface, file); !up) {
      const int code = give_up(up.error());
      daemon.end_all();
      return code;
    }
    file.sources.wipe();
  }
  process.files.clear();
  if (logs_to_syslog(process.settings)) set_up_log(LogTo::system_log, process.settings.log_level);
  ready.report(0);
  notify_service_manager("READY=1");
  daemon.run();
  return 0;
}

}  // namespace hats::app
