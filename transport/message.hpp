// What messages of UDP and of raw sockets have in common, as sendmsg and recvmsg want it: names, PKTINFO, the
// DS byte.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>

#include "core/base/address.hpp"

namespace hats::transport {

/// Control bytes of a receive: PKTINFO (IPv6's is the larger); TOS or traffic class, and UDP_GRO or the hop
/// limit; and one more for luck.
inline constexpr size_t kReceiveControlSize = CMSG_SPACE(sizeof(in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int));

/// fe80::/10 (RFC 4291 2.4): the only destinations whose interface is not the routing table's to choose.
[[nodiscard]] bool is_link_local(const IpAddress& address);
/// Writes the name of `to`; returns its size. The zone counts for link-local destinations only.
socklen_t fill_name(const Endpoint& to, sockaddr_in6& name);
/// Reads a name of either family. False if it is of another one, or too short.
[[nodiscard]] bool parse_name(const void* name, socklen_t size, Endpoint& out);

/// The family a socket was made for.
[[nodiscard]] Family socket_family(int fd);
/// Whether the socket takes `message`, which goes to 255.255.255.255, with its control data: that is read
/// before the refusal that a broadcast destination meets without SO_BROADCAST. So nothing leaves the host,
/// and EINVAL can only mean the control data.
[[nodiscard]] bool takes_control(int fd, const msghdr& message);
/// The destination of a message for takes_control().
[[nodiscard]] IpAddress broadcast_address();

/// Appends control messages to a buffer, which is large enough for all that its user adds.
class ControlWriter {
 public:
  explicit ControlWriter(uint8_t* buffer) : base_(buffer) {}

  template <typename T>
  void add(int level, int type, const T& value) {
    auto* header = reinterpret_cast<cmsghdr*>(base_ + used_);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(header), &value, sizeof value);
    used_ += CMSG_SPACE(sizeof value);
  }
  /// IP_PKTINFO or IPV6_PKTINFO: the source address, if it is set, and the interface to leave by, if not 0.
  void add_source(Family family, const IpAddress& source, uint32_t interface_index);
  /// IP_TOS or IPV6_TCLASS.
  void add_ds(Family family, int ds);
  /// Hands what was written to `message`.
  void finish(msghdr& message) const;

 private:
  uint8_t* base_;
  size_t used_ = 0;
};

/// The value of a control message. False if it is too short.
template <typename T>
[[nodiscard]] bool read_control(const cmsghdr& header, T& value) {
  if (header.cmsg_len < CMSG_LEN(sizeof value)) return false;
  std::memcpy(&value, CMSG_DATA(&header), sizeof value);
  return true;
}

/// Calls `use` with each control message of a received message.
template <typename Use>
void for_each_control(const msghdr& message, Use use) {
  auto* mutable_message = const_cast<msghdr*>(&message);  // CMSG_NXTHDR's type; it only reads
  for (cmsghdr* header = CMSG_FIRSTHDR(mutable_message); header != nullptr;
       header = CMSG_NXTHDR(mutable_message, header)) {
    use(*header);
  }
}

/// Reads PKTINFO and TOS or traffic class into `to` and `ds`; others are passed over.
void parse_ip_control(const cmsghdr& header, LocalSource& to, uint8_t& ds);

}  // namespace hats::transport
