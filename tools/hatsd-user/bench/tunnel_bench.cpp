#include "tools/hatsd-user/bench/tunnel_bench.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "crypto/x25519.hpp"
#include "tools/hatsd-user/bench/clock.hpp"
#include "tools/hatsd-user/bench/paced_link.hpp"
#include "tools/hatsd-user/bench/ping_probe.hpp"
#include "tools/hatsd-user/bench/statistics.hpp"
#include "tools/hatsd-user/bench/tcp_load.hpp"
#include "tun/link.hpp"

namespace hats::app::bench {

namespace {

constexpr uint32_t kMtu = 1'420;
constexpr uint16_t kWireGuardPort = 51'820, kUdpPort = 7'000, kTcpPort = 5'201;
constexpr unsigned kPings = 250;
constexpr double kPingInterval = 2e-3;  // seconds
constexpr double kSessionPatience = 5;  // seconds until the first echo
constexpr uint32_t kSmallPayload = 64;  // bytes of the UDP row
constexpr double kUdpTrial = 0.25;      // seconds
constexpr RateSearchOptions kUdpSearch = {.start = 60'000, .precision = 0.08, .most_trials = 10};

IpAddress address(const char* text) {
  return IpAddress::parse(text).value_or(IpAddress{});
}

// One end: its namespace, addresses outside and inside, key.
struct End {
  NetworkSpace space;
  IpAddress outer, inner;
  std::string interface;
  crypto::PrivateKey key;
};

AppResult<void> done(const std::string& what, int error) {
  if (error != 0) return fail(errno_text(what, error));
  return {};
}

// Runs `work` with a netlink socket of the end's namespace.
AppResult<void> with_netlink(const End& end, const std::function<AppResult<void>(tun::Netlink&)>& work) {
  const StayInSpace stay(end.space);
  if (!stay.entered()) return fail(errno_text("cannot enter a network namespace", errno));
  auto netlink = tun::Netlink::open();
  if (!netlink) return fail(errno_text("rtnetlink", netlink.error()));
  return work(*netlink);
}

AppResult<void> set_link(const End& end, const std::string& name, const IpAddress& own, uint32_t mtu) {
  return with_netlink(end, [&](tun::Netlink& netlink) -> AppResult<void> {
    const auto link = netlink.link(name);
    if (!link) return fail(errno_text(name, link.error()));
    for (const int error : {netlink.add_address(link->index, {.address = own, .length = 24}),
                            netlink.set_mtu(link->index, mtu), netlink.set_up(link->index, true)}) {
      if (auto good = done(name, error); !good) return good;
    }
    return {};
  });
}

class World {
 public:
  static AppResult<World> make() {
    crypto::SystemRng rng;
    auto near = NetworkSpace::make();
    if (!near) return std::unexpected(near.error());
    auto far = NetworkSpace::make();
    if (!far) return std::unexpected(far.error());
    World out(
        {std::move(*near), address("192.0.2.1"), address("10.9.0.1"), "bench0", generate_private_key(rng)},
        {std::move(*far), address("192.0.2.2"), address("10.9.0.2"), "bench1", generate_private_key(rng)});
    const auto wired = with_netlink(out.near_, [&](tun::Netlink& netlink) {
      return done("veth", netlink.add_veth_pair("eth0", "eth0", out.far_.space.fd()));
    });
    if (!wired) return std::unexpected(wired.error());
    for (const End* end : {&out.near_, &out.far_}) {
      if (auto set = set_link(*end, "eth0", end->outer, 1'500); !set) return std::unexpected(set.error());
    }
    return out;
  }

  AppResult<Figures> measure(const Variant& variant, double seconds) const {
    std::vector<DaemonChild> daemons;
    if (variant.tunnel) {
      for (const auto& [self, other] : {std::pair(&far_, &near_), std::pair(&near_, &far_)}) {
        auto daemon = start(*self, *other, variant.environment);
        if (!daemon) return std::unexpected(daemon.error());
        daemons.push_back(std::move(*daemon));
      }
    }
    const IpAddress& target = variant.tunnel ? far_.inner : far_.outer;
    if (auto up = wait_for_echo(target); !up) return std::unexpected(up.error());

    Figures out;
    const double cpu = cpu_of(daemons);
    const auto tcp = run_tcp(near_.space, far_.space, {.address = target, .port = kTcpPort}, seconds);
    if (!tcp) return std::unexpected(tcp.error());
    out.mbit_s = tcp->bytes * 8 / tcp->seconds / 1e6;
    out.cpu_s_per_gb = (cpu_of(daemons) - cpu) / (tcp->bytes / 1e9);

    auto link = PacedLink::open(near_.space, far_.space, {.address = target, .port = kUdpPort}, 1);
    if (!link) return std::unexpected(link.error());
    out.packets_s = search_rate(*link, kSmallPayload, kUdpTrial, kUdpSearch).delivered;

    const auto trips = measure_round_trips(near_.space, target, kPings, kPingInterval);
    if (!trips) return std::unexpected(trips.error());
    out.rtt_p50_us = percentile(trips->microseconds, 0.5);
    out.rtt_p99_us = percentile(trips->microseconds, 0.99);
    return out;
  }

 private:
  World(End near, End far) : near_(std::move(near)), far_(std::move(far)) {}

  static double cpu_of(const std::vector<DaemonChild>& daemons) {
    double sum = 0;
    for (const DaemonChild& one : daemons) sum += one.cpu_seconds();
    return sum;
  }

  static AppResult<DaemonChild> start(const End& self, const End& other, const Variables& variables) {
    auto daemon = DaemonChild::start(self.space, self.interface, variables);
    if (!daemon) return daemon;
    const std::string lines = "private_key=" + crypto::key_to_hex(self.key.view()) +
                              "\nlisten_port=" + std::to_string(kWireGuardPort) +
                              "\npublic_key=" + crypto::key_to_hex(crypto::public_key_of(other.key).bytes) +
                              "\nendpoint=" + Endpoint{other.outer, kWireGuardPort, 0}.text() +
                              "\nallowed_ip=0.0.0.0/0\n";
    if (auto set = set_by_uapi(self.interface, lines); !set) return std::unexpected(set.error());
    if (auto set = set_link(self, self.interface, self.inner, kMtu); !set)
      return std::unexpected(set.error());
    return daemon;
  }

  AppResult<void> wait_for_echo(const IpAddress& target) const {
    for (const double end = seconds_now() + kSessionPatience; seconds_now() < end;) {
      const auto trips = measure_round_trips(near_.space, target, 1, 0.01);
      if (trips && !trips->microseconds.empty()) return {};
    }
    return fail("no packet came through within some seconds");
  }

  End near_, far_;
};

// This process's own /run: what the daemons write there is seen by nobody, and gone with us.
AppResult<void> hide_run() {
  if (unshare(CLONE_NEWNS) != 0) return fail(errno_text("no mount namespace can be made", errno));
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail(errno_text("mount /", errno));
  // /var/run, where wg's sockets are, is a link to /run nearly everywhere.
  std::set<std::string> folders;
  for (const char* name : {"/run", "/var/run"}) {
    std::error_code missing;
    const auto folder = std::filesystem::canonical(name, missing);
    if (!missing) folders.insert(folder.string());
  }
  for (const std::string& folder : folders) {
    if (mount("tmpfs", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
      return fail(errno_text("mount " + folder, errno));
    }
  }
  return {};
}

}  // namespace

Figures VariantResult::middle() const {
  Figures out;
  for (double Figures::* const figure : {&Figures::mbit_s, &Figures::cpu_s_per_gb, &Figures::packets_s,
                                         &Figures::rtt_p50_us, &Figures::rtt_p99_us}) {
    std::vector<double> values;
    values.reserve(rounds.size());
    for (const Figures& round : rounds) values.push_back(round.*figure);
    out.*figure = median(std::move(values));
  }
  return out;
}

std::vector<Variant> variants_of(const HostFacts& facts, const Settings& settings) {
  std::vector<Variant> out = {{"as it is", {}}};
  if (facts.io.starts_with("io_uring")) out.push_back({"epoll, not io_uring", {{"HATSD_IO", "epoll"}}});
  if (facts.tun && facts.tun->tso) out.push_back({"no TUN offloads", {{"HATSD_TUN_OFFLOAD", "off"}}});
  if (facts.aead.starts_with("ipsec-mb")) out.push_back({"AEAD by sodium", {{"HATSD_AEAD", "sodium"}}});
  const Settings all_on_auto;
  if (settings.io != all_on_auto.io || settings.tun_offload != all_on_auto.tun_offload ||
      settings.aead != all_on_auto.aead) {
    out.push_back(
        {"all on auto", {{"HATSD_IO", "auto"}, {"HATSD_TUN_OFFLOAD", "auto"}, {"HATSD_AEAD", "auto"}}});
  }
  out.push_back({.name = "no tunnel", .environment = {}, .tunnel = false});
  return out;
}

std::string missing_rights() {
  if (geteuid() != 0) return "only root can make network namespaces and interfaces: run it with sudo";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) {
    return errno_text("/dev/net/tun", errno) +
           ": load the tun module, or give the container the device (--device /dev/net/tun)";
  }
  if (const auto space = NetworkSpace::make(); !space) {
    return space.error().message + ": it needs CAP_SYS_ADMIN and CAP_NET_ADMIN (Docker: --cap-add for both)";
  }
  return "";
}

AppResult<std::vector<VariantResult>> bench_tunnels(const std::vector<Variant>& variants,
                                                    const TunnelBenchOptions& options,
                                                    const std::function<void(const std::string&)>& progress) {
  if (auto hidden = hide_run(); !hidden) return std::unexpected(hidden.error());
  const auto world = World::make();
  if (!world) return std::unexpected(world.error());
  std::vector<VariantResult> out;
  out.reserve(variants.size());
  for (const Variant& variant : variants) out.push_back({variant.name, variant.tunnel, {}});
  for (unsigned round = 0; round < options.rounds; ++round) {
    for (size_t i = 0; i < variants.size(); ++i) {
      const size_t which = (i + round) % variants.size();
      progress("round " + std::to_string(round + 1) + " of " + std::to_string(options.rounds) + ": " +
               variants[which].name);
      auto figures = world->measure(variants[which], options.seconds);
      if (!figures) return fail(variants[which].name + ": " + figures.error().message);
      out[which].rounds.push_back(*figures);
    }
  }
  return out;
}

}  // namespace hats::app::bench
