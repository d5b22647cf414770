// The other side of raw sockets in tests: packets made by hand, and what is seen on a link.
#pragma once

#include "support.hpp"
#include "transport/raw_socket.hpp"

namespace hats::transport::test {

/// A packet with an IP header of 20 or 40 bytes; TTL 64, no DF, DS 0.
std::vector<uint8_t> ip_packet(const char* from, const char* to, uint8_t protocol,
                               const std::vector<uint8_t>& payload);

/// Sends packets that are complete with their IP header. It takes no part in the delivery of any protocol.
class Injector {
 public:
  explicit Injector(Family family);
  bool send(const std::vector<uint8_t>& packet) const;

 private:
  UniqueFd fd_;
  Family family_;
};

/// What leaves and enters by one interface, from the IP header on.
class Capture {
 public:
  explicit Capture(const char* interface);
  /// The next packet of `protocol` (in the first header; fragments of IPv6 have 44) that leaves, or nothing
  /// if there is none within `wait_ms`.
  [[nodiscard]] std::optional<std::vector<uint8_t>> next(Family family, uint8_t protocol,
                                                         int wait_ms = 1000) const;

 private:
  UniqueFd fd_;
};

/// Every ICMP message that this namespace receives, as (type, code); raw sockets of ICMP.
class IcmpWatch {
 public:
  explicit IcmpWatch(Family family);
  struct Message {
    int type = -1, code = -1;
    auto operator<=>(const Message&) const = default;
  };
  /// The next "destination unreachable" or "parameter problem", or {-1, -1}.
  [[nodiscard]] Message next_error(int wait_ms) const;

 private:
  UniqueFd fd_;
  Family family_;
};

/// The next packet that a raw socket has, or nothing.
std::optional<std::vector<uint8_t>> receive_raw(int fd, int wait_ms);

}  // namespace hats::transport::test
