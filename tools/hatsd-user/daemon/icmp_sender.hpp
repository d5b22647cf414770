// Sends ICMP errors for inner packets that had no way out (formats.md 5.5). They leave by raw sockets of the
// host, not by the TUN: so their source is one of the host's own addresses, and connection tracking undoes a
// NAT on the way to the true sender, as the kernel's icmp_ndo_send does.
#pragma once

#include <expected>

#include "core/wg/device.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

class IcmpSender {
 public:
  /// Opens the raw sockets in the calling thread's network namespace; needs CAP_NET_RAW for this moment only.
  /// Error: errno.
  static std::expected<IcmpSender, int> open();

  /// Sends one error to the source of the offending packet. False if the kernel refused it.
  bool send(const wg::IcmpError& error) const noexcept;

 private:
  transport::UniqueFd v4_, v6_;
};

}  // namespace hats::app
