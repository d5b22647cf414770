// Our own datagram, come back through the tunnel: the route to a peer's endpoint leads into the tunnel
// itself. The kernel cuts such a loop by the depth of its transmit recursion; behind a TUN each turn is a new
// packet, 60 or 80 bytes larger, without end. So a UDP packet from our listen port to the endpoint of the
// very peer that would carry it is dropped. Fragments behind the first carry no ports: they are wrapped once
// more, and that datagram is dropped.
#pragma once

#include "core/base/address.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::wg {

/// True if a packet that goes to the endpoint's address is our own datagram to it.
[[nodiscard]] inline bool is_own_datagram(ByteView header, const Endpoint& endpoint,
                                          uint16_t listen_port) noexcept {
  const bool v4 = (header[0] >> 4) == 4;
  const uint8_t protocol = v4 ? header[9] : header[6];
  const size_t ports = v4 ? size_t{4} * (header[0] & 15) : packet::kIpv6Header;
  if (protocol != packet::kProtoUdp || header.size() < ports + packet::kUdpHeader) return false;
  if (v4 && (load_be16(&header[6]) & 0x1fff) != 0) return false;  // not the first fragment
  return load_be16(&header[ports]) == listen_port && load_be16(&header[ports + 2]) == endpoint.port;
}

}  // namespace hats::wg
