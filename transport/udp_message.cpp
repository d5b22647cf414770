#include "transport/udp_message.hpp"

#include <netinet/udp.h>

#include "transport/socket.hpp"

namespace hats::transport {
namespace {

// The source address, and the interface only where the destination's scope needs one: elsewhere an interface
// would override the routing table.
void add_source(const UdpSend& send, ControlWriter& control) {
  uint32_t interface_index = 0;
  // A scope id in the destination and another interface here is EINVAL: the destination's wins.
  if (is_link_local(send.to.address) && (send.from.address.is_set() || send.from.interface_index != 0)) {
    interface_index = send.to.scope_id ? send.to.scope_id : send.from.interface_index;
  }
  control.add_source(send.to.address.family, send.from.address, interface_index);
}

}  // namespace

bool can_send_ds_by_message(int fd, Family family) {
  if (family != Family::v4) return true;
  UdpSend probe;
  probe.to = {broadcast_address(), 9, 0};
  probe.ds = 0x88;
  SendSlot slot;
  msghdr message{};
  build_send(probe, {}, 0, true, slot, message);
  return takes_control(fd, message);
}

int set_socket_ds(int fd, Family family, uint8_t ds) {
  return family == Family::v4 ? set_int(fd, IPPROTO_IP, IP_TOS, ds)
                              : set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, ds);
}

void build_send(const UdpSend& send, ByteView bytes, uint16_t segment_size, bool ds_by_message,
                SendSlot& slot, msghdr& message) noexcept {
  slot.part = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
  message = {};
  message.msg_name = &slot.name;
  message.msg_namelen = fill_name(send.to, slot.name);
  message.msg_iov = &slot.part;
  message.msg_iovlen = 1;
  ControlWriter control(slot.control.data());
  add_source(send, control);
  if (ds_by_message && send.ds != 0) control.add_ds(send.to.address.family, send.ds);
  if (segment_size != 0) control.add(IPPROTO_UDP, UDP_SEGMENT, segment_size);
  control.finish(message);
}

bool parse_received(const msghdr& message, UdpReceived& out) noexcept {
  out.from = {};
  out.to = {};
  out.ds = 0;
  out.segment_size = 0;
  if ((message.msg_flags & MSG_TRUNC) != 0) return false;
  if (!parse_name(message.msg_name, message.msg_namelen, out.from)) return false;
  for_each_control(message, [&out](const cmsghdr& header) {
    if (int size; header.cmsg_level == IPPROTO_UDP && header.cmsg_type == UDP_GRO &&
                  read_control(header, size) && size > 0) {
      out.segment_size = static_cast<uint32_t>(size);
    } else {
      parse_ip_control(header, out.to, out.ds);
    }
  });
  // One datagram that GRO looked at and did not merge.
  if (out.segment_size >= out.size) out.segment_size = 0;
  return true;
}

}  // namespace hats::transport
