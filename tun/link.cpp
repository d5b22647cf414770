// Links: look-up and settings.
#include "tun/link.hpp"

#include <linux/if_link.h>
#include <linux/veth.h>
#include <net/if.h>

#include "tun/netlink_socket.hpp"

namespace hats::tun {

std::expected<Netlink, int> Netlink::open() {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::unexpected(socket.error());
  Netlink out;
  out.impl_ = std::make_unique<Impl>(std::move(*socket));
  return out;
}

Netlink::Netlink(Netlink&&) noexcept = default;
Netlink& Netlink::operator=(Netlink&&) noexcept = default;
Netlink::~Netlink() = default;

LinkState link_of(const nlmsghdr* message) {
  LinkState out;
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  const Attributes<IFLA_LINKINFO> attributes(message, sizeof(ifinfomsg));
  out.index = static_cast<uint32_t>(info->ifi_index);
  out.flags = info->ifi_flags;
  out.mtu = u32_of(attributes[IFLA_MTU], 0);
  if (attributes[IFLA_IFNAME] != nullptr) out.name = mnl_attr_get_str(attributes[IFLA_IFNAME]);
  if (attributes[IFLA_LINKINFO] != nullptr) {
    const Attributes<IFLA_INFO_KIND> link_info(attributes[IFLA_LINKINFO]);
    if (link_info[IFLA_INFO_KIND] != nullptr) out.kind = mnl_attr_get_str(link_info[IFLA_INFO_KIND]);
  }
  return out;
}

namespace {

std::expected<LinkState, int> look_up(NetlinkSocket& socket, Request& request) {
  std::optional<LinkState> found;
  const int error = socket.request(request, [&](const nlmsghdr* m) {
    if (m->nlmsg_type == RTM_NEWLINK) found = link_of(m);
  });
  if (error != 0) return std::unexpected(error);
  if (!found) return std::unexpected(ENODEV);
  return *found;
}

int set_number(NetlinkSocket& socket, uint32_t index, uint16_t attribute, uint32_t value) {
  Request request(RTM_NEWLINK, 0);
  request.family_header<ifinfomsg>().ifi_index = static_cast<int>(index);
  request.put(attribute, value);
  return socket.request(request);
}

int set_flags(NetlinkSocket& socket, uint32_t index, uint32_t flags, uint32_t mask) {
  Request request(RTM_NEWLINK, 0);
  auto& info = request.family_header<ifinfomsg>();
  info.ifi_index = static_cast<int>(index);
  info.ifi_flags = flags;
  info.ifi_change = mask;
  return socket.request(request);
}

}  // namespace

std::expected<LinkState, int> Netlink::link(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::unexpected(ENODEV);
  Request request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>();
  mnl_attr_put_strz(request.message(), IFLA_IFNAME, name.c_str());
  return look_up(impl_->socket, request);
}

std::expected<LinkState, int> Netlink::link(uint32_t index) {
  Request request(RTM_GETLINK, 0);
  request.family_header<ifinfomsg>().ifi_index = static_cast<int>(index);
  return look_up(impl_->socket, request);
}

int Netlink::set_mtu(uint32_t index, uint32_t mtu) {
  return set_number(impl_->socket, index, IFLA_MTU, mtu);
}

int Netlink::set_queue_length(uint32_t index, uint32_t packets) {
  return set_number(impl_->socket, index, IFLA_TXQLEN, packets);
}

int Netlink::set_up(uint32_t index, bool up) {
  return set_flags(impl_->socket, index, up ? IFF_UP : 0, IFF_UP);
}

int Netlink::set_multicast(uint32_t index, bool on) {
  return set_flags(impl_->socket, index, on ? IFF_MULTICAST : 0, IFF_MULTICAST);
}

int Netlink::set_addrgenmode_none(uint32_t index) {
  Request request(RTM_NEWLINK, 0);
  request.family_header<ifinfomsg>().ifi_index = static_cast<int>(index);
  nlattr* spec = mnl_attr_nest_start(request.message(), IFLA_AF_SPEC);
  nlattr* inet6 = mnl_attr_nest_start(request.message(), AF_INET6);
  mnl_attr_put_u8(request.message(), IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  mnl_attr_nest_end(request.message(), inet6);
  mnl_attr_nest_end(request.message(), spec);
  return impl_->socket.request(request);
}

int Netlink::add_veth_pair(const std::string& name, const std::string& peer, int peer_namespace_fd) {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  nlmsghdr* message = request.message();
  request.family_header<ifinfomsg>();
  request.put(IFLA_IFNAME, name);
  nlattr* link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, std::string("veth"));
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* of_peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));  // the peer's own, before its attributes
  request.put(IFLA_IFNAME, peer);
  request.put(IFLA_NET_NS_FD, static_cast<uint32_t>(peer_namespace_fd));
  mnl_attr_nest_end(message, of_peer);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, link_info);
  return impl_->socket.request(request);
}

int Netlink::remove_link(uint32_t index) {
  Request request(RTM_DELLINK, 0);
  request.family_header<ifinfomsg>().ifi_index = static_cast<int>(index);
  return impl_->socket.request(request);
}

}  // namespace hats::tun
