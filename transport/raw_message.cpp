#include "transport/raw_message.hpp"

#include <linux/in6.h>

#include <cerrno>

namespace hats::transport {
namespace {

constexpr uint32_t kFlowLabelMask = 0x000f'ffff;
// RFC 2473 4.1.1; PadN: RFC 8200 4.2. The kernel fills in the next header.
constexpr uint8_t kEncapsulationLimit = 4, kPadN = 1;

}  // namespace

bool can_send_ttl_by_message(int fd, Family family) {
  if (family != Family::v4) return true;
  RawSend probe{};
  probe.to = broadcast_address();
  probe.ds = 0x88;
  RawSlot slot;
  msghdr message{};
  build_send(probe, true, slot, message);
  return takes_control(fd, message);
}

void build_send(const RawSend& send, bool ttl_by_message, RawSlot& slot, msghdr& message) noexcept {
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
  if (family == Family::v4) {
    if (ttl_by_message) {
      control.add(IPPROTO_IP, IP_TTL, int{send.ttl});
      if (send.ds != 0) control.add_ds(family, send.ds);
    }
  } else {
    slot.name.sin6_flowinfo = htonl(send.flow_label & kFlowLabelMask);
    control.add(IPPROTO_IPV6, IPV6_HOPLIMIT, int{send.ttl});
    if (send.ds != 0) control.add_ds(family, send.ds);
    if (send.encapsulation_limit) {
      const LimitHeader options{0, 0, kEncapsulationLimit, 1, *send.encapsulation_limit, kPadN, 1, 0};
      control.add(IPPROTO_IPV6, IPV6_DSTOPTS, options);
    }
  }
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
