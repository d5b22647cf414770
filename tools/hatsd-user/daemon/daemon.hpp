// The data process: control thread, workers, interfaces. It ends with its last interface.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/hatsd-user/control/control_server.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/host_side.hpp"
#include "tools/hatsd-user/daemon/icmp_sender.hpp"
#include "tools/hatsd-user/daemon/interface.hpp"
#include "tools/hatsd-user/daemon/raw_hub.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "tools/hatsd-user/daemon/worker.hpp"
#include "tun/link.hpp"

namespace hats::app {

class Daemon final : public ControlTarget {
 public:
  explicit Daemon(const Settings& settings) : settings_(settings) {}
  ~Daemon() override;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Opens what needs root's rights, gives them up, starts the workers. Before any other thread exists.
  /// `raw_tunnels`: keeps what unencrypted tunnels need, now or later.
  AppResult<void> start(bool raw_tunnels);
  /// Makes an interface: WireGuard on the worker that has the fewest, all unencrypted tunnels on one. Gives
  /// it an id of its own.
  AppResult<Interface*> add(Interface::Options options);
  /// Whether `tunnel add` may hand its tunnel to this process: it has the right to raw sockets, and ends with
  /// its last interface, not with somebody's service or keeper.
  [[nodiscard]] bool accepts_tunnels() const {
    return standalone_ && !settings_.foreground && (icmp_listeners_.has_value() || hub_ != nullptr);
  }
  /// Makes /run/hatsd-user/PID.sock.
  AppResult<void> serve_control();
  /// Who undoes the host's part. Before run(). `standalone`: no keeper ends with this process.
  void set_host(HostSide& host, bool standalone) {
    host_ = &host;
    standalone_ = standalone;
  }

  [[nodiscard]] boost::asio::io_context& io() { return io_; }
  /// By its id.
  [[nodiscard]] Interface* find(const std::string& id);
  [[nodiscard]] std::vector<Interface*> interfaces();
  /// Deletes an interface, and nothing else of it.
  void remove(Interface& interface);
  /// Ends an interface in the right order; `done` is called when it is gone. Asked twice, both are told.
  /// `output`: where what hooks say is read, or none.
  void end(Interface& interface, Ending why, std::function<void()> done, const Descriptors& output = {});
  void end_all();

  /// Serves until the last interface is gone.
  void run();
  /// Makes run() return now.
  void stop() { io_.stop(); }

  // ControlTarget.
  nlohmann::json control_show(const std::string& name) override;
  nlohmann::json control_tunnel_survey(const nlohmann::json& tunnel) override;
  void control_down(const std::string& id, const Descriptors& output, ControlReply reply) override;
  void control_reload(const std::string& id, const nlohmann::json& sources, ControlReply reply) override;
  void control_tunnel_add(const std::string& name, const std::vector<std::string>& words,
                          ControlReply reply) override;
  void control_tunnel_change(const std::string& id, const std::vector<std::string>& words,
                             ControlReply reply) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::unique_ptr<Interface> interface;
    bool ending = false;
  };
  AppResult<void> start_workers(bool realtime);
  /// Makes this thread a real-time one, or warns and returns false.
  bool try_realtime();
  Worker& idlest_worker();
  [[nodiscard]] std::string unused_id(const std::string& name);
  AppResult<std::unique_ptr<Interface>> make(const Interface::Options& options);
  Entry* entry_of(const Interface& interface);
  void wait_for_link_events();
  void read_link_events();
  void check_routes_soon();
  void keep_up();

  Settings settings_;
  boost::asio::io_context io_;
  std::optional<tun::Netlink> netlink_;
  std::optional<tun::LinkEvents> events_;
  std::optional<boost::asio::posix::stream_descriptor> events_descriptor_;
  std::optional<IcmpSender> icmp_;
  std::optional<boost::asio::steady_timer> upkeep_, route_check_;
  bool route_check_due_ = false;
  Clock::duration route_check_took_{};  // the last one
  std::unique_ptr<WorkPool> pool_;      // with two workers or more
  std::vector<std::unique_ptr<Worker>> workers_;
  std::optional<IcmpListeners> icmp_listeners_;  // until the hub has them
  RawHub* hub_ = nullptr;                        // of all unencrypted tunnels, on hub_worker_
  Worker* hub_worker_ = nullptr;
  std::vector<Entry> entries_;                                         // in the order of creation
  std::map<std::string, std::vector<std::function<void()>>> waiting_;  // for an interface's end, by id
  std::unique_ptr<ControlServer> control_;
  std::vector<std::string> warnings_;            // that every interface shows
  std::vector<std::string> wireguard_warnings_;  // that every WireGuard interface shows besides
  HostSide* host_ = nullptr;
  bool standalone_ = false;
};

}  // namespace hats::app
