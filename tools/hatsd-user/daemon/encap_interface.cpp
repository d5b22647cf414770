#include "tools/hatsd-user/daemon/encap_interface.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/config/ip_tunnel.hpp"
#include "core/config/link_local.hpp"
#include "core/config/mtu_advice.hpp"
#include "core/packet/path_mtu.hpp"
#include "tools/hatsd-user/daemon/encap_status.hpp"
#include "tools/hatsd-user/quick/link_mtu.hpp"

namespace hats::app {

namespace {

constexpr uint8_t kLinkLocalLength = 64;

/// The kernel's module for the same tunnel.
const char* module_of(const encap::TunnelConfig& tunnel) {
  if (tunnel.kind == encap::Kind::sit) return "sit";
  if (tunnel.kind == encap::Kind::ipip) return "ipip";
  return tunnel.outer() == Family::v6 ? "ip6_gre" : "ip_gre";
}

}  // namespace

EncapInterface::EncapInterface(Options options, const Surroundings& around, RawHub& hub, Ended ended)
    : Interface(std::move(options), around, std::move(ended)), hub_(hub), spec_(*options_.tunnel) {}

AppResult<std::unique_ptr<EncapInterface>> EncapInterface::create(const Options& options,
                                                                  const Surroundings& around, RawHub& hub,
                                                                  Ended ended) {
  std::unique_ptr<EncapInterface> made(new EncapInterface(options, around, hub, std::move(ended)));
  if (auto started = made->start(); !started) return std::unexpected(started.error());
  return made;
}

AppResult<void> EncapInterface::start() {
  const auto tunnel = resolve(spec_);
  if (!tunnel) return fail(name() + ": " + tunnel.error());
  tunnel_config_ = *tunnel;
  auto sockets = sockets_for(tunnel_config_);
  if (!sockets) return fail(name() + ": " + sockets.error());
  const auto path = find_path();
  auto tun = make_link(
      config::default_mtu(tunnel_config_, path ? lasting_mtu(around_.netlink, *path) : std::nullopt));
  if (!tun) return std::unexpected(tun.error());
  const auto id =
      around_.worker.call([&] { return hub_.add(tunnel_config_, mtu(), name(), std::move(*sockets)); });
  if (!id) return fail(name() + ": " + alike_text(id.error()), kExitUsage);
  tunnel_ = around_.worker.add([&](uint32_t slot, const WorkerParts& parts) {
    return std::make_unique<EncapTunnel>(slot, std::move(*tun), parts, notices(), hub_, *id);
  });
  set_tunnel(tunnel_);
  take_advertisements(false);
  check_routes();
  warn_of_module();
  if (spec_.mode == "ip6gre" && tunnel_config_.outer() == Family::v4) {
    spdlog::info("{}: ip6gre with IPv4 endpoints taken as GRE over IPv4", name());
  }
  return {};
}

EncapInterface::~EncapInterface() {
  remove_tunnel();
}

// ---- The tunnel ----

std::expected<encap::TunnelConfig, std::string> EncapInterface::resolve(
    const config::TunnelSpec& spec) const {
  encap::TunnelConfig out = spec.tunnel;
  if (spec.underlay.empty()) return out;
  out.underlay = if_nametoindex(spec.underlay.c_str());
  if (out.underlay != 0) return out;
  return std::unexpected("the link '" + spec.underlay +
                         "' that the tunnel is to use does not exist (`ip link` lists those that do)");
}

std::expected<RawChannel, std::string> EncapInterface::sockets_for(const encap::TunnelConfig& tunnel) {
  const Channel channel = channel_of(tunnel.kind, tunnel.outer());
  if (around_.worker.call([&] { return hub_.has_channel(channel); })) return RawChannel{};
  auto opened = RawChannel::open(channel);
  if (opened) return std::move(*opened);
  std::string text = errno_text("cannot open raw sockets", opened.error());
  if (opened.error() == EPERM) text += "; they need CAP_NET_RAW (Docker: --cap-add NET_RAW)";
  if (opened.error() == EAFNOSUPPORT) text += "; this host has no IPv6";
  return std::unexpected(std::move(text));
}

AppResult<void> EncapInterface::change(const config::TunnelSpec& spec, const encap::TunnelConfig& tunnel) {
  auto sockets = sockets_for(tunnel);
  if (!sockets) return fail(name() + ": " + sockets.error());
  const auto done = around_.worker.call(
      [&] { return hub_.change(read_clocks(), tunnel_->id(), tunnel, std::move(*sockets)); });
  if (!done) return fail(name() + ": " + alike_text(done.error()), kExitUsage);
  const uint32_t before = encap::overhead(tunnel_config_), after = encap::overhead(tunnel);
  const bool other_kind = tunnel.kind != tunnel_config_.kind;
  const std::vector<IpAddress> of_old_kind = other_kind ? link_local_addresses() : std::vector<IpAddress>{};
  spec_ = spec;
  tunnel_config_ = tunnel;
  if (other_kind) renew_link_local(of_old_kind);
  path_told_.reset();
  follow_path();
  if (before != after && !options_.mtu) follow_overhead(before, after);
  return {};
}

/// As the kernel's ipgre_link_update: what the header grows by, the MTU loses, unless the operator's file
/// says what it is.
void EncapInterface::follow_overhead(uint32_t before, uint32_t after) {
  if (is_moved()) return;  // out of reach
  const uint32_t wanted = std::max(mtu() + before, after + packet::kMinMtuV4) - after;
  if (const int error = around_.netlink.set_mtu(index(), wanted); error != 0) {
    warn(errno_text("the MTU cannot become " + std::to_string(wanted), error));
  }
  refresh_link();
}

AppResult<void> EncapInterface::change_tunnel(const config::TunnelCommand& command) {
  config::TunnelSpec spec = spec_;
  if (!command.underlay.empty()) spec.underlay = command.underlay;
  if (!command.mode.empty()) spec.mode = command.mode;
  auto changed = config::apply(command, tunnel_config_);
  if (!changed) return fail("tunnel: " + changed.error(), kExitUsage);
  spec.tunnel = *changed;
  const auto resolved = resolve(spec);
  if (!resolved) return fail("tunnel: " + resolved.error(), kExitUsage);
  if (auto done = change(spec, *resolved); !done) return done;
  if (command.link_local) change_link_local(*command.link_local);
  warn_of_path();
  return {};
}

std::expected<void, ConfigError> EncapInterface::configure(const config::InterfaceConfig& config) {
  if (config.accept_route_advertisements) take_advertisements(true);
  return {};
}

std::expected<void, ConfigError> EncapInterface::reconfigure(const config::InterfaceConfig& old_config,
                                                             const config::InterfaceConfig& new_config) {
  const auto fault = [&](int line, std::string text) {
    return std::unexpected(ConfigError{.line = line,
                                       .key = {},
                                       .message = std::move(text),
                                       .file = new_config.tunnel ? new_config.tunnel->file : std::string()});
  };
  if (!new_config.tunnel) return fault(1, "is a WireGuard interface now; take it down and up again");
  if (new_config.accept_route_advertisements != old_config.accept_route_advertisements) {
    take_advertisements(new_config.accept_route_advertisements);
  }
  change_link_local(new_config.link_local);
  const config::TunnelSpec& spec = *new_config.tunnel;
  const auto tunnel = resolve(spec);
  if (!tunnel) return fault(spec.line, tunnel.error());
  // Whether the MTU is the file's word is of the new file already: the host set-up applies it next.
  const auto old_mtu = std::exchange(options_.mtu, new_config.mtu);
  if (*tunnel == tunnel_config_) return {};
  const auto done = change(spec, *tunnel);
  if (done) return {};
  options_.mtu = old_mtu;
  return fault(spec.line, done.error().message);
}

// ---- The path ----

std::expected<tun::Route, std::string> EncapInterface::find_path() const {
  auto route = tunnel_route(around_.netlink, tunnel_config_);
  if (route && index() != 0 && !is_moved() && route->interface_index == index()) {
    return std::unexpected("the route to " + tunnel_config_.remote.text() + " leads into the tunnel itself");
  }
  return route;
}

void EncapInterface::follow_underlay() {
  if (spec_.underlay.empty()) return;
  const uint32_t now_has = if_nametoindex(spec_.underlay.c_str());
  if (now_has == 0 || now_has == tunnel_config_.underlay) return;
  encap::TunnelConfig moved = tunnel_config_;
  moved.underlay = now_has;
  spdlog::info("{}: {} is back, as link {}", name(), spec_.underlay, now_has);
  if (const auto done = change(spec_, moved); !done) spdlog::warn("{}", done.error().message);
}

void EncapInterface::check_routes() {
  follow_underlay();
  if (restore_ipv6() && is_up()) add_link_local();
  follow_path();
  warn_of_path();
}

void EncapInterface::follow_path() {
  const auto route = find_path();
  encap::PathInfo path;
  if (route) {
    // What the kernel has learned expires; the node learns the same, and lets it expire.
    path.mtu = lasting_mtu(around_.netlink, *route).value_or(0);
    path.source = route->source.value_or(IpAddress{});
  }
  const std::string waiting = route ? std::string() : route.error();
  if (waiting != waiting_) {
    if (waiting.empty()) {
      spdlog::info("{}: works now", name());
    } else {
      spdlog::warn("{}: waiting: {}", name(), waiting);
    }
    waiting_ = waiting;
  }
  const bool blocked = forbids_remote(tunnel_config_);
  // With a thousand tunnels most look-ups find what was known.
  if (path_told_ && path_told_->mtu == path.mtu && path_told_->source == path.source && blocked_ == blocked) {
    return;
  }
  path_told_ = path;
  blocked_ = blocked;
  around_.worker.call([&] {
    tunnel_->set_path(read_clocks(), path);
    tunnel_->set_blocked(read_clocks(), blocked);
  });
}

void EncapInterface::warn_of_path() {
  std::optional<std::string> text;
  if (is_up() && path_told_ && path_told_->mtu != 0) {
    text = config::mtu_warning(config::encapsulation_of(tunnel_config_), mtu(), path_told_->mtu);
  }
  set_warning(Cause::path, text.value_or(""));
}

void EncapInterface::check_names() {
  if (look_due()) check_routes();
}

void EncapInterface::noticed(Tunnel::Notice notice) {
  if (notice == Tunnel::Notice::path_refused) {
    path_told_.reset();
    check_routes();
    return;
  }
  const bool carrier = notice == Tunnel::Notice::carrier_back;
  spdlog::warn("{}: {}", name(),
               carrier ? "keepalives are answered again" : "no keepalive is answered: the carrier is off");
  if (const int error = tunnel_->tun().set_carrier(carrier); error != 0) {
    spdlog::warn("{}: {}", name(), errno_text("the carrier cannot be switched", error));
  }
}

// ---- The link ----

int EncapInterface::set_link(uint32_t mtu, bool up) {
  const bool comes_up = up && !is_up();
  const int error = Interface::set_link(mtu, up);
  // The kernel takes it away when the link goes down.
  if (comes_up && !is_moved()) add_link_local();
  warn_of_path();
  return error;
}

std::vector<IpAddress> EncapInterface::link_local_addresses() const {
  std::vector<IpAddress> host;
  if (!tunnel_config_.local.is_set()) host = around_.netlink.host_addresses().value_or(host);
  return config::link_local_addresses(tunnel_config_, options_.link_local, host);
}

void EncapInterface::add_link_local() {
  for (const IpAddress& address : link_local_addresses()) {
    const int error = around_.netlink.add_address(index(), {address, kLinkLocalLength});
    // A host without IPv6 has no such addresses.
    if (error == 0 || error == EEXIST || error == EOPNOTSUPP || error == EACCES || error == EPERM) continue;
    warn(errno_text("cannot add the link-local address " + address.text(), error));
  }
}

void EncapInterface::change_link_local(config::LinkLocal form) {
  if (form == options_.link_local) return;
  const std::vector<IpAddress> before = link_local_addresses();
  options_.link_local = form;
  renew_link_local(before);
}

void EncapInterface::renew_link_local(const std::vector<IpAddress>& before) {
  if (!is_up() || is_moved()) return;
  for (const IpAddress& address : before) {
    (void)around_.netlink.remove_address(index(), {address, kLinkLocalLength});  // it may be gone already
  }
  add_link_local();
}

void EncapInterface::take_advertisements(bool accept) {
  if (std::string fault = accept_advertisements(accept); !fault.empty()) warn(std::move(fault));
}

void EncapInterface::warn_of_module() {
  const char* const module = module_of(tunnel_config_);
  struct stat found{};
  if (stat((std::string("/sys/module/") + module).c_str(), &found) != 0) return;
  warn(std::string("this host's kernel has the ") + module +
       " module, which would serve this tunnel faster, and which answers what comes for it with ICMP port "
       "unreachable: use the kernel's (ip tunnel add), or unload it (modprobe -r " +
       module + ")");
}

// ---- Status ----

nlohmann::json EncapInterface::status() {
  struct Live {
    Now now;
    encap::TunnelStatus node;
    TunnelCounters counters;
    std::array<uint64_t, encap::kStrayReasonTexts.size()> strays{};
    std::optional<uint64_t> overflow;
    transport::LoopCounters loop;
  };
  const Live live = around_.worker.call([this] {
    const Now now = read_clocks();
    return Live{.now = now,
                .node = hub_.node().status(now, tunnel_->id()),
                .counters = tunnel_->counters(),
                .strays = hub_.node().strays(),
                .overflow = hub_.overflow(),
                .loop = around_.worker.own_loop_counters()};
  });
  return encap_status_json({.name = current_name(),
                            .id = id(),
                            .file = file(),
                            .network_namespace = present_namespace(),
                            .mtu = mtu(),
                            .up = is_up(),
                            .io = around_.worker.io_name(),
                            .tun = tunnel_->tun().features(),
                            .mode = spec_.mode,
                            .now = live.now,
                            .node = live.node,
                            .strays = live.strays,
                            .overflow = live.overflow,
                            .counters = live.counters,
                            .loop = live.loop,
                            .waiting = waiting_,
                            .warnings = warnings()});
}

}  // namespace hats::app
