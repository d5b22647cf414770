// Addresses of interfaces.
#include <linux/if_addr.h>

#include "tun/link.hpp"
#include "tun/netlink_socket.hpp"

namespace hats::tun {

namespace {

void fill(Request& request, uint32_t index, const Prefix& address, const std::optional<IpAddress>& peer) {
  auto& header = request.family_header<ifaddrmsg>();
  header.ifa_family = af_of(address.address.family);
  header.ifa_prefixlen = address.length;
  header.ifa_index = index;
  request.put(IFA_LOCAL, address.address);
  request.put(IFA_ADDRESS, peer ? *peer : address.address);
}

}  // namespace

int Netlink::add_address(uint32_t index, const Prefix& address, std::optional<IpAddress> peer) {
  if (!address.address.is_set() || (peer && peer->family != address.address.family)) return EINVAL;
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  fill(request, index, address, peer);
  return impl_->socket.request(request);
}

int Netlink::remove_address(uint32_t index, const Prefix& address) {
  if (!address.address.is_set()) return EINVAL;
  Request request(RTM_DELADDR, 0);
  fill(request, index, address, std::nullopt);
  return impl_->socket.request(request);
}

std::expected<std::vector<Prefix>, int> Netlink::addresses(uint32_t index) {
  std::vector<Prefix> out;
  Request request(RTM_GETADDR, 0);
  request.family_header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  const auto on_message = [&](const nlmsghdr* m) {
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(m));
    if (m->nlmsg_type != RTM_NEWADDR || header->ifa_index != index) return;
    const Attributes<IFA_LOCAL> attributes(m, sizeof(ifaddrmsg));
    // With a point-to-point peer IFA_ADDRESS is the peer's; without one IPv6 has no IFA_LOCAL.
    const nlattr* own = attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
    const IpAddress address = address_of(header->ifa_family, own);
    if (address.is_set()) out.push_back({address, header->ifa_prefixlen});
  };
  if (const int error = impl_->socket.dump(request, on_message, [&] { out.clear(); })) {
    return std::unexpected(error);
  }
  return out;
}

}  // namespace hats::tun
