// The Tunnel Encapsulation Limit (RFC 2473 4.1.1): an option that a packet inside a tunnel over IPv6 may
// carry already, and which says how many tunnels more may wrap it.
#pragma once

#include <cstdint>
#include <optional>

#include "crypto/bytes.hpp"

namespace hats::encap {

/// Where the limit's value lies in the IPv6 packet that begins with `packet` (version 6, at least 40 bytes):
/// in the first destination options header that has the option. nullopt: none, or a header that is cut off.
[[nodiscard]] std::optional<uint32_t> find_encapsulation_limit(ByteView packet) noexcept;

}  // namespace hats::encap
