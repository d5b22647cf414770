// Addresses, prefixes, endpoints: values with text forms, no sockets.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "crypto/bytes.hpp"

namespace hats {

enum class Family : uint8_t { none = 0, v4 = 4, v6 = 6 };

/// An IPv4 (first 4 bytes used, the rest zero) or IPv6 address, network order; or none.
struct IpAddress {
  Family family = Family::none;
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const IpAddress&) const = default;
  [[nodiscard]] bool is_set() const { return family != Family::none; }
  [[nodiscard]] uint8_t bit_count() const {
    return family == Family::v4 ? 32 : family == Family::v6 ? 128 : 0;
  }
  [[nodiscard]] ByteView view() const { return {bytes.data(), size_t{bit_count()} / 8}; }

  static IpAddress v4(const uint8_t* four_bytes);
  static IpAddress v6(const uint8_t* sixteen_bytes);
  /// Dotted quad (four decimal parts, no leading zeros) or RFC 4291 text; no zone, no prefix.
  static std::optional<IpAddress> parse(std::string_view text);
  [[nodiscard]] std::string text() const;  // RFC 5952 for IPv6; "" for none
};

/// An address with a prefix length. Not masked by itself: interface addresses keep their host bits.
struct Prefix {
  IpAddress address;
  uint8_t length = 0;

  auto operator<=>(const Prefix&) const = default;
  [[nodiscard]] Prefix masked() const;
  [[nodiscard]] bool contains(const IpAddress& other) const;
  /// "a/len" or "a" (full length). Lengths beyond the family, signs and dotted masks are refused.
  static std::optional<Prefix> parse(std::string_view text);
  [[nodiscard]] std::string text() const;  // always with "/len"
};

/// Where a peer is: address, UDP port, and the zone (interface index) for link-local IPv6.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  uint32_t scope_id = 0;

  auto operator<=>(const Endpoint&) const = default;
  [[nodiscard]] bool is_set() const { return address.is_set(); }
  [[nodiscard]] std::string text() const;  // "1.2.3.4:5", "[::1]:5", "[fe80::1%7]:5" (zone as a number)
};

/// The local side of an outer packet: address it was sent to (or is to be sent from) and the interface index
/// it arrived on. Unset address: the kernel chooses.
struct LocalSource {
  IpAddress address;
  uint32_t interface_index = 0;
  auto operator<=>(const LocalSource&) const = default;
};

}  // namespace hats
