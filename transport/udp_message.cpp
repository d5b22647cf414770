#include "transport/udp_message.hpp"

#include <netinet/udp.h>

#include <cerrno>
#include <cstring>

namespace hats::transport {
namespace {

// fe80::/10 (RFC 4291 2.4): the only destinations whose interface is not the routing table's to choose.
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

// Appends control messages to the buffer of a slot.
class ControlWriter {
 public:
  explicit ControlWriter(SendSlot& slot) : base_(slot.control.data()) {}

  template <typename T>
  void add(int level, int type, const T& value) {
    auto* header = reinterpret_cast<cmsghdr*>(base_ + used_);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(header), &value, sizeof value);
    used_ += CMSG_SPACE(sizeof value);
  }
  [[nodiscard]] size_t used() const { return used_; }

 private:
  uint8_t* base_;
  size_t used_ = 0;
};

// The source address, and the interface only where the destination's scope needs one: elsewhere an interface
// would override the routing table.
void add_source(const UdpSend& send, ControlWriter& control) {
  const bool link_local = is_link_local(send.to.address);
  const bool has_address = send.from.address.family == send.to.address.family;
  if (!has_address && !(link_local && send.from.interface_index != 0)) return;
  if (send.to.address.family == Family::v4) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, send.from.address.bytes.data(), sizeof info.ipi_spec_dst);
    control.add(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    if (has_address) std::memcpy(&info.ipi6_addr, send.from.address.bytes.data(), sizeof info.ipi6_addr);
    // A scope id in the destination and another interface here is EINVAL: the destination's wins.
    if (link_local) info.ipi6_ifindex = send.to.scope_id ? send.to.scope_id : send.from.interface_index;
    control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

template <typename T>
bool get(const cmsghdr& header, T& value) {
  if (header.cmsg_len < CMSG_LEN(sizeof value)) return false;
  std::memcpy(&value, CMSG_DATA(&header), sizeof value);
  return true;
}

void parse_v4_control(const cmsghdr& header, UdpReceived& out) {
  if (in_pktinfo info; header.cmsg_type == IP_PKTINFO && get(header, info)) {
    // Not the header's destination, which may be a broadcast address: the local address one may send from.
    out.to.address = IpAddress::v4(reinterpret_cast<const uint8_t*>(&info.ipi_spec_dst));
    out.to.interface_index = static_cast<uint32_t>(info.ipi_ifindex);
  } else if (uint8_t tos; header.cmsg_type == IP_TOS && get(header, tos)) {
    out.ds = tos;
  }
}

void parse_v6_control(const cmsghdr& header, UdpReceived& out) {
  if (in6_pktinfo info; header.cmsg_type == IPV6_PKTINFO && get(header, info)) {
    out.to.address = IpAddress::v6(reinterpret_cast<const uint8_t*>(&info.ipi6_addr));
    out.to.interface_index = info.ipi6_ifindex;
  } else if (int traffic_class; header.cmsg_type == IPV6_TCLASS && get(header, traffic_class)) {
    out.ds = static_cast<uint8_t>(traffic_class);
  }
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

}  // namespace

bool can_send_ds_by_message(int fd, Family family) {
  if (family != Family::v4) return true;
  // The control data is read before the refusal that a broadcast destination meets without SO_BROADCAST; so
  // nothing leaves the host, and EINVAL can only mean the control data.
  UdpSend probe;
  const std::array<uint8_t, 4> broadcast{255, 255, 255, 255};
  probe.to = {IpAddress::v4(broadcast.data()), 9, 0};
  probe.ds = 0x88;
  SendSlot slot;
  msghdr message{};
  build_send(probe, {}, 0, true, slot, message);
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EINVAL;
}

int set_socket_ds(int fd, Family family, uint8_t ds) {
  const int value = ds;
  const int done = family == Family::v4 ? setsockopt(fd, IPPROTO_IP, IP_TOS, &value, sizeof value)
                                        : setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
  return done == 0 ? 0 : errno;
}

Family socket_family(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return Family::none;
  return domain == AF_INET ? Family::v4 : domain == AF_INET6 ? Family::v6 : Family::none;
}

void build_send(const UdpSend& send, ByteView bytes, uint16_t segment_size, bool ds_by_message,
                SendSlot& slot, msghdr& message) noexcept {
  slot.part = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
  message = {};
  message.msg_name = &slot.name;
  message.msg_namelen = fill_name(send.to, slot.name);
  message.msg_iov = &slot.part;
  message.msg_iovlen = 1;
  ControlWriter control(slot);
  add_source(send, control);
  if (ds_by_message && send.ds != 0) {
    const int ds = send.ds;
    if (send.to.address.family == Family::v4) {
      control.add(IPPROTO_IP, IP_TOS, ds);
    } else {
      control.add(IPPROTO_IPV6, IPV6_TCLASS, ds);
    }
  }
  if (segment_size != 0) control.add(IPPROTO_UDP, UDP_SEGMENT, segment_size);
  if (control.used() != 0) {
    message.msg_control = slot.control.data();
    message.msg_controllen = control.used();
  }
}

bool parse_received(const msghdr& message, UdpReceived& out) noexcept {
  out.from = {};
  out.to = {};
  out.ds = 0;
  out.segment_size = 0;
  if ((message.msg_flags & MSG_TRUNC) != 0) return false;
  if (!parse_name(message.msg_name, message.msg_namelen, out.from)) return false;
  auto* mutable_message = const_cast<msghdr*>(&message);  // CMSG_NXTHDR's type; it only reads
  for (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(mutable_message, const_cast<cmsghdr*>(header))) {
    if (header->cmsg_level == IPPROTO_IP) {
      parse_v4_control(*header, out);
    } else if (header->cmsg_level == IPPROTO_IPV6) {
      parse_v6_control(*header, out);
    } else if (int size; header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO &&
                         get(*header, size) && size > 0) {
      out.segment_size = static_cast<uint32_t>(size);
    }
  }
  // One datagram that GRO looked at and did not merge.
  if (out.segment_size >= out.size) out.segment_size = 0;
  return true;
}

}  // namespace hats::transport
