#include "tools/hatsd-user/daemon/daemon.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>

#include "tools/hatsd-user/daemon/encap_interface.hpp"
#include "tools/hatsd-user/daemon/memory_limit.hpp"
#include "tools/hatsd-user/daemon/privileges.hpp"
#include "tools/hatsd-user/daemon/wg_interface.hpp"

namespace hats::app {

namespace {

using namespace std::chrono_literals;

/// How often names of unanswered peers are looked at, and whether links are still there.
constexpr auto kUpkeepPeriod = 5s;
/// Route changes come in bursts (a routing daemon's full table): what hangs on them is checked once after
/// this long, and with thousands of tunnels not so often that it takes more than a tenth of the time.
constexpr auto kRouteCheckDelay = 200ms;
constexpr int kRouteCheckShare = 10;

}  // namespace

Daemon::~Daemon() {
  control_.reset();
  entries_.clear();
  pool_.reset();
  workers_.clear();
  if (events_descriptor_) events_descriptor_->release();  // LinkEvents owns the descriptor
}

AppResult<void> Daemon::start(bool raw_tunnels) {
  if (!has_net_admin()) {
    return fail(
        "CAP_NET_ADMIN is missing: run as root; under Docker add --cap-add NET_ADMIN --device /dev/net/tun; "
        "in an LXC "
        "container allow /dev/net/tun (lxc.cgroup2.devices.allow = c 10:200 rwm, and a mount entry); on "
        "OpenVZ let the "
        "host run vzctl set CTID --devnodes net/tun:rw --capability net_admin:on");
  }
  auto netlink = tun::Netlink::open();
  if (!netlink) return fail(errno_text("cannot open a netlink socket", netlink.error()));
  netlink_.emplace(std::move(*netlink));
  auto events = tun::LinkEvents::open();
  if (!events) return fail(errno_text("cannot watch links", events.error()));
  events_.emplace(std::move(*events));
  if (auto icmp = IcmpSender::open()) {
    icmp_.emplace(std::move(*icmp));
  } else {
    warnings_.push_back("without CAP_NET_RAW no ICMP error is sent to a host whose packet has no way out");
  }
  if (raw_tunnels) {
    auto listeners = IcmpListeners::open();
    if (!listeners) {
      return fail(errno_text("cannot open raw sockets", listeners.error()) +
                  "; unencrypted tunnels need CAP_NET_RAW: run as root; under Docker add --cap-add NET_RAW");
    }
    icmp_listeners_ = std::move(*listeners);
  }
  struct stat module{};
  if (stat("/sys/module/wireguard", &module) == 0) {
    wireguard_warnings_.emplace_back(
        "this host's kernel has the wireguard module, which would serve this tunnel faster (wg-quick up)");
  }
  const bool realtime = settings_.realtime && try_realtime();
  if (const std::string why = reduce_capabilities(raw_tunnels); !why.empty()) warnings_.push_back(why);

  events_descriptor_.emplace(io_, events_->fd());
  wait_for_link_events();
  upkeep_.emplace(io_);
  route_check_.emplace(io_);
  keep_up();
  auto started = start_workers(realtime);
  if (realtime) leave_realtime();  // the workers' threads have inherited it
  return started;
}

bool Daemon::try_realtime() {
  const int error = enter_realtime();
  if (error == 0) return true;
  warnings_.push_back(errno_text("packets are not carried in real time: SCHED_FIFO is refused", error) +
                      "; run as root, under Docker add --cap-add SYS_NICE, in a systemd unit of your own "
                      "allow CAP_SYS_NICE and leave out RestrictRealtime=");
  return false;
}

AppResult<void> Daemon::start_workers(bool realtime) {
  const uint32_t slabs = slabs_of_setting(settings_.memory_mib, settings_.workers);
  if (settings_.workers > 1) {
    auto pool = WorkPool::make(settings_.workers, settings_.aead);
    if (!pool) return fail(pool.error());
    pool_ = std::move(*pool);
  }
  for (unsigned i = 0; i < settings_.workers; ++i) {
    auto worker = Worker::make({.io = settings_.io,
                                .aead = settings_.aead,
                                .icmp = icmp_ ? &*icmp_ : nullptr,
                                .slabs = slabs,
                                .realtime = realtime,
                                .pool = pool_.get()});
    if (!worker) return fail(worker.error());
    workers_.push_back(std::move(*worker));
  }
  for (const auto& worker : workers_) worker->start();
  spdlog::info("packet loop {}, AEAD {}, workers {}", workers_.front()->io_name(),
               workers_.front()->aead_name(), workers_.size());
  return {};
}

Worker& Daemon::idlest_worker() {
  return **std::min_element(workers_.begin(), workers_.end(),
                            [](const auto& a, const auto& b) { return a->members() < b->members(); });
}

AppResult<std::unique_ptr<Interface>> Daemon::make(const Interface::Options& options) {
  const auto ended = [this](Interface& interface, Ending why) { end(interface, why, [] {}); };
  if (!options.tunnel) {
    return WgInterface::create(options, {.io = io_, .worker = idlest_worker(), .netlink = *netlink_}, ended);
  }
  if (hub_ == nullptr) {
    if (!icmp_listeners_) return fail(options.name + ": this process has given up what raw sockets need");
    hub_worker_ = &idlest_worker();
    hub_ = hub_worker_->add([&](uint32_t slot, const WorkerParts& parts) {
      return std::make_unique<RawHub>(slot, parts, std::move(*icmp_listeners_));
    });
    icmp_listeners_.reset();
  }
  return EncapInterface::create(options, {.io = io_, .worker = *hub_worker_, .netlink = *netlink_}, *hub_,
                                ended);
}

/// A name becomes free when its link is moved to another namespace, or is given another name: `tunnel add`
/// may then use it again. No name has a '#'.
std::string Daemon::unused_id(const std::string& name) {
  std::string id = name;
  for (unsigned number = 2; find(id) != nullptr; ++number) id = name + '#' + std::to_string(number);
  return id;
}

AppResult<Interface*> Daemon::add(Interface::Options options) {
  options.id = unused_id(options.name);
  auto made = make(options);
  if (!made) return std::unexpected(made.error());
  for (const std::string& warning : warnings_) (*made)->warn(warning);
  if (!options.tunnel) {
    for (const std::string& warning : wireguard_warnings_) (*made)->warn(warning);
  }
  entries_.push_back({.interface = std::move(*made), .ending = false});
  return entries_.back().interface.get();
}

AppResult<void> Daemon::serve_control() {
  auto control = ControlServer::open(io_, *this);
  if (!control) return std::unexpected(control.error());
  control_ = std::move(*control);
  return {};
}

Interface* Daemon::find(const std::string& id) {
  for (const Entry& entry : entries_) {
    if (entry.interface->id() == id) return entry.interface.get();
  }
  return nullptr;
}

std::vector<Interface*> Daemon::interfaces() {
  std::vector<Interface*> out;
  out.reserve(entries_.size());
  for (const Entry& entry : entries_) out.push_back(entry.interface.get());
  return out;
}

Daemon::Entry* Daemon::entry_of(const Interface& interface) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.interface.get() == &interface; });
  return found == entries_.end() ? nullptr : &*found;
}

