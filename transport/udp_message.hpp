// One UDP message as sendmsg and recvmsg want it: names and control data to and from UdpSend and UdpReceived.
// No syscall but the probe; shared by both backends (formats.md 6.6: source stickiness, DS and ECN).
#pragma once

#include <array>
#include <cstdint>

#include "transport/loop.hpp"
#include "transport/message.hpp"

namespace hats::transport {

/// Control bytes of a send: PKTINFO (IPv6's is the larger), TOS or traffic class, UDP_SEGMENT.
inline constexpr size_t kSendControlSize =
    CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t));
/// Room for one message on its way out. What points into it stays valid until the next build.
struct SendSlot {
  sockaddr_in6 name{};  // an IPv4 name fits too
  iovec part{};
  alignas(cmsghdr) std::array<uint8_t, kSendControlSize> control{};
};

/// Whether a send may carry its DS byte as control data. IP_TOS came with Linux 3.13; before it the option of
/// the socket must be set instead.
[[nodiscard]] bool can_send_ds_by_message(int fd, Family family);
/// Sets the DS byte of a socket for hosts without it in control data. Returns 0 or errno.
[[nodiscard]] int set_socket_ds(int fd, Family family, uint8_t ds);

/// Fills `message` (with storage in `slot`) to send `bytes` of `send`: to its destination, from its source if
/// it has one. `segment_size` of 0: no UDP_SEGMENT. DS as control data only if `ds_by_message` and not 0.
void build_send(const UdpSend& send, ByteView bytes, uint16_t segment_size, bool ds_by_message,
                SendSlot& slot, msghdr& message) noexcept;

/// Reads name and control data of a received message into from, to, ds and segment_size. False if the message
/// is truncated or its name is of no family we know: drop it.
[[nodiscard]] bool parse_received(const msghdr& message, UdpReceived& out) noexcept;

}  // namespace hats::transport
