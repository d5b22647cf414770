// One WireGuard interface as the control thread sees it: its tunnel on a worker, its wg socket, its names to
// look up, where its link is. Every change to the device goes through here.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/config/wg_quick.hpp"
#include "tools/hatsd-user/control/uapi_server.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/endpoint_resolver.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "tools/hatsd-user/daemon/worker.hpp"
#include "tools/hatsd-user/quick/device_control.hpp"
#include "tun/link.hpp"

namespace hats::app {

/// The MTU of a new interface, as of the kernel's (formats.md 6.6).
inline constexpr uint32_t kDefaultMtu = 1420;

/// Why an interface ends.
enum class Ending : uint8_t { asked, link_gone, socket_removed };

class WgInterface final : public DeviceControl, public UapiTarget {
 public:
  struct Options {
    std::string name;
    std::string file;  // of its configuration; empty for a bare NAME
    int tun_fd = -1;   // WG_TUN_FD
    int uapi_fd = -1;  // WG_UAPI_FD
    tun::OffloadChoice offload = tun::OffloadChoice::automatic;
  };
  struct Surroundings {
    boost::asio::io_context& io;
    Worker& worker;
    tun::Netlink& netlink;  // of the namespace where the process was born
  };
  /// Called on the control thread, once, when the interface ends by itself.
  using Ended = std::function<void(WgInterface&, Ending)>;

  static AppResult<std::unique_ptr<WgInterface>> create(const Options& options, const Surroundings& around,
                                                        Ended ended);
  ~WgInterface() override;  // the link vanishes, the sockets close, the wg socket is removed

  [[nodiscard]] const std::string& name() const { return options_.name; }
  [[nodiscard]] const std::string& file() const { return options_.file; }

  // DeviceControl: for the host set-up.
  [[nodiscard]] std::expected<void, ConfigError> configure(const config::InterfaceConfig& config) override;
  [[nodiscard]] std::expected<void, ConfigError> reconfigure(
      const config::InterfaceConfig& old_config, const config::InterfaceConfig& new_config) override;
  [[nodiscard]] std::expected<wg::DeviceSnapshot, std::string> snapshot() override;
  [[nodiscard]] std::expected<void, std::string> set_fwmark(uint32_t mark) override;

  // UapiTarget: for wg(8).
  int uapi_set(wg::DeviceUpdate update) override;
  wg::DeviceSnapshot uapi_get() override;

  // What the host's links and routes do.
  void link_event(const tun::LinkEvent& event);
  /// Reads MTU and up state, where they can be read: in the namespace of the process.
  void refresh_link();
  /// Forgets sticky sources that the routing table no longer agrees with (formats.md 6.6).
  void check_sources();
  /// Looks up names again where handshakes fail.
  void check_names();

  void add_warning(const std::string& text) override { warnings_.push_back(text); }
  /// Logs a warning and adds it to the standing ones.
  void warn(std::string text);

  [[nodiscard]] nlohmann::json status();
  /// The inode of the network namespace in which the link is now; 0 if it is nowhere.
  [[nodiscard]] ino_t present_namespace() const;
  /// True if the link exists, wherever it is.
  [[nodiscard]] bool is_live() const;

 private:
  WgInterface(Options options, const Surroundings& around, Ended ended);
  AppResult<void> start();
  /// Binds to `port`, unless it is bound there already. 0 or errno; on failure the old sockets stay.
  int set_port(uint16_t port);
  int set_mark(uint32_t mark);
  int carry_out(wg::DeviceUpdate update);
  int ensure_sockets();
  void apply(const wg::DeviceUpdate& update);
  void watch_names(const config::InterfaceConfig& config);
  void set_link(uint32_t mtu, bool up);
  void find_link(const tun::LinkEvent& event);
  void end(Ending why);

  Options options_;
  Surroundings around_;
  Ended ended_;
  WgTunnel* tunnel_ = nullptr;  // on the worker
  std::unique_ptr<UapiServer> uapi_;
  EndpointResolver resolver_;
  std::shared_ptr<WgInterface*>
      self_;  // nulled at the end, for calls that the worker sends to the control thread
  std::vector<std::string> warnings_;
  uint32_t index_ = 0;       // of the link, in the namespace where it is
  std::optional<int> nsid_;  // id of the namespace where a moved link is, if we know it
  bool moved_ = false;       // the link is in another namespace than the one it was born in
  uint32_t mtu_ = kDefaultMtu;
  bool up_ = false;
  uint16_t asked_port_ = 0;  // what was asked for; the bound one may be random
  uint16_t bound_port_ = 0;  // 0: no sockets yet
  uint32_t fwmark_ = 0;
  transport::UdpFeatures udp_features_;
  bool ended_already_ = false;
};

}  // namespace hats::app
