// HostSetup: the host's side of an interface that a file describes (formats.md 1.4 to 1.6; wg-quick(8) up and
// down; and what networkd and netplan give a tunnel): hooks, addresses, MTU, DNS, routes, policy rules and
// the way back. It belongs to the launching process, which has root's rights and handles no packet; that
// process stays as the keeper if needs_keeper(). One thread, one network namespace: the caller's at
// construction time and after.
//
//   the device exists -> up(): PreUp, keys and peers, addresses, MTU and link up, DNS, routes, PostUp
//   before_delete(): PreDown, SaveConfig, DNS, firewall, rules -> the caller deletes the device ->
//   after_delete(): PostDown
//
// A failed up() has called before_delete()'s part itself; the caller deletes the device and calls
// after_delete().
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/quick/device_control.hpp"
#include "tools/hatsd-user/quick/route_cover.hpp"
#include "tools/hatsd-user/quick/run_directory.hpp"
#include "tools/hatsd-user/quick/undo_record.hpp"
#include "tun/link.hpp"

namespace hats::app {

struct HostOptions {
  std::string run_directory = kRunDirectory;
  /// While it is readable, up() and its hooks end and are undone. -1: none. Not looked at on the way down.
  int interrupt_fd = -1;
  std::function<void(const std::string&)> warn = [](const std::string&) {
  };  // "FILE:LINE: KEY: ..." or a sentence
  std::function<void(const std::string&)> note = [](const std::string&) {};  // each hook before it runs
};

/// Which line of the file could not be carried out, and why.
using SetupError = ConfigError;

class HostSetup {
 public:
  /// `file` is the path of the configuration, for messages and SaveConfig.
  HostSetup(config::InterfaceConfig config, std::string interface, std::string file, HostOptions options);

  /// True if another process than the data process must do this: one with all of root's rights, for hooks
  /// (which may also speak to the device while they run), DNS, SaveConfig and a default route by policy.
  /// The key of `next` for which needs_keeper() holds, as the fault of a reload without a keeper.
  [[nodiscard]] std::optional<SetupError> keeper_reason(const config::InterfaceConfig& next) const;
  [[nodiscard]] static bool needs_keeper(const config::InterfaceConfig& config);

  /// That the file sets DNS, and this host lacks the program for it: up() of it is refused.
  [[nodiscard]] static std::optional<SetupError> dns_fault(const config::InterfaceConfig& config,
                                                           const std::string& file);

  /// The device exists, is down and has no configuration. All or nothing: on an error, or when interrupted,
  /// everything is undone but the device itself (see above).
  [[nodiscard]] std::expected<void, SetupError> up(DeviceControl& device);

  /// `device` is null if the link or its process is gone: then PreDown is not run and nothing can be saved.
  /// Faults are warnings: the way down does not stop.
  void before_delete(DeviceControl* device);
  void after_delete();

  /// Applies a changed file: addresses, MTU, DNS, routes and the device's peers that differ; the rest is not
  /// touched. PreUp and PostUp are not run; PreDown and PostDown are the new file's from now on. On an error
  /// what came before it in this list is applied, and reload() may be called again.
  [[nodiscard]] std::expected<void, SetupError> reload(config::InterfaceConfig next, DeviceControl& device);

  /// Finishes what a process that died left for `interface` in this network namespace; its link is gone. True
  /// if there was something. The error says who is still responsible, or what cannot be read.
  static std::expected<bool, std::string> finish_undo(const std::string& interface,
                                                      const HostOptions& options);

  [[nodiscard]] const config::InterfaceConfig& config() const { return config_; }

 private:
  using Done = std::expected<void, SetupError>;
  struct WantedRoute {
    Prefix destination;
    int line = 0;
  };

  Done bring_up(DeviceControl& device);
  Done open();
  Done run_hooks(const std::vector<config::Hook>& hooks, const char* key);
  void run_down_hooks(const std::vector<config::Hook>& hooks, const char* key);
  Done owe_post_down();
  Done add_address(const config::InterfaceAddress& address);
  Done set_mtu(DeviceControl& device, const config::InterfaceConfig& config);
  [[nodiscard]] uint32_t wanted_mtu(const config::InterfaceConfig& config, const wg::DeviceSnapshot& device);
  void warn_of_mtu(const config::InterfaceConfig& config, uint32_t mtu, const wg::DeviceSnapshot& device);
  [[nodiscard]] int mtu_line(const config::InterfaceConfig& config) const;
  Done set_dns(const config::InterfaceConfig& config);
  void unset_dns();
  Done add_written_routes(const std::vector<config::InterfaceRoute>& routes);
  Done add_written_route(const config::InterfaceRoute& route);
  [[nodiscard]] std::optional<tun::Route> written_route(const config::InterfaceRoute& route) const;
  Done reload_written_routes(const config::InterfaceConfig& next);
  Done add_routes(DeviceControl& device, const std::vector<WantedRoute>& wanted);
  Done add_route(DeviceControl& device, const WantedRoute& wanted, RouteCover& present);
  Done add_plain_route(const WantedRoute& wanted, uint32_t table);
  Done add_default_route(DeviceControl& device, const WantedRoute& wanted);
  Done choose_default_table(DeviceControl& device, const WantedRoute& wanted);
  Done add_default_rules(const WantedRoute& wanted);
  Done add_firewall(const WantedRoute& wanted);
  void set_src_valid_mark();
  void remove_default_route(Family family);
  Done apply_difference(config::InterfaceConfig next, DeviceControl& device);
  Done reload_addresses(const config::InterfaceConfig& next);
  Done reload_mtu(DeviceControl& device, const config::InterfaceConfig& next);
  Done reload_routes(DeviceControl& device);
  Done interrupted() const;
  void save(DeviceControl& device);
  void undo_all_but_hooks();
  void undo_where(const std::function<bool(const UndoItem&)>& which);
  [[nodiscard]] std::vector<WantedRoute> wanted_routes(const wg::DeviceSnapshot& device) const;
  [[nodiscard]] std::vector<UndoHook> post_down_hooks(const config::InterfaceConfig& config) const;
  [[nodiscard]] static int line_in(const std::string& file, const char* key);
  [[nodiscard]] int line_of(const char* key) const { return line_in(file_, key); }
  void warn_at(int line, const char* key, const std::string& message, const std::string& file = {});
  void warn(const std::string& key, const std::string& text);
  /// Before what gave warnings of that key is done again.
  void forget_warnings(const std::string& key);
  void hand_over_warnings(DeviceControl& device);
  [[nodiscard]] std::unexpected<SetupError> fail(int line, const char* key, std::string message,
                                                 const std::string& file = {}) const;

  config::InterfaceConfig config_;
  std::string interface_, file_;
  HostOptions options_;
  UndoRecord record_;
  std::unique_ptr<tun::Netlink> netlink_;  // from open() on
  uint32_t index_ = 0;
  std::vector<tun::Route> routes_;  // of AllowedIPs that we added, default routes in default_table_ included
  uint32_t default_table_ = 0;      // and mark, once a default route by policy was made
  bool post_up_begun_ = false;
  struct Standing {
    std::string key, text;
  };
  std::vector<Standing> standing_;  // warnings, for `show`
};

}  // namespace hats::app
