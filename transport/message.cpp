#include "transport/message.hpp"

#include <array>
#include <cerrno>

namespace hats::transport {
namespace {

void parse_v4_control(const cmsghdr& header, LocalSource& to, uint8_t& ds) {
  if (in_pktinfo info; header.cmsg_type == IP_PKTINFO && read_control(header, info)) {
    // Not the header's destination, which may be a broadcast address: the local address one may send from.
    to.address = IpAddress::v4(reinterpret_cast<const uint8_t*>(&info.ipi_spec_dst));
    to.interface_index = static_cast<uint32_t>(info.ipi_ifindex);
  } else if (uint8_t tos; header.cmsg_type == IP_TOS && read_control(header, tos)) {
    ds = tos;
  }
}

void parse_v6_control(const cmsghdr& header, LocalSource& to, uint8_t& ds) {
  if (in6_pktinfo info; header.cmsg_type == IPV6_PKTINFO && read_control(header, info)) {
    to.address = IpAddress::v6(reinterpret_cast<const uint8_t*>(&info.ipi6_addr));
    to.interface_index = info.ipi6_ifindex;
  } else if (int traffic_class; header.cmsg_type == IPV6_TCLASS && read_control(header, traffic_class)) {
    ds = static_cast<uint8_t>(traffic_class);
  }
}

}  // namespace

bool is_link_local(const IpAddress& address) {
  return address.family == Family::v6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

socklen_t fill_name(const Endpoint& to, sockaddr_in6& name) {
  if (to.address.family == Family::v4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(to.port);
    std::memcpy(&v4.sin_addr, to.address.bytes.data(), sizeof v4.sin_addr);
    std::memcpy(&name, &v4, sizeof v4);
    return sizeof v4;
  }
  name = {};
  name.sin6_family = AF_INET6;
  name.sin6_port = htons(to.port);
  name.sin6_scope_id = is_link_local(to.address) ? to.scope_id : 0;
  std::memcpy(&name.sin6_addr, to.address.bytes.data(), sizeof name.sin6_addr);
  return sizeof name;
}

bool parse_name(const void* name, socklen_t size, Endpoint& out) {
  sa_family_t family = AF_UNSPEC;
  if (size < sizeof family) return false;
  std::memcpy(&family, name, sizeof family);
  if (family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, name, sizeof v4);
    out.address = IpAddress::v4(reinterpret_cast<const uint8_t*>(&v4.sin_addr));
    out.port = ntohs(v4.sin_port);
    return true;
  }
  if (family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, name, sizeof v6);
    out.address = IpAddress::v6(reinterpret_cast<const uint8_t*>(&v6.sin6_addr));
    out.port = ntohs(v6.sin6_port);
    out.scope_id = v6.sin6_scope_id;
    return true;
  }
  return false;
}

Family socket_family(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return Family::none;
  return domain == AF_INET ? Family::v4 : domain == AF_INET6 ? Family::v6 : Family::none;
}

bool takes_control(int fd, const msghdr& message) {
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EINVAL;
}

IpAddress broadcast_address() {
  const std::array<uint8_t, 4> bytes{255, 255, 255, 255};
  return IpAddress::v4(bytes.data());
}

void ControlWriter::add_source(Family family, const IpAddress& source, uint32_t interface_index) {
  const bool has_address = source.family == family;
  if (!has_address && interface_index == 0) return;
  if (family == Family::v4) {
    in_pktinfo info{};
    if (has_address) std::memcpy(&info.ipi_spec_dst, source.bytes.data(), sizeof info.ipi_spec_dst);
    info.ipi_ifindex = static_cast<int>(interface_index);
    add(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    if (has_address) std::memcpy(&info.ipi6_addr, source.bytes.data(), sizeof info.ipi6_addr);
    info.ipi6_ifindex = interface_index;
    add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

void ControlWriter::add_ds(Family family, int ds) {
  if (family == Family::v4) {
    add(IPPROTO_IP, IP_TOS, ds);
  } else {
    add(IPPROTO_IPV6, IPV6_TCLASS, ds);
  }
}

void ControlWriter::finish(msghdr& message) const {
  if (used_ == 0) return;
  message.msg_control = base_;
  message.msg_controllen = used_;
}

void parse_ip_control(const cmsghdr& header, LocalSource& to, uint8_t& ds) {
  if (header.cmsg_level == IPPROTO_IP) {
    parse_v4_control(header, to, ds);
  } else if (header.cmsg_level == IPPROTO_IPV6) {
    parse_v6_control(header, to, ds);
  }
}

}  // namespace hats::transport
