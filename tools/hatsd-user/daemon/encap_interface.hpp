// One interface of an unencrypted tunnel as the control thread sees it: besides what every interface has, the
// way to its remote, and what the kernel's own device would do when its link comes up.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/config/interface_config.hpp"
#include "tools/hatsd-user/daemon/encap_tunnel.hpp"
#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/raw_hub.hpp"

namespace hats::app {

class EncapInterface final : public Interface {
 public:
  /// `options.tunnel` is set. The hub is a member of `around.worker`. Error, too: another interface that is
  /// alike on the wire.
  static AppResult<std::unique_ptr<EncapInterface>> create(const Options& options, const Surroundings& around,
                                                           RawHub& hub, Ended ended);
  ~EncapInterface() override;

  // DeviceControl: for the host set-up. The tunnel has been what it is since its creation.
  [[nodiscard]] std::expected<void, ConfigError> configure(const config::InterfaceConfig& config) override;
  [[nodiscard]] std::expected<void, ConfigError> reconfigure(
      const config::InterfaceConfig& old_config, const config::InterfaceConfig& new_config) override;
  [[nodiscard]] std::expected<wg::DeviceSnapshot, std::string> snapshot() override { return {}; }
  [[nodiscard]] std::expected<void, std::string> set_fwmark(uint32_t /*mark*/) override { return {}; }

  [[nodiscard]] const encap::TunnelConfig* tunnel_config() const override { return &tunnel_config_; }
  AppResult<void> change_tunnel(const config::TunnelCommand& command) override;

  /// Looks up the way to the remote, and looks whether the MTU fits it.
  void check_routes() override;
  void check_names() override;
  [[nodiscard]] nlohmann::json status() override;

 private:
  EncapInterface(Options options, const Surroundings& around, RawHub& hub, Ended ended);
  AppResult<void> start();
  /// With the index of its underlay; the error is a sentence.
  std::expected<encap::TunnelConfig, std::string> resolve(const config::TunnelSpec& spec) const;
  /// Sockets for a tunnel whose channel has none.
  std::expected<RawChannel, std::string> sockets_for(const encap::TunnelConfig& tunnel);
  AppResult<void> change(const config::TunnelSpec& spec, const encap::TunnelConfig& tunnel);
  void follow_overhead(uint32_t before, uint32_t after);
  /// A link that goes and comes again under the same name has another index then.
  void follow_underlay();
  std::expected<tun::Route, std::string> find_path() const;
  void follow_path();
  /// Warns once if the MTU is too large for the path, and takes the warning back when it fits (formats.md 7).
  void warn_of_path();
  int set_link(uint32_t mtu, bool up) override;
  void noticed(Tunnel::Notice notice) override;
  [[nodiscard]] std::vector<IpAddress> link_local_addresses() const;
  void add_link_local();
  void change_link_local(config::LinkLocal form);
  /// In the place of those that the tunnel had `before` a change.
  void renew_link_local(const std::vector<IpAddress>& before);
  void take_advertisements(bool accept);
  void warn_of_module();

  RawHub& hub_;
  config::TunnelSpec spec_;
  encap::TunnelConfig tunnel_config_;
  std::string waiting_;                       // what the tunnel cannot work without; empty: nothing
  std::optional<encap::PathInfo> path_told_;  // what the node has heard last
  bool blocked_ = false;
  EncapTunnel* tunnel_ = nullptr;
};

}  // namespace hats::app