void Daemon::remove(Interface& interface) {
  const Entry* entry = entry_of(interface);
  if (entry == nullptr) return;
  spdlog::info("{}: gone", interface.name());
  entries_.erase(entries_.begin() + (entry - entries_.data()));
}

void Daemon::end(Interface& interface, Ending why, std::function<void()> done, const Descriptors& output) {
  Entry* entry = entry_of(interface);
  if (entry == nullptr) return;
  // Told when all is undone, which is later than when the link is gone: hooks may still run.
  const std::string id = interface.id();
  waiting_[id].push_back(std::move(done));
  if (std::exchange(entry->ending, true)) return;
  const auto remove_it = [this, &interface] { remove(interface); };
  const auto finish = [this, id] {
    const auto waiting = waiting_.extract(id);
    for (const auto& tell : waiting.mapped()) tell();
    if (entries_.empty()) io_.stop();
  };
  if (host_ == nullptr) {
    remove_it();
    finish();
  } else {
    host_->end(interface, why, output, remove_it, finish);
  }
}

void Daemon::end_all() {
  // Last made, first gone: a tunnel within a tunnel ends before the outer one.
  for (const auto interfaces = this->interfaces(); Interface * interface : interfaces | std::views::reverse) {
    end(*interface, Ending::asked, [] {});
  }
}

void Daemon::run() {
  if (entries_.empty()) return;
  io_.run();
}

// ---- Links, routes, names ----

void Daemon::wait_for_link_events() {
  events_descriptor_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                 [this](boost::system::error_code error) {
                                   if (error) return;
                                   read_link_events();
                                   wait_for_link_events();
                                 });
}

void Daemon::read_link_events() {
  using Kind = tun::LinkEvent::Kind;
  for (const tun::LinkEvent& event : events_->read()) {
    // A link that changes may have another MTU now, or bring a path.
    if (event.kind != Kind::link_moved && event.kind != Kind::link_deleted) check_routes_soon();
    for (Interface* interface : interfaces()) {
      if (event.kind == Kind::overrun) {
        interface->refresh_link();
        interface->check_link();
      } else {
        interface->link_event(event);
      }
    }
  }
  for (Interface* interface : interfaces()) interface->link_events_end();
}

void Daemon::check_routes_soon() {
  if (std::exchange(route_check_due_, true)) return;
  route_check_->expires_after(
      std::max<Clock::duration>(kRouteCheckDelay, kRouteCheckShare * route_check_took_));
  route_check_->async_wait([this](boost::system::error_code error) {
    route_check_due_ = false;
    if (error) return;
    const auto begin = Clock::now();
    for (Interface* interface : interfaces()) interface->check_routes();
    route_check_took_ = Clock::now() - begin;
  });
}

void Daemon::keep_up() {
  upkeep_->expires_after(kUpkeepPeriod);
  upkeep_->async_wait([this](boost::system::error_code error) {
    if (error) return;
    for (Interface* interface : interfaces()) {
      interface->check_names();
      interface->check_link();
    }
    keep_up();
  });
}

}  // namespace hats::app
