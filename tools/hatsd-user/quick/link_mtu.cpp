#include "tools/hatsd-user/quick/link_mtu.hpp"

#include <algorithm>

namespace hats::app {
namespace {

constexpr uint32_t kMainTable = 254;

std::optional<uint32_t> link_mtu(tun::Netlink& netlink, uint32_t index) {
  if (index == 0) return std::nullopt;
  const auto link = netlink.link(index);
  if (!link) return std::nullopt;
  return link->mtu;
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

}  // namespace

std::optional<uint32_t> underlay_mtu(tun::Netlink& netlink, const Endpoint& endpoint, uint32_t fwmark) {
  if (endpoint.scope_id != 0) return link_mtu(netlink, endpoint.scope_id);
  const auto route = netlink.route_to(endpoint.address, fwmark);
  if (!route) return std::nullopt;
  if (route->mtu) return route->mtu;
  return link_mtu(netlink, route->interface_index);
}

uint32_t smallest_underlay_mtu(tun::Netlink& netlink, const std::vector<Endpoint>& endpoints,
                               uint32_t fwmark) {
  std::optional<uint32_t> smallest;
  for (const auto& endpoint : endpoints) {
    const auto mtu = underlay_mtu(netlink, endpoint, fwmark);
    if (mtu) smallest = std::min(*mtu, smallest.value_or(*mtu));
  }
  if (!smallest) smallest = default_route_mtu(netlink);
  return smallest.value_or(kUnderlayMtuUnknown);
}

}  // namespace hats::app
