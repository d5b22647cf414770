#include "tools/hatsd-user/daemon/local_host.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace hats::app {

HostOptions logging_host_options(int interrupt_fd) {
  HostOptions options;
  options.interrupt_fd = interrupt_fd;
  options.warn = [](const std::string& text) { spdlog::warn("{}", text); };
  options.note = [](const std::string& text) { spdlog::info("{}", text); };
  return options;
}

AppResult<void> LocalHost::up(Interface& interface, InterfaceFile& file) {
  HostSetup setup(std::move(file.config), file.name, file.path, logging_host_options(interrupt_fd_));
  if (auto done = setup.up(interface); !done) return fail(done.error().text(file.path));
  setups_.emplace(interface.id(), std::move(setup));
  interface.refresh_link();
  return {};
}

void LocalHost::end(Interface& interface, Ending why, const Descriptors&, std::function<void()> remove,
                    std::function<void()> done) {
  const auto found = setups_.find(interface.id());
  if (found == setups_.end()) {
    remove();
    done();
    return;
  }
  HostSetup setup = std::move(found->second);
  setups_.erase(found);
  setup.before_delete(why == Ending::link_gone ? nullptr : &interface);
  remove();
  setup.after_delete();
  done();
}

void LocalHost::reload(Interface& interface, InterfaceSources sources,
                       std::function<void(AppResult<void>)> done) {
  const auto found = setups_.find(interface.id());
  if (found == setups_.end()) {
    done(fail(interface.name() + " was not brought up from a file"));
    return;
  }
  auto file = parse_interface_file(interface.name(), interface.file(), {}, std::move(sources));
  if (!file) {
    done(std::unexpected(file.error()));
    return;
  }
  // A hook must not run in this process: it may wait for the very device that waits for it, and it lacks
  // root's rights.
  if (const auto reason = found->second.keeper_reason(file->config)) {
    done(fail(reason->text(interface.file())));
    return;
  }
  std::vector<std::string> warnings = file->warnings();
  auto reloaded = found->second.reload(std::move(file->config), interface);
  file->sources.wipe();
  if (!reloaded) {
    done(fail(reloaded.error().text(interface.file())));
    return;
  }
  interface.set_file_warnings(std::move(warnings));
  interface.refresh_link();
  done({});
}

}  // namespace hats::app
