// Addresses of interfaces.
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "tun/link.hpp"
#include "tun/netlink_socket.hpp"

namespace hats::tun {

namespace {

constexpr uint32_t kForever = 0xffff'ffff;  // INFINITY_LIFE_TIME

ifaddrmsg& fill(Request& request, uint32_t index, const Prefix& address,
                const std::optional<IpAddress>& peer) {
  auto& header = request.family_header<ifaddrmsg>();
  header.ifa_family = af_of(address.address.family);
  header.ifa_prefixlen = address.length;
  header.ifa_index = index;
  request.put(IFA_LOCAL, address.address);
  request.put(IFA_ADDRESS, peer ? *peer : address.address);
  return header;
}

using AddressAttributes = Attributes<IFA_FLAGS>;

/// Calls each(header, attributes) for every address of a family; AF_UNSPEC: of both. `restart`: what was
/// heard so far is void. 0 or errno.
int dump_addresses(NetlinkSocket& socket, uint8_t family, const auto& each, const auto& restart) {
  Request request(RTM_GETADDR, 0);
  request.family_header<ifaddrmsg>().ifa_family = family;
  const auto on_message = [&](const nlmsghdr* m) {
    if (m->nlmsg_type != RTM_NEWADDR) return;
    each(*static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(m)), AddressAttributes(m, sizeof(ifaddrmsg)));
  };
  return socket.dump(request, on_message, restart);
}

}  // namespace

int Netlink::add_address(uint32_t index, const Prefix& address, const AddressOptions& options) {
  if (!address.address.is_set()) return EINVAL;
  if (options.peer && options.peer->family != address.address.family) return EINVAL;
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  ifaddrmsg& header = fill(request, index, address, options.peer);
  if (options.scope) header.ifa_scope = *options.scope;
  if (!options.label.empty()) request.put(IFA_LABEL, options.label);
  if (options.preferred_lifetime_s) {
    ifa_cacheinfo lifetimes{};
    lifetimes.ifa_prefered = *options.preferred_lifetime_s;
    lifetimes.ifa_valid = kForever;
    mnl_attr_put(request.message(), IFA_CACHEINFO, sizeof lifetimes, &lifetimes);
  }
  if (options.route_metric) request.put(IFA_RT_PRIORITY, *options.route_metric);
  const uint32_t flags = (options.prefix_route ? 0U : uint32_t{IFA_F_NOPREFIXROUTE}) |
                         (options.duplicate_detection ? 0U : uint32_t{IFA_F_NODAD});
  if (flags != 0) request.put(IFA_FLAGS, flags);  // before Linux 3.14 it is not known, and ignored
  return impl_->socket.request(request);
}

int Netlink::remove_address(uint32_t index, const Prefix& address, std::optional<IpAddress> peer) {
  if (!address.address.is_set()) return EINVAL;
  Request request(RTM_DELADDR, 0);
  fill(request, index, address, peer);
  return impl_->socket.request(request);
}

std::expected<std::vector<Prefix>, int> Netlink::addresses(uint32_t index) {
  std::vector<Prefix> out;
  const auto each = [&](const ifaddrmsg& header, const AddressAttributes& attributes) {
    if (header.ifa_index != index) return;
    // With a point-to-point peer IFA_ADDRESS is the peer's; without one IPv6 has no IFA_LOCAL.
    const nlattr* own = attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
    const IpAddress address = address_of(header.ifa_family, own);
    if (address.is_set()) out.push_back({address, header.ifa_prefixlen});
  };
  if (const int error = dump_addresses(impl_->socket, AF_UNSPEC, each, [&] { out.clear(); })) {
    return std::unexpected(error);
  }
  return out;
}

int Netlink::remove_generated_addresses(uint32_t index) {
  std::vector<Prefix> found;
  const auto each = [&](const ifaddrmsg& header, const AddressAttributes& attributes) {
    if (header.ifa_index != index || header.ifa_scope != RT_SCOPE_LINK) return;
    const uint32_t flags = attributes[IFA_FLAGS] != nullptr ? mnl_attr_get_u32(attributes[IFA_FLAGS]) : 0;
    if ((flags & IFA_F_STABLE_PRIVACY) == 0) return;
    found.push_back({address_of(header.ifa_family, attributes[IFA_ADDRESS]), header.ifa_prefixlen});
  };
  if (const int error = dump_addresses(impl_->socket, AF_INET6, each, [&] { found.clear(); })) return error;
  for (const Prefix& address : found) {
    if (const int error = remove_address(index, address)) return error;
  }
  return 0;
}

std::expected<std::vector<IpAddress>, int> Netlink::host_addresses() {
  std::vector<std::pair<uint32_t, IpAddress>> found;  // with their links
  const auto each = [&](const ifaddrmsg& header, const AddressAttributes& attributes) {
    if (header.ifa_scope >= RT_SCOPE_LINK) return;
    const IpAddress address = address_of(header.ifa_family, attributes[IFA_LOCAL]);
    if (address.is_set()) found.emplace_back(header.ifa_index, address);
  };
  if (const int error = dump_addresses(impl_->socket, AF_INET, each, [&] { found.clear(); })) {
    return std::unexpected(error);
  }
  std::vector<IpAddress> out;
  for (const auto& [index, address] : found) {
    const auto state = link(index);
    if (state && (state->flags & IFF_UP) != 0) out.push_back(address);
  }
  return out;
}

}  // namespace hats::tun
