// One interface as the control thread sees it: its tunnel on a worker, and where its link is. What all kinds
// of tunnels share; the kinds derive from it.
#pragma once

#include <sys/types.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/config/interface_config.hpp"
#include "core/config/ip_tunnel.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"
#include "tools/hatsd-user/daemon/link_ipv6.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"
#include "tools/hatsd-user/daemon/worker.hpp"
#include "tools/hatsd-user/quick/device_control.hpp"
#include "tun/link.hpp"

namespace hats::app {

/// Why an interface ends.
enum class Ending : uint8_t { asked, link_gone, socket_removed };

class Interface : public DeviceControl {
 public:
  struct Options {
    std::string name;
    std::string file{};   // of its configuration; empty for a bare NAME and for `tunnel add`
    std::string found{};  // the word that finds the configuration again, for reload
    std::string id{};     // see Interface::id(); empty: the name
    int tun_fd = -1;      // WG_TUN_FD
    int uapi_fd = -1;     // WG_UAPI_FD
    tun::OffloadChoice offload = tun::OffloadChoice::automatic;
    // Of an unencrypted tunnel:
    std::optional<config::TunnelSpec> tunnel{};  // set for GRE, SIT, IPIP; unset for WireGuard
    std::optional<uint32_t> mtu{};               // of the file, in bytes; unset: as the path has it
    config::LinkLocal link_local = config::LinkLocal::as_kernel;
    bool accept_route_advertisements = false;
  };
  struct Surroundings {
    boost::asio::io_context& io;
    Worker& worker;
    tun::Netlink& netlink;  // of the namespace where the process was born
  };
  /// Called on the control thread, once, when the interface ends by itself.
  using Ended = std::function<void(Interface&, Ending)>;

  ~Interface() override;  // the link vanishes, the sockets close

  /// What it was called when it was made. Its link may be called otherwise since, or be elsewhere, and its
  /// name then be another's.
  [[nodiscard]] const std::string& name() const { return options_.name; }
  /// What requests call it: its own alone among all of the process, as long as it lives.
  [[nodiscard]] const std::string& id() const { return options_.id; }
  [[nodiscard]] const std::string& file() const { return options_.file; }
  [[nodiscard]] const std::string& found() const { return options_.found; }

  /// What the unencrypted tunnel is now; nullptr for WireGuard.
  [[nodiscard]] virtual const encap::TunnelConfig* tunnel_config() const { return nullptr; }
  /// `tunnel change`: the words change what the tunnel is.
  virtual AppResult<void> change_tunnel(const config::TunnelCommand& command);

  // What the host's links, routes and time do.
  /// Takes note of an event; link_events_end() acts on the last of those that were read together: what is
  /// late is not done again in between, since it would end sessions that are newer.
  void link_event(const tun::LinkEvent& event);
  void link_events_end();
  /// Ends the interface if its link is gone; the call may then destroy it. The loop tells of that as a rule,
  /// but the kernel wakes who waits for a TUN before the TUN is gone, and what then finds nothing to read
  /// waits for ever.
  void check_link();
  /// Reads MTU and up state, where they can be read: in the namespace of the process.
  void refresh_link();
  /// Routes or addresses of the host changed: looks anew at what hangs on them.
  virtual void check_routes() = 0;
  /// At each upkeep of the daemon: looks up names again where handshakes fail, and paths when look_due().
  virtual void check_names() {}

  void set_warnings(std::vector<std::string> texts) override { of_host_ = std::move(texts); }
  /// What there is to say of the file as it is now, in the place of what was said before; logs what is new.
  void set_file_warnings(std::vector<std::string> texts);
  /// Logs a warning and adds it to the standing ones, if it is not among them already.
  void warn(std::string text);

