// Sends ICMP errors for inner packets that had no way out or do not fit (formats.md 5.5). They leave by raw
// sockets of the host, not by the TUN: so their source is one of the host's own addresses, and connection
// tracking undoes a NAT on the way to the true sender, as the kernel's icmp_ndo_send does.
#pragma once

#include <expected>

#include "core/packet/icmp.hpp"
#include "transport/socket.hpp"

namespace hats::app {

class IcmpSender {
 public:
  /// Opens the raw sockets in the calling thread's network namespace; needs CAP_NET_RAW for this moment only.
  /// Error: errno.
  static std::expected<IcmpSender, int> open();

  /// Sends one error to the source of the offending packet, which came by the link with index `link` (for
  /// link-local sources). False if the kernel refused it. An error that is to come from a given address needs
  /// one of those sockets that a kernel before 4.5, or without IPv6, lacks: then it is not sent.
  bool send(const packet::IcmpError& error, uint32_t link) const noexcept;

 private:
  bool send_from_host(const packet::IcmpError& error, uint32_t link) const noexcept;
  bool send_as_is(const packet::IcmpError& error, uint32_t link) const noexcept;

  transport::UniqueFd v4_, v6_;
  transport::UniqueFd whole_v4_, whole_v6_;  // take packets with their IP header
};

}  // namespace hats::app
