#include "tools/hatsd-user/daemon/keeper.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "tools/hatsd-user/control/uapi_server.hpp"
#include "tools/hatsd-user/daemon/borrowed_output.hpp"
#include "tools/hatsd-user/daemon/channel.hpp"
#include "tools/hatsd-user/daemon/data_process.hpp"
#include "tools/hatsd-user/daemon/local_host.hpp"
#include "tools/hatsd-user/daemon/log.hpp"
#include "tools/hatsd-user/daemon/notify.hpp"
#include "tools/hatsd-user/daemon/stop_signals.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"

namespace hats::app {

using nlohmann::json;

/// A device in the data process, as HostSetup sees it.
class Keeper::Device final : public DeviceControl {
 public:
  Device(Keeper& keeper, std::string name) : keeper_(keeper), name_(std::move(name)) {}

  std::expected<void, ConfigError> configure(const config::InterfaceConfig&) override {
    return outcome(keeper_.ask({{"do", "configure"}, {"name", name_}}));
  }
  std::expected<void, ConfigError> reconfigure(const config::InterfaceConfig&,
                                               const config::InterfaceConfig&) override {
    return outcome(keeper_.ask({{"do", "reconfigure"}, {"name", name_}}));
  }
  std::expected<wg::DeviceSnapshot, std::string> snapshot() override {
    const auto reply = keeper_.ask({{"do", "snapshot"}, {"name", name_}});
    auto out = reply && reply->contains("snapshot") ? snapshot_from_json((*reply)["snapshot"]) : std::nullopt;
    if (!out) return std::unexpected(std::string(kGone));
    return std::move(*out);
  }
  std::expected<void, std::string> set_fwmark(uint32_t mark) override {
    const auto reply = keeper_.ask({{"do", "set_fwmark"}, {"name", name_}, {"mark", mark}});
    if (!reply) return std::unexpected(std::string(kGone));
    if (reply->contains("error")) return std::unexpected(reply->value("error", ""));
    return {};
  }
  void set_warnings(std::vector<std::string> texts) override {
    (void)keeper_.ask({{"do", "set_warnings"}, {"name", name_}, {"texts", std::move(texts)}});
  }

 private:
  static constexpr const char* kGone = "the interface's process is gone";

  static std::expected<void, ConfigError> outcome(const std::optional<json>& reply) {
    if (!reply) return std::unexpected(ConfigError{.key = {}, .message = kGone});
    if (!reply->contains("error")) return {};
    return std::unexpected(ConfigError{.line = reply->value("line", 1),
                                       .key = reply->value("key", ""),
                                       .message = reply->value("error", ""),
                                       .file = reply->value("file", "")});
  }

