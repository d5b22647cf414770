// Routes: change, list, look-up.
#include "tun/link.hpp"
#include "tun/netlink_socket.hpp"

namespace hats::tun {

namespace {

constexpr uint32_t kLargestHeaderTable = 255;  // rtm_table is one byte; RTA_TABLE carries the rest

void put_table(Request& request, rtmsg& header, uint32_t table) {
  header.rtm_table = static_cast<uint8_t>(table <= kLargestHeaderTable ? table : uint32_t{RT_TABLE_UNSPEC});
  request.put(RTA_TABLE, table);
}

void put_route(Request& request, rtmsg& header, const Route& route) {
  header.rtm_family = af_of(route.destination.address.family);
  header.rtm_dst_len = route.destination.length;
  put_table(request, header, route.table);
  if (route.destination.length > 0) request.put(RTA_DST, route.destination.masked().address);
  if (route.gateway) request.put(RTA_GATEWAY, *route.gateway);
  if (route.interface_index != 0) request.put(RTA_OIF, route.interface_index);
  if (route.metric) request.put(RTA_PRIORITY, *route.metric);
  if (route.source) request.put(RTA_PREFSRC, *route.source);
  if (route.from) {
    header.rtm_src_len = route.from->length;
    request.put(RTA_SRC, route.from->masked().address);
  }
  if (route.on_link) header.rtm_flags |= RTNH_F_ONLINK;
  if (route.mtu || route.advertised_mss) {
    nlattr* metrics = mnl_attr_nest_start(request.message(), RTA_METRICS);
    if (route.mtu) request.put(RTAX_MTU, *route.mtu);
    if (route.advertised_mss) request.put(RTAX_ADVMSS, *route.advertised_mss);
    mnl_attr_nest_end(request.message(), metrics);
  }
}

std::optional<IpAddress> optional_address(uint8_t af, const nlattr* attribute) {
  const IpAddress address = address_of(af, attribute);
  return address.is_set() ? std::optional(address) : std::nullopt;
}

IpAddress zero_of(uint8_t af) {
  constexpr std::array<uint8_t, 16> kZero{};
  return af == AF_INET ? IpAddress::v4(kZero.data()) : IpAddress::v6(kZero.data());
}

// One Route, or one for each next hop of a multipath route.
std::vector<Route> routes_of(const nlmsghdr* message) {
  const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  const uint8_t af = header->rtm_family;
  if (af != AF_INET && af != AF_INET6) return {};
  const Attributes<RTA_TABLE> attributes(message, sizeof(rtmsg));
  Route route;
  const IpAddress to = address_of(af, attributes[RTA_DST]);
  route.destination = {to.is_set() ? to : zero_of(af), header->rtm_dst_len};
  route.gateway = optional_address(af, attributes[RTA_GATEWAY]);
  route.source = optional_address(af, attributes[RTA_PREFSRC]);
  route.interface_index = u32_of(attributes[RTA_OIF], 0);
  route.table = u32_of(attributes[RTA_TABLE], header->rtm_table);
  if (attributes[RTA_PRIORITY] != nullptr) route.metric = u32_of(attributes[RTA_PRIORITY], 0);
  if (attributes[RTA_METRICS] != nullptr) {
    const Attributes<RTAX_MTU> metrics(attributes[RTA_METRICS]);
    if (metrics[RTAX_MTU] != nullptr) route.mtu = u32_of(metrics[RTAX_MTU], 0);
  }
  const nlattr* cache = attributes[RTA_CACHEINFO];
  // A router's advertisement expires too, but is no clone (RTF_CACHE).
  if (cache != nullptr && mnl_attr_get_payload_len(cache) >= sizeof(rta_cacheinfo)) {
    route.mtu_expires = (header->rtm_flags & RTM_F_CLONED) != 0 &&
                        static_cast<const rta_cacheinfo*>(mnl_attr_get_payload(cache))->rta_expires > 0;
  }
  if (attributes[RTA_MULTIPATH] == nullptr) return {route};

  std::vector<Route> out;
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(attributes[RTA_MULTIPATH]));
  size_t left = mnl_attr_get_payload_len(attributes[RTA_MULTIPATH]);
  while (left >= sizeof(rtnexthop) && hop->rtnh_len >= sizeof(rtnexthop) && hop->rtnh_len <= left) {
    route.interface_index = static_cast<uint32_t>(hop->rtnh_ifindex);
    out.push_back(route);
    const size_t step = RTNH_ALIGN(hop->rtnh_len);
    if (step >= left) break;
    left -= step;
    hop = reinterpret_cast<const rtnexthop*>(reinterpret_cast<const uint8_t*>(hop) + step);
  }
  return out;
}

bool leads_nowhere(const nlmsghdr* message) {
  const uint8_t type = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message))->rtm_type;
  return type == RTN_UNREACHABLE || type == RTN_BLACKHOLE || type == RTN_PROHIBIT || type == RTN_THROW;
}

}  // namespace

