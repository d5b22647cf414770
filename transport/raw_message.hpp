// One message of a raw socket as sendmsg and recvmsg want it: names and control data to and from RawSend and
// RawReceived. No syscall but the probes; shared by both backends.
#pragma once

#include <array>
#include <cstdint>

#include "transport/loop.hpp"
#include "transport/message.hpp"

namespace hats::transport {

/// What a socket puts into the outer header of a message that does not say: TTL or hop limit, TOS or traffic
/// class.
struct SocketHeader {
  uint8_t ttl = 0;  // 0: unknown
  uint8_t ds = 0;
  bool operator==(const SocketHeader&) const = default;
};

/// Room for one raw packet on its way out. What points into it stays valid until the next build.
struct RawSlot {
  /// PKTINFO, hop limit, traffic class: IPv6's; IPv4 has no more.
  static constexpr size_t kControlSize = CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int));

  sockaddr_in6 name{};  // an IPv4 name fits too
  std::array<iovec, 2> parts{};
  alignas(cmsghdr) std::array<uint8_t, kControlSize> control{};
};

/// Whether a send may carry TTL and TOS as control data (Linux 3.13). Before it the options of the socket
/// must be set instead.
[[nodiscard]] bool can_send_ttl_by_message(int fd, Family family);

/// Sets what the socket puts into the outer header. 0 or errno.
[[nodiscard]] int set_socket_header(int fd, Family family, const SocketHeader& header);

/// Fills `message` (with storage in `slot`, which points into `send`). What `header` says already is left
/// out: each control message costs about 60 ns.
void build_send(const RawSend& send, const SocketHeader& header, RawSlot& slot, msghdr& message) noexcept;

/// Asks the kernel for the right to use `label` towards `to` from this socket. Kernels before 5.3 refuse
/// (EINVAL) a label that nobody has asked for, and later ones do while somebody holds an exclusive one. A
/// socket can hold 32. 0 or errno.
[[nodiscard]] int lease_flow_label(int fd, const IpAddress& to, uint32_t label);

/// Reads name and control data of a received message into from, to, ds and hop_limit. False if the message is
/// truncated or its name is of no family we know: drop it.
[[nodiscard]] bool parse_received(const msghdr& message, RawReceived& out) noexcept;

}  // namespace hats::transport