  Keeper& keeper_;
  std::string name_;
};

Keeper::Keeper(transport::UniqueFd channel, pid_t data_process, std::vector<InterfaceFile> files,
               const Settings& settings, Readiness ready)
    : channel_(std::move(channel)),
      data_process_(data_process),
      files_(std::move(files)),
      settings_(settings),
      ready_(std::move(ready)),
      signals_(take_stop_signals()) {}

int Keeper::run() {
  if (!wait_until_created()) return wait_for_data_process();
  remember_sockets();
  if (!bring_up()) {
    end_all();
    (void)send_message(channel_.get(), {{"do", "quit"}});
    (void)wait_for_data_process();
    return kExitFailure;
  }
  for (InterfaceFile& file : files_) {
    file.sources.wipe();
  }
  files_.clear();
  (void)ask({{"do", "ready"}});
  if (logs_to_syslog(settings_)) set_up_log(LogTo::system_log, settings_.log_level);
  ready_.report(0);
  notify_service_manager("READY=1");
  serve();
  (void)send_message(channel_.get(), {{"do", "quit"}});
  (void)wait_for_data_process();
  if (!data_process_gone_) return 0;
  for (const SocketFile& socket : sockets_) socket.remove();  // it could not
  remove_run_directory_if_unused();
  return kExitFailure;
}

void Keeper::remember_sockets() {
  std::vector<std::string> paths{std::string(kRunDirectory) + "/" + std::to_string(data_process_) + ".sock"};
  for (const InterfaceFile& file : files_) {
    paths.push_back(std::string(kUapiDirectory) + "/" + file.name + ".sock");
  }
  for (const std::string& path : paths) {
    if (const auto socket = SocketFile::at(path)) sockets_.push_back(*socket);
  }
}

bool Keeper::wait_until_created() {
  const auto message = receive_message(channel_.get());
  return message && message->value("say", "") == "created";
}

bool Keeper::bring_up() {
  for (InterfaceFile& file : files_) {
    HostSetup setup(std::move(file.config), file.name, file.path, host_options());
    Device device(*this, file.name);
    if (const auto done = setup.up(device); !done) {
      spdlog::error("{}", done.error().text(file.path));
      (void)ask({{"do", "remove"}, {"name", file.name}});
      setup.after_delete();
      return false;
    }
    guests_.push_back({.name = file.name, .path = file.path, .setup = std::move(setup)});
    (void)ask({{"do", "refresh"}, {"name", file.name}});
  }
  return true;
}

void Keeper::serve() {
  while (!guests_.empty() && !data_process_gone_) {
    if (!unhandled_.empty()) {
      const Heard heard = std::move(unhandled_.front());
      unhandled_.pop_front();
      handle(heard);
      continue;
    }
    std::array<pollfd, 2> wait{{{signals_.get(), POLLIN, 0}, {channel_.get(), POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) break;
    if (wait[0].revents != 0 && consume_stop_signal(signals_.get())) {
      notify_service_manager("STOPPING=1");
      end_all();
    } else if (wait[1].revents != 0) {
      if (auto heard = hear()) {
        handle(*heard);
      } else {
        data_process_gone_ = true;
      }
    }
  }
  if (data_process_gone_) data_process_died();
}

std::optional<Keeper::Heard> Keeper::hear() {
  Heard out;
  auto message = receive_message(channel_.get(), out.descriptors);
  if (!message) return std::nullopt;
  out.message = std::move(*message);
  return out;
}

void Keeper::handle(const Heard& heard) {
  const json& message = heard.message;
  const std::string what = message.value("say", "");
  const std::string name = message.value("name", "");
  if (what == "end") {
    end(name, message.value("link_gone", false), heard.descriptors);
  } else if (what == "reload") {
    reload(name);
  } else if (what == "stop") {
    notify_service_manager("STOPPING=1");
    end_all();
  }
}

/// Warnings go to the log, and to whoever waits for what we do.
HostOptions Keeper::host_options() {
  HostOptions options = logging_host_options(signals_.get());
  options.warn = [this](const std::string& text) {
    spdlog::warn("{}", text);
    if (listener_ == nullptr || listener_->size() < 2) return;
    const std::string line = "hatsd-user: warning: " + text + "\n";
    (void)!write((*listener_)[1].get(), line.data(), line.size());
  };
  return options;
}

void Keeper::end(const std::string& name, bool link_gone, const Descriptors& output) {
  // In the foreground we have an output of our own, which somebody reads.
  const Descriptors none;
  const BorrowedOutput borrowed(logs_to_syslog(settings_) ? output : none);
  listener_ = &output;
  if (Guest* guest = find(name)) {
    Device device(*this, name);
    guest->setup.before_delete(link_gone || data_process_gone_ ? nullptr : &device);
    (void)ask({{"do", "remove"}, {"name", name}});
    guest->setup.after_delete();
    guests_.erase(guests_.begin() + (guest - guests_.data()));
  }
  listener_ = nullptr;
  (void)send_message(channel_.get(), {{"do", "ended"}, {"name", name}});
}

void Keeper::end_all() {
  while (!guests_.empty()) end(guests_.back().name, false, {});
}

void Keeper::data_process_died() {
  spdlog::error("the data process died; undoing what its interfaces did to the host");
  while (!guests_.empty()) {
    guests_.back().setup.before_delete(nullptr);
    guests_.back().setup.after_delete();
    guests_.pop_back();
  }
}

void Keeper::reload(const std::string& name) {
  json answer = {{"do", "reloaded"}, {"name", name}};
  Guest* guest = find(name);
  auto reply = ask({{"do", "reload_sources"}, {"name", name}});
  if (guest == nullptr || !reply) return;
  auto file = parse_interface_file(name, guest->path, {}, sources_from_json((*reply)["sources"]));
  if (!file) {
    answer["error"] = file.error().message;
    answer["exit_code"] = file.error().exit_code;
  } else {
    Device device(*this, name);
    if (const auto done = guest->setup.reload(std::move(file->config), device); !done) {
      answer["error"] = done.error().text(guest->path);
    }
    file->sources.wipe();
  }
  (void)send_message(channel_.get(), answer);
}

std::optional<json> Keeper::ask(const json& request) {
  if (data_process_gone_ || !send_message(channel_.get(), request)) {
    data_process_gone_ = true;
    return std::nullopt;
  }
  while (auto heard = hear()) {
    if (heard->message.contains("reply")) return std::move(heard->message["reply"]);
    unhandled_.push_back(std::move(*heard));
  }
  data_process_gone_ = true;
  return std::nullopt;
}

Keeper::Guest* Keeper::find(const std::string& name) {
  const auto found =
      std::find_if(guests_.begin(), guests_.end(), [&](const Guest& guest) { return guest.name == name; });
  return found == guests_.end() ? nullptr : &*found;
}

int Keeper::wait_for_data_process() {
  int status = 0;
  while (waitpid(data_process_, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitFailure;
}

}  // namespace hats::app