int Netlink::add_route(const Route& route) {
  if (!route.destination.address.is_set()) return EINVAL;
  Request request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  auto& header = request.family_header<rtmsg>();
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_type = route.type;
  // An IPv4 next hop that is the interface itself has link scope; IPv6 knows no scopes here.
  const bool on_link =
      route.destination.address.family == Family::v4 && !route.gateway && route.type == RTN_UNICAST;
  header.rtm_scope = route.scope.value_or(static_cast<uint8_t>(on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE));
  put_route(request, header, route);
  return impl_->socket.request(request);
}

int Netlink::remove_route(const Route& route) {
  if (!route.destination.address.is_set()) return EINVAL;
  Request request(RTM_DELROUTE, 0);
  auto& header = request.family_header<rtmsg>();
  header.rtm_scope = RT_SCOPE_NOWHERE;  // any
  header.rtm_type = route.type;
  put_route(request, header, route);
  return impl_->socket.request(request);
}

std::expected<std::vector<Route>, int> Netlink::routes(Family family, uint32_t interface_index,
                                                       uint32_t table) {
  std::vector<Route> out;
  Request request(RTM_GETROUTE, 0);
  request.family_header<rtmsg>().rtm_family = af_of(family);
  // Filtered here: kernels before 4.20 dump everything whatever the request says.
  const auto on_message = [&](const nlmsghdr* m) {
    const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(m));
    if (m->nlmsg_type != RTM_NEWROUTE || header->rtm_type != RTN_UNICAST) return;
    if ((header->rtm_flags & RTM_F_CLONED) != 0) return;  // cache entries of old kernels
    for (Route& route : routes_of(m)) {
      if (interface_index != 0 && route.interface_index != interface_index) continue;
      if (table == 0 || route.table == table) out.push_back(route);
    }
  };
  if (const int error = impl_->socket.dump(request, on_message, [&] { out.clear(); })) {
    return std::unexpected(error);
  }
  return out;
}

std::expected<Route, int> Netlink::route_to(const IpAddress& to, uint32_t fwmark,
                                            std::optional<IpAddress> from, uint32_t interface_index) {
  if (!to.is_set() || (from && from->family != to.family)) return std::unexpected(EINVAL);
  Request request(RTM_GETROUTE, 0);
  auto& header = request.family_header<rtmsg>();
  header.rtm_family = af_of(to.family);
  header.rtm_dst_len = to.bit_count();
  header.rtm_flags = RTM_F_LOOKUP_TABLE;  // name the table that really matched; old kernels ignore it
  request.put(RTA_DST, to);
  if (from) {
    header.rtm_src_len = from->bit_count();
    request.put(RTA_SRC, *from);
  }
  if (fwmark != 0) request.put(RTA_MARK, fwmark);
  if (interface_index != 0) request.put(RTA_OIF, interface_index);
  std::optional<Route> found;
  bool nowhere = false;
  const int error = impl_->socket.request(request, [&](const nlmsghdr* m) {
    if (m->nlmsg_type != RTM_NEWROUTE) return;
    nowhere = leads_nowhere(m);  // IPv6 answers with an unreachable route where IPv4 answers with an error
    std::vector<Route> routes = routes_of(m);
    if (!routes.empty()) found = routes.front();
  });
  if (error != 0) return std::unexpected(error);
  if (!found || nowhere) return std::unexpected(ENETUNREACH);
  return *found;
}

}  // namespace hats::tun
