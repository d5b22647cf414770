#include "tools/hatsd-user/daemon/keeper_link.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "tools/hatsd-user/daemon/channel.hpp"
#include "tools/hatsd-user/daemon/data_process.hpp"
#include "tools/hatsd-user/daemon/log.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

json fault(const ConfigError& error) {
  return {{"line", error.line}, {"key", error.key}, {"error", error.message}, {"file", error.file}};
}

json outcome(const std::expected<void, ConfigError>& done) {
  return done ? json::object() : fault(done.error());
}

}  // namespace

KeeperLink::KeeperLink(Daemon& daemon, transport::UniqueFd channel, std::vector<InterfaceFile> files,
                       const Settings& settings)
    : daemon_(daemon),
      channel_(std::move(channel)),
      readable_(daemon.io(), channel_.get()),
      files_(std::move(files)),
      settings_(settings) {
  for (InterfaceFile& file : files_) file.sources.wipe();  // parsed already
  (void)send_message(channel_.get(), {{"say", "created"}});
  wait();
}

KeeperLink::~KeeperLink() {
  readable_.release();
}

void KeeperLink::wait() {
  readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [this](boost::system::error_code error) {
                         if (error) return;
                         const auto message = receive_message(channel_.get());
                         if (!message) {
                           keeper_died();
                           return;
                         }
                         const std::string what = message->value("do", "");
                         const std::string name = message->value("name", "");
                         if (what == "quit") {
                           daemon_.stop();
                           return;
                         }
                         if (what == "ended") {
                           if (auto pending = ending_.extract(name)) pending.mapped().done();
                         } else if (what == "reloaded") {
                           finish_reload(name, *message);
                         } else {
                           (void)send_message(channel_.get(), {{"reply", carry_out(what, name, *message)}});
                         }
                         wait();
                       });
}

void KeeperLink::keeper_died() {
  spdlog::error("the keeper is gone: ending; `hatsd-user down` undoes what it left");
  for (Interface* interface : daemon_.interfaces()) daemon_.remove(*interface);
  daemon_.stop();
}

json KeeperLink::carry_out(const std::string& what, const std::string& name, const json& message) {
  if (what == "ready") {
    become_quiet();
    return json::object();
  }
  if (what == "reload_sources") {
    return {
        {"sources", reloading_.contains(name) ? sources_to_json(reloading_[name].sources) : json::object()}};
  }
  if (what == "remove") {
    if (const auto pending = ending_.find(name); pending != ending_.end()) {
      pending->second.remove();
    } else if (Interface* interface = daemon_.find(name)) {
      daemon_.remove(*interface);
    }
    return json::object();
  }
  Interface* interface = daemon_.find(name);
  if (interface == nullptr) return {{"error", "the interface is gone"}};
  if (what == "configure") return configure(*interface);
  if (what == "reconfigure") return reconfigure(*interface);
  if (what == "snapshot") return {{"snapshot", snapshot_to_json(*interface->snapshot())}};
  if (what == "refresh") {
    interface->refresh_link();
    return json::object();
  }
  if (what == "set_warnings") {
    interface->set_warnings(message.value("texts", std::vector<std::string>()));
    return json::object();
  }
  if (what == "set_fwmark") {
    const auto set = interface->set_fwmark(message.value("mark", uint32_t{0}));
    return set ? json::object() : json{{"error", set.error()}};
  }
  return {{"error", "unknown request"}};
}

json KeeperLink::configure(Interface& interface) {
  const auto file = std::find_if(files_.begin(), files_.end(), [&](const InterfaceFile& candidate) {
    return candidate.name == interface.name();
  });
  if (file == files_.end()) return {{"error", "no such file"}};
  return outcome(interface.configure(file->config));
}

json KeeperLink::reconfigure(Interface& interface) {
  const auto file = std::find_if(files_.begin(), files_.end(), [&](const InterfaceFile& candidate) {
    return candidate.name == interface.name();
  });
  if (file == files_.end() || !reloading_.contains(interface.name())) return {{"error", "no such file"}};
  auto next = parse_interface_file(file->name, file->path, file->found, reloading_[interface.name()].sources);
  if (!next) return {{"error", next.error().message}};
  const auto done = interface.reconfigure(file->config, next->config);
  if (done) {
    interface.set_file_warnings(next->warnings());
    next->sources.wipe();
    *file = std::move(*next);
  }
  return outcome(done);
}

void KeeperLink::end(Interface& interface, Ending why, const Descriptors& output,
                     std::function<void()> remove, std::function<void()> done) {
  const std::string& name = interface.name();
  ending_[name] = {std::move(remove), std::move(done)};
  std::vector<int> numbers;
  for (const transport::UniqueFd& one : output) numbers.push_back(one.get());
  const json message = {{"say", "end"}, {"name", name}, {"link_gone", why == Ending::link_gone}};
  (void)send_message(channel_.get(), message, numbers);
}

void KeeperLink::reload(Interface& interface, InterfaceSources sources,
                        std::function<void(AppResult<void>)> done) {
  const std::string& name = interface.name();
  if (reloading_.contains(name)) {
    done(fail(name + ": another reload is under way"));
    return;
  }
  reloading_[name] = {std::move(sources), std::move(done)};
  (void)send_message(channel_.get(), {{"say", "reload"}, {"name", name}});
}

void KeeperLink::finish_reload(const std::string& name, const json& message) {
  auto reload = reloading_.extract(name);
  if (!reload) return;
  reload.mapped().sources.wipe();
  const std::string error = message.value("error", "");
  reload.mapped().done(error.empty() ? AppResult<void>()
                                     : fail(error, message.value("exit_code", kExitFailure)));
  if (Interface* interface = daemon_.find(name)) interface->refresh_link();
}

void KeeperLink::ask_to_stop() {
  (void)send_message(channel_.get(), {{"say", "stop"}});
}

void KeeperLink::become_quiet() {
  if (!logs_to_syslog(settings_)) return;
  set_up_log(LogTo::system_log, settings_.log_level);
  leave_terminal();
}

}  // namespace hats::app