  /// What `show --json` prints of it.
  [[nodiscard]] virtual nlohmann::json status() = 0;
  /// The inode of the network namespace in which the link is now; 0 if it is nowhere.
  [[nodiscard]] ino_t present_namespace() const;
  /// What the link is called now, wherever it is.
  [[nodiscard]] std::string current_name() const {
    return base_tunnel_->tun().current_name().value_or(options_.name);
  }
  /// True if the link exists, wherever it is.
  [[nodiscard]] bool is_live() const;

 protected:
  Interface(Options options, const Surroundings& around, Ended ended);

  /// Makes the link, or takes over the descriptor of the options, and reads its state; a link of our making
  /// gets `mtu`.
  AppResult<tun::TunDevice> make_link(uint32_t mtu);
  /// For the tunnel made of that device: its notices reach this interface while it lives.
  [[nodiscard]] Tunnel::Notify notices();
  /// Takes note of the tunnel, and brings it up if its link is up already.
  void set_tunnel(Tunnel* tunnel);
  /// What the tunnel says besides what every tunnel says (Tunnel::Notice). On the control thread.
  virtual void noticed(Tunnel::Notice /*notice*/) {}
  /// The link has this MTU and state now. 0, or the errno of what the tunnel had to open for it.
  virtual int set_link(uint32_t mtu, bool up);
  /// Detaches the tunnel and destroys it. Derived destructors call it where the tunnel uses what is theirs.
  void remove_tunnel();
  /// Ends the interface; the call may well destroy this object.
  void end(Ending why);

  /// At each upkeep; true once a minute, when paths are to be looked up anew: what the kernel has learned of
  /// one comes and expires without an event.
  [[nodiscard]] bool look_due() { return ++upkeeps_ % kUpkeepsPerLook == 0; }

  [[nodiscard]] uint32_t mtu() const { return mtu_; }
  [[nodiscard]] bool is_up() const { return up_; }
  [[nodiscard]] uint32_t index() const { return index_; }
  [[nodiscard]] bool is_moved() const { return moved_; }
  /// What is told in one warning, which stands as long as it is true.
  enum class Cause : uint8_t { path, port, count };
  /// The warning of that cause from now on, which is logged when it is another; "" takes it back.
  void set_warning(Cause cause, std::string text);
  /// All that stand.
  [[nodiscard]] std::vector<std::string> warnings() const;

  /// Whether the link takes router advertisements, which may bring routes: not, unless the operator says so.
  /// An error is a sentence.
  [[nodiscard]] std::string accept_advertisements(bool accept);
  /// LinkIpv6::restore() of the link: true if its IPv6 addresses were lost.
  [[nodiscard]] bool restore_ipv6();

  Options options_;
  Surroundings around_;

 private:
  static constexpr unsigned kUpkeepsPerLook = 12;  // of 5 s each

  void find_link(const tun::LinkEvent& event);
  /// Whether the host set-up's, of the file's MTU, says so already.
  [[nodiscard]] bool is_told(const std::string& text) const;

  LinkIpv6 ipv6_;
  Ended ended_;
  Tunnel* base_tunnel_ = nullptr;  // on the worker
  std::shared_ptr<Interface*>
      self_;  // nulled at the end, for calls that the worker sends to the control thread
  std::vector<std::string> warnings_, of_file_, of_host_;
  std::array<std::string, static_cast<size_t>(Cause::count)> of_causes_;
  uint32_t index_ = 0;       // of the link, in the namespace where it is
  std::optional<int> nsid_;  // id of the namespace where a moved link is, if we know it
  bool moved_ = false;       // the link is in another namespace than the one it was born in
  uint32_t mtu_ = 0;
  bool up_ = false;
  bool ended_already_ = false;
  unsigned upkeeps_ = 0;
  struct Heard {
    uint32_t mtu = 0;
    bool up = false;
  };
  std::optional<Heard> heard_;  // of the link, by the events at hand
};

/// What an interface of that file is made with.
[[nodiscard]] Interface::Options interface_options(const InterfaceFile& file, const Settings& settings);

}  // namespace hats::app
