#include "transport/raw_message.hpp"

#include <linux/in6.h>

#include <cerrno>

#include "transport/socket.hpp"

namespace hats::transport {
namespace {

constexpr uint32_t kFlowLabelMask = 0x000f'ffff;

}  // namespace

bool can_send_ttl_by_message(int fd, Family family) {
  if (family != Family::v4) return true;
  RawSend probe{};
  probe.to = broadcast_address();
  probe.ds = 0x88;
  RawSlot slot;
  msghdr message{};
  build_send(probe, {}, slot, message);
  return takes_control(fd, message);
}

int set_socket_header(int fd, Family family, const SocketHeader& header) {
  const bool v4 = family == Family::v4;
  const int level = v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
  if (const int error = set_int(fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, header.ttl); error != 0) {
    return error;
  }
  return set_int(fd, level, v4 ? IP_TOS : IPV6_TCLASS, header.ds);
}

void build_send(const RawSend& send, const SocketHeader& header, RawSlot& slot, msghdr& message) noexcept {
  const Family family = send.to.family;
  message = {};
  size_t parts = 0;
  if (send.head_size != 0) slot.parts[parts++] = {const_cast<uint8_t*>(send.head.data()), send.head_size};
  if (send.size != 0) slot.parts[parts++] = {const_cast<uint8_t*>(send.data), send.size};
  message.msg_iov = slot.parts.data();
  message.msg_iovlen = parts;
  message.msg_name = &slot.name;
  message.msg_namelen = fill_name({send.to, 0, send.from.interface_index}, slot.name);
  ControlWriter control(slot.control.data());
  control.add_source(family, send.from.address, send.from.interface_index);
  if (send.ttl != header.ttl) {
    if (family == Family::v4) {
      control.add(IPPROTO_IP, IP_TTL, int{send.ttl});
    } else {
      control.add(IPPROTO_IPV6, IPV6_HOPLIMIT, int{send.ttl});
    }
  }
  if (send.ds != header.ds) control.add_ds(family, send.ds);
  if (family == Family::v6) slot.name.sin6_flowinfo = htonl(send.flow_label & kFlowLabelMask);
  control.finish(message);
}

int lease_flow_label(int fd, const IpAddress& to, uint32_t label) {
  in6_flowlabel_req request{};
  std::memcpy(&request.flr_dst, to.bytes.data(), sizeof request.flr_dst);
  request.flr_label = htonl(label & kFlowLabelMask);
  request.flr_action = IPV6_FL_A_GET;
  request.flr_share = IPV6_FL_S_ANY;
  request.flr_flags = IPV6_FL_F_CREATE;
  return setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &request, sizeof request) == 0 ? 0 : errno;
}

bool parse_received(const msghdr& message, RawReceived& out) noexcept {
  out.to = {};
  out.ds = 0;
  out.hop_limit = 0;
  if ((message.msg_flags & MSG_TRUNC) != 0) return false;
  Endpoint from;
  if (!parse_name(message.msg_name, message.msg_namelen, from)) return false;
  out.from = from.address;
  for_each_control(message, [&out](const cmsghdr& header) {
    if (int limit; header.cmsg_level == IPPROTO_IPV6 && header.cmsg_type == IPV6_HOPLIMIT &&
                   read_control(header, limit)) {
      out.hop_limit = static_cast<uint8_t>(limit);
    } else {
      parse_ip_control(header, out.to, out.ds);
    }
  });
  return true;
}

}  // namespace hats::transport
