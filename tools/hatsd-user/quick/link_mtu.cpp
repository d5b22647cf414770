#include "tools/hatsd-user/quick/link_mtu.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "core/config/mtu_advice.hpp"
#include "transport/socket.hpp"

namespace hats::app {
namespace {

constexpr uint32_t kMainTable = 254;

std::optional<uint32_t> link_mtu(tun::Netlink& netlink, uint32_t index) {
  if (index == 0) return std::nullopt;
  const auto link = netlink.link(index);
  if (!link) return std::nullopt;
  return link->mtu;
}

}  // namespace

bool is_own_address(const IpAddress& address, uint32_t interface_index) {
  const int family = address.family == Family::v4 ? AF_INET : AF_INET6;
  const transport::UniqueFd fd(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  sockaddr_storage name{};
  socklen_t size = 0;
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, address.bytes.data(), sizeof v4.sin_addr);
    std::memcpy(&name, &v4, size = sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, address.bytes.data(), sizeof v6.sin6_addr);
    v6.sin6_scope_id = interface_index;
    std::memcpy(&name, &v6, size = sizeof v6);
  }
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), size) == 0;
}

std::optional<uint32_t> path_mtu(tun::Netlink& netlink, const Endpoint& endpoint, uint32_t fwmark) {
  if (endpoint.scope_id != 0) return link_mtu(netlink, endpoint.scope_id);
  const auto route = netlink.route_to(endpoint.address, fwmark);
  if (!route) return std::nullopt;
  if (route->mtu) return route->mtu;
  return link_mtu(netlink, route->interface_index);
}

std::optional<uint32_t> default_route_mtu(tun::Netlink& netlink) {
  for (const Family family : {Family::v4, Family::v6}) {
    const auto routes = netlink.routes(family, 0, kMainTable);
    if (!routes) continue;
    for (const auto& route : *routes) {
      if (route.destination.length != 0) continue;
      if (route.mtu) return route.mtu;
      if (const auto mtu = link_mtu(netlink, route.interface_index)) return mtu;
    }
  }
  return std::nullopt;
}

uint32_t automatic_mtu(tun::Netlink& netlink, const std::vector<Endpoint>& endpoints, uint32_t fwmark) {
  std::vector<uint32_t> paths;
  for (const auto& endpoint : endpoints) {
    if (const auto mtu = path_mtu(netlink, endpoint, fwmark)) paths.push_back(*mtu);
  }
  return config::wg_quick_default_mtu(paths, default_route_mtu(netlink));
}

std::vector<config::PeerPath> paths_to(tun::Netlink& netlink, const std::vector<Endpoint>& endpoints,
                                       uint32_t fwmark) {
  std::vector<config::PeerPath> out;
  out.reserve(endpoints.size());
  for (const Endpoint& endpoint : endpoints) {
    out.push_back({.endpoint = endpoint, .mtu = path_mtu(netlink, endpoint, fwmark)});
  }
  return out;
}

std::optional<std::string> path_warning(uint32_t mtu, const std::vector<config::PeerPath>& paths) {
  std::optional<std::string> worst;
  uint32_t least = 0;
  for (const config::PeerPath& path : paths) {
    if (!path.endpoint || !path.mtu) continue;
    const config::Encapsulation outer{.outer = path.endpoint->address.family};
    const uint32_t best = config::best_mtu(outer, *path.mtu);
    if (worst && best >= least) continue;
    if (auto warning = config::mtu_warning(outer, mtu, *path.mtu)) {
      worst = std::move(warning);
      least = best;
    }
  }
  return worst;
}

bool forbids_remote(const encap::TunnelConfig& tunnel) {
  return tunnel.outer() == Family::v6 && !tunnel.allow_local_remote &&
         is_own_address(tunnel.remote, tunnel.underlay);
}

std::expected<tun::Route, std::string> tunnel_route(tun::Netlink& netlink,
                                                    const encap::TunnelConfig& tunnel) {
  if (tunnel.local.is_set() && !is_own_address(tunnel.local, tunnel.underlay)) {
    return std::unexpected("the local address " + tunnel.local.text() + " is not on this host");
  }
  if (forbids_remote(tunnel)) {
    return std::unexpected("the remote " + tunnel.remote.text() +
                           " is an address of this host (allow-localremote lets that be)");
  }
  const std::optional<IpAddress> from = tunnel.local.is_set() ? std::optional(tunnel.local) : std::nullopt;
  auto route = netlink.route_to(tunnel.remote, 0, from, tunnel.underlay);
  if (!route) return std::unexpected("there is no route to " + tunnel.remote.text());
  if (from) route->source = from;
  return *route;
}

std::optional<uint32_t> lasting_mtu(tun::Netlink& netlink, const tun::Route& route) {
  if (route.mtu && !route.mtu_expires) return route.mtu;
  return link_mtu(netlink, route.interface_index);
}

std::optional<uint32_t> tunnel_path_mtu(tun::Netlink& netlink, const config::TunnelSpec& spec) {
  encap::TunnelConfig tunnel = spec.tunnel;
  if (!spec.underlay.empty()) {
    tunnel.underlay = if_nametoindex(spec.underlay.c_str());
    if (tunnel.underlay == 0) return std::nullopt;
  }
  const auto route = tunnel_route(netlink, tunnel);
  return route ? lasting_mtu(netlink, *route) : std::nullopt;
}

config::ExplainFacts explain_facts(const config::InterfaceConfig& config, const std::string& interface,
                                   const std::string& file) {
  config::ExplainFacts facts;
  facts.interface = interface;
  facts.file = file;
  auto netlink = tun::Netlink::open();
  for (const auto& peer : config.peers) {
    config::PeerPath path;
    if (peer.endpoint) path.endpoint = peer.endpoint->numeric();
    if (path.endpoint && netlink) path.mtu = path_mtu(*netlink, *path.endpoint, config.fwmark.value_or(0));
    facts.paths.push_back(path);
  }
  if (config.tunnel) {
    config::TunnelSpec spec = *config.tunnel;
    const IpAddress local = spec.tunnel.local;
    const uint32_t link = spec.underlay.empty() ? 0 : if_nametoindex(spec.underlay.c_str());
    facts.local_is_absent = local.is_set() && !is_own_address(local, link);
    // The address may be yet to come; most hosts have one way to the remote, whatever the address.
    if (facts.local_is_absent) spec.tunnel.local = {};
    config::PeerPath path{.endpoint = Endpoint{.address = spec.tunnel.remote}};
    if (netlink) path.mtu = tunnel_path_mtu(*netlink, spec);
    facts.paths.push_back(path);
  }
  if (netlink) facts.default_route_mtu = default_route_mtu(*netlink);
  return facts;
}

}  // namespace hats::app
