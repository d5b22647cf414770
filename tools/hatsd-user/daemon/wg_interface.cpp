#include "tools/hatsd-user/daemon/wg_interface.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "core/config/wg_quick_diff.hpp"
#include "tools/hatsd-user/control/status_json.hpp"
#include "tools/hatsd-user/quick/link_mtu.hpp"
#include "tools/hatsd-user/quick/service_port.hpp"

namespace hats::app {

namespace {

/// Peers whose paths are looked up, for `show` and for warnings: each look-up is two requests to the kernel.
constexpr size_t kMostPaths = 1024;
/// How often and after what time a busy port is tried again: 0.4 s in all.
constexpr int kPortTries = 8;
constexpr auto kPortRetryDelay = std::chrono::milliseconds(50);

std::unexpected<ConfigError> device_fault(int line, const char* key, std::string message) {
  return std::unexpected(ConfigError{.line = line, .key = key, .message = std::move(message)});
}

std::string port_fault(uint16_t port, int error) {
  std::string text = "UDP port " + std::to_string(port) + " cannot be used: " + std::strerror(error);
  if (error == EADDRINUSE)
    text += "; another program has it (ss -ulnp shows which); choose another ListenPort";
  if (error == EACCES) text += "; ports below 1024 need CAP_NET_BIND_SERVICE";
  return text;
}

std::string unknown_service(const std::string& service) {
  return "'" + service + "' is neither a port nor a known service";
}

}  // namespace

WgInterface::WgInterface(Options options, const Surroundings& around, Ended ended)
    : Interface(std::move(options), around, std::move(ended)),
      resolver_(around.io, name(), [this](const crypto::PublicKey& peer, const Endpoint& endpoint) {
        wg::PeerUpdate update;
        update.public_key = peer;
        update.update_only = true;
        update.endpoint = endpoint;
        wg::DeviceUpdate device;
        device.peers.push_back(std::move(update));
        apply(device);
        check_paths(peer_status());
      }) {}

AppResult<std::unique_ptr<WgInterface>> WgInterface::create(const Options& options,
                                                            const Surroundings& around, Ended ended) {
  std::unique_ptr<WgInterface> made(new WgInterface(options, around, std::move(ended)));
  if (auto started = made->start(); !started) return std::unexpected(started.error());
  return made;
}

AppResult<void> WgInterface::start() {
  auto tun = make_link(kDefaultMtu);
  if (!tun) return std::unexpected(tun.error());
  tunnel_ = around_.worker.add([&](uint32_t slot, const WorkerParts& parts) {
    return std::make_unique<WgTunnel>(slot, std::move(*tun), mtu(), parts, notices());
  });
  set_tunnel(tunnel_);
  if (options_.tun_fd < 0) take_advertisements(false);
  const auto removed = [this] { end(Ending::socket_removed); };
  auto uapi = options_.uapi_fd >= 0 ? UapiServer::adopt(around_.io, options_.uapi_fd, *this, removed)
                                    : UapiServer::open(around_.io, options_.name, *this, removed);
  if (!uapi) return fail(options_.name + ": " + uapi.error().message, uapi.error().exit_code);
  uapi_ = std::move(*uapi);
  return {};
}

WgInterface::~WgInterface() {
  uapi_.reset();
  remove_tunnel();
}

// ---- The device ----

void WgInterface::apply(const wg::DeviceUpdate& update) {
  around_.worker.call([&] { tunnel_->apply(read_clocks(), update); });
}

int WgInterface::set_port(uint16_t port) {
  if (bound_port_ != 0 && (port == asked_port_ || port == bound_port_)) return 0;
  auto sockets = transport::open_udp(port, fwmark_);
  // A process that was killed lets go of its port a moment after it is gone: the kernel tears io_uring down
  // later.
  for (int tries = 0; !sockets && sockets.error() == EADDRINUSE && port != 0 && tries < kPortTries; ++tries) {
    std::this_thread::sleep_for(kPortRetryDelay);
    sockets = transport::open_udp(port, fwmark_);
  }
  if (!sockets) return sockets.error();
  asked_port_ = port;
  bound_port_ = sockets->port;
  udp_features_ = transport::udp_features(*sockets);
  around_.worker.call([&] { tunnel_->set_sockets(std::move(*sockets)); });
  set_warning(Cause::port, "");
  return 0;
}

int WgInterface::ensure_sockets() {
  return bound_port_ != 0 ? 0 : set_port(0);
}

int WgInterface::set_mark(uint32_t mark) {
  const int error = around_.worker.call([&] { return tunnel_->set_fwmark(mark); });
  if (error == 0) fwmark_ = mark;
  return error;
}

WgInterface::Refused WgInterface::carry_out(wg::DeviceUpdate update) {
  // In wg(8)'s order: what precedes a failing line takes effect (peers.md 4).
  const auto port = std::exchange(update.listen_port, {});
  const auto mark = std::exchange(update.fwmark, {});
  Refused out;
  if (port) out.port = set_port(*port);
  if (out.port == 0 && mark) out.mark = set_mark(*mark);
  if (out) {
    update.replace_peers = false;
    update.peers.clear();
  } else {
    out.port = ensure_sockets();
  }
  apply(update);
  return out;
}

std::expected<void, ConfigError> WgInterface::configure_device(wg::DeviceUpdate update, int port_line) {
  const uint16_t port = update.listen_port.value_or(0);
  const Refused refused = carry_out(std::move(update));
  if (refused.mark != 0) {
    return device_fault(1, "FwMark",
                        std::string("the sockets do not take it: ") + std::strerror(refused.mark) +
                            (refused.mark == EPERM ? "; it needs CAP_NET_ADMIN" : ""));
  }
  if (refused) return device_fault(port_line, "ListenPort", port_fault(port, refused.port));
  return {};
}

int WgInterface::uapi_set(wg::DeviceUpdate update) {
  for (const wg::PeerUpdate& peer : update.peers) {
    if (peer.endpoint || peer.remove) resolver_.forget(peer.public_key);
  }
  if (update.replace_peers) resolver_.forget_all();
  // EACCES and such have no meaning of their own here: peers.md 4 knows "port or mark failure" alone.
  return carry_out(std::move(update)) ? EADDRINUSE : 0;
}

wg::DeviceSnapshot WgInterface::uapi_get() {
  return around_.worker.call([this] { return tunnel_->device().snapshot(); });
}

std::expected<wg::DeviceSnapshot, std::string> WgInterface::snapshot() {
  return uapi_get();
}

std::expected<void, std::string> WgInterface::set_fwmark(uint32_t mark) {
  if (const int error = set_mark(mark); error != 0) {
    return std::unexpected(errno_text("cannot set the firewall mark of the UDP sockets", error));
  }
  return {};
}

void WgInterface::take_advertisements(bool accept) {
  std::string fault = accept_advertisements(accept);
  if (fault.empty()) return;
  // Containers have /proc/sys read-only. What a peer with a session sends is less of a danger than a warning
  // that everyone learns to overlook.
  if (accept) {
    warn(std::move(fault));
  } else {
    spdlog::info("{}: {}", name(), fault);
  }
}

void WgInterface::watch_names(const config::InterfaceConfig& config) {
  for (const config::WgPeer& peer : config.peers) {
    resolver_.forget(peer.public_key);
    if (peer.endpoint && !peer.endpoint->numeric()) resolver_.watch(peer.public_key, *peer.endpoint);
  }
}

std::expected<void, ConfigError> WgInterface::configure(const config::InterfaceConfig& config) {
  wg::DeviceUpdate update = config.device_update();
  update.replace_peers = false;  // `wg addconf`: peers of a PreUp hook stay (peers.md 4)
  if (!config.listen_service.empty()) {
    const auto port = service_port(config.listen_service);
    if (!port) {
      return device_fault(config.listen_port_line, "ListenPort", unknown_service(config.listen_service));
    }
    update.listen_port = port;
  }
  if (auto done = configure_device(std::move(update), config.listen_port_line); !done) return done;
  if (config.accept_route_advertisements) take_advertisements(true);
  watch_names(config);
  return {};
}

std::expected<void, ConfigError> WgInterface::reconfigure(const config::InterfaceConfig& old_config,
                                                          const config::InterfaceConfig& new_config) {
  config::ConfigChanges changes = config::diff(old_config, new_config);
  if (!changes.listen_service.empty()) {
    const auto port = service_port(changes.listen_service);
    if (!port)
      return device_fault(new_config.listen_port_line, "ListenPort", unknown_service(changes.listen_service));
    changes.device.listen_port = port;
  }
  if (new_config.accept_route_advertisements != old_config.accept_route_advertisements) {
    take_advertisements(new_config.accept_route_advertisements);
  }
  for (const wg::PeerUpdate& peer : changes.device.peers) {
    if (peer.remove || peer.endpoint) resolver_.forget(peer.public_key);
  }
  // Where the line is gone the endpoint stays as it is, and is not sought any more.
  for (const config::WgPeer& peer : new_config.peers) {
    if (!peer.endpoint) resolver_.forget(peer.public_key);
  }
  if (auto done = configure_device(std::move(changes.device), new_config.listen_port_line); !done)
    return done;
  for (const config::NamedEndpoint& named : changes.names) resolver_.watch(named.public_key, named.endpoint);
  return {};
}

// ---- Upkeep ----

int WgInterface::set_link(uint32_t mtu, bool up) {
  const bool is_news = mtu != this->mtu() || up != is_up();
  int error = up ? ensure_sockets() : 0;
  const int reopening = Interface::set_link(mtu, up);
  if (error == 0) error = reopening;
  // Each event of the link tries anew, so this may fail many times.
  set_warning(Cause::port, error == 0 ? "" : port_fault(bound_port_ != 0 ? bound_port_ : asked_port_, error));
  if (is_news) check_paths(peer_status());
  return error;
}

void WgInterface::check_names() {
  if (look_due()) check_paths(peer_status());
  if (resolver_.empty()) return;
  resolver_.check(peer_status(), std::chrono::steady_clock::now());
}

std::vector<wg::PeerStatus> WgInterface::peer_status() {
  return around_.worker.call([this] { return tunnel_->device().peer_status(); });
}

void WgInterface::check_routes() {
  (void)restore_ipv6();  // there is no address of ours to give again
  const std::vector<wg::PeerStatus> peers = peer_status();
  for (const wg::PeerStatus& peer : peers) {
    if (!peer.source.address.is_set() || !peer.endpoint.is_set()) continue;
    const auto route = around_.netlink.route_to(peer.endpoint.address, fwmark_, peer.source.address);
    const bool still_good =
        route && (peer.source.interface_index == 0 || route->interface_index == peer.source.interface_index);
    if (still_good) continue;
    around_.worker.call([&] { tunnel_->forget_source(peer.public_key); });
  }
  check_paths(peers);
}

void WgInterface::check_paths(const std::vector<wg::PeerStatus>& peers) {
  std::vector<Endpoint> endpoints;
  if (is_up()) {
    for (const wg::PeerStatus& peer : peers) {
      if (peer.endpoint.is_set() && endpoints.size() < kMostPaths) endpoints.push_back(peer.endpoint);
    }
  }
  const std::vector<config::PeerPath> paths = paths_to(around_.netlink, endpoints, fwmark_);
  around_.worker.call([&] {
    for (size_t i = 0, path = 0; path < paths.size(); ++i) {
      if (!peers[i].endpoint.is_set()) continue;
      tunnel_->set_path_mtu(peers[i].public_key, peers[i].endpoint, paths[path++].mtu.value_or(0));
    }
  });
  set_warning(Cause::path, path_warning(mtu(), paths).value_or(""));
}

nlohmann::json WgInterface::status() {
  struct Live {
    wg::DeviceSnapshot device;
    std::vector<wg::PeerStatus> peers;
    wg::DropCounters drops;
    TunnelCounters counters;
  };
  const Live live = around_.worker.call([this] {
    return Live{tunnel_->device().snapshot(), tunnel_->device().peer_status(), tunnel_->device().drops(),
                tunnel_->counters()};
  });
  // What the kernel knows of the paths, with what routers have told it about our datagrams. We leave
  // fragmenting to it.
  std::vector<std::optional<uint32_t>> paths;
  for (const wg::PeerSnapshot& peer : live.device.peers) {
    if (paths.size() == kMostPaths) break;
    paths.push_back(peer.endpoint.is_set() ? path_mtu(around_.netlink, peer.endpoint, fwmark_)
                                           : std::nullopt);
  }
  return status_json({.name = current_name(),
                      .id = id(),
                      .file = file(),
                      .network_namespace = present_namespace(),
                      .mtu = mtu(),
                      .up = is_up(),
                      .io = around_.worker.io_name(),
                      .aead = around_.worker.aead_name(),
                      .tun = tunnel_->tun().features(),
                      .udp = udp_features_,
                      .device = live.device,
                      .peers = live.peers,
                      .drops = live.drops,
                      .counters = live.counters,
                      .loop = around_.worker.loop_counters(),
                      .waiting = resolver_.waiting(),
                      .path_mtus = std::move(paths),
                      .warnings = warnings()});
}

}  // namespace hats::app
