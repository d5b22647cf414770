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

std::optional<std::string> tunnel_path_warning(tun::Netlink& netlink, uint32_t mtu,
                                               const encap::TunnelConfig& tunnel) {
  const auto path = path_mtu(netlink, {.address = tunnel.remote}, 0);
  if (!path) return std::nullopt;
  return config::mtu_warning(config::encapsulation_of(tunnel), mtu, *path);
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
    config::PeerPath path{.endpoint = Endpoint{.address = config.tunnel->tunnel.remote}};
    if (netlink) path.mtu = path_mtu(*netlink, *path.endpoint, 0);
    facts.paths.push_back(path);
    const IpAddress& local = config.tunnel->tunnel.local;
    const std::string& underlay = config.tunnel->underlay;
    const uint32_t link = underlay.empty() ? 0 : if_nametoindex(underlay.c_str());
    facts.local_is_absent = local.is_set() && !is_own_address(local, link);
  }
  if (netlink) facts.default_route_mtu = default_route_mtu(*netlink);
  return facts;
}

}  // namespace hats::app
