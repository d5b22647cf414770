// One WireGuard interface as the control thread sees it: besides what every interface has, its wg socket and
// its names to look up. Every change to the device goes through here.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/control/uapi_server.hpp"
#include "tools/hatsd-user/daemon/endpoint_resolver.hpp"
#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/wg_tunnel.hpp"

namespace hats::app {

/// The MTU of a new interface, as of the kernel's (formats.md 6.6).
inline constexpr uint32_t kDefaultMtu = 1420;

class WgInterface final : public Interface, public UapiTarget {
 public:
  static AppResult<std::unique_ptr<WgInterface>> create(const Options& options, const Surroundings& around,
                                                        Ended ended);
  ~WgInterface() override;  // besides, the wg socket is removed

  // DeviceControl: for the host set-up.
  [[nodiscard]] std::expected<void, ConfigError> configure(const config::InterfaceConfig& config) override;
  [[nodiscard]] std::expected<void, ConfigError> reconfigure(
      const config::InterfaceConfig& old_config, const config::InterfaceConfig& new_config) override;
  [[nodiscard]] std::expected<wg::DeviceSnapshot, std::string> snapshot() override;
  [[nodiscard]] std::expected<void, std::string> set_fwmark(uint32_t mark) override;

  // UapiTarget: for wg(8).
  int uapi_set(wg::DeviceUpdate update) override;
  wg::DeviceSnapshot uapi_get() override;

  /// Forgets sticky sources that the routing table no longer agrees with (formats.md 6.6), and looks whether
  /// the MTU still fits the paths.
  void check_routes() override;
  void check_names() override;
  [[nodiscard]] nlohmann::json status() override;

 private:
  WgInterface(Options options, const Surroundings& around, Ended ended);
  AppResult<void> start();
  /// Binds to `port`, unless it is bound there already. 0 or errno; on failure the old sockets stay.
  int set_port(uint16_t port);
  int set_mark(uint32_t mark);
  /// The errno of what was refused, or 0 each.
  struct Refused {
    int port = 0, mark = 0;
    explicit operator bool() const { return port != 0 || mark != 0; }
  };
  Refused carry_out(wg::DeviceUpdate update);
  /// Carries out what a file says; the fault names its key. `port_line`: of ListenPort.
  std::expected<void, ConfigError> configure_device(wg::DeviceUpdate update, int port_line);
  int ensure_sockets();
  void apply(const wg::DeviceUpdate& update);
  void take_advertisements(bool accept);
  void watch_names(const config::InterfaceConfig& config);
  /// Warns once if the MTU has become too large for a path, which a route or a name may lead elsewhere now
  /// (formats.md 7), and takes the warning back when it fits again.
  void check_paths(const std::vector<wg::PeerStatus>& peers);
  [[nodiscard]] std::vector<wg::PeerStatus> peer_status();
  /// A device that comes up has sockets.
  int set_link(uint32_t mtu, bool up) override;

  WgTunnel* tunnel_ = nullptr;  // on the worker
  std::unique_ptr<UapiServer> uapi_;
  EndpointResolver resolver_;
  uint16_t asked_port_ = 0;  // what was asked for; the bound one may be random
  uint16_t bound_port_ = 0;  // 0: no sockets yet
  uint32_t fwmark_ = 0;
  transport::UdpFeatures udp_features_;
};

}  // namespace hats::app
