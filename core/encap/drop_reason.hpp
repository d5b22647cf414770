// Why a packet of an unencrypted tunnel went no further. Each reason is a counter and a text; never a log
// line a packet.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hats::encap {

// name, text shown by `hatsd-user show`
#define HATS_ENCAP_DROP_REASONS(X)                                                                \
  X(rx_malformed,                                                                                 \
    "received: outer packet too short, of a wrong version, or with flags that RFC 2784 forbids")  \
  X(rx_unknown_protocol, "received: GRE protocol type is neither IPv4 nor IPv6")                  \
  X(rx_checksum_bad, "received: wrong GRE checksum")                                              \
  X(rx_checksum_missing, "received: no GRE checksum, and icsum demands one")                      \
  X(rx_sequence_missing, "received: no sequence number, and iseq demands one")                    \
  X(rx_sequence_old, "received: sequence number older than expected")                             \
  X(rx_inner_malformed, "received: inner packet is not IPv4 or IPv6 of a right length")           \
  X(rx_inner_source, "received: inner source can be nobody's (RFC 4213 3.6)")                     \
  X(rx_loop, "received: inner packet would go back into the tunnel (RFC 2784 3.1)")               \
  X(rx_ecn, "received: congestion marked on a packet that cannot bear it (RFC 6040 4.2)")         \
  X(rx_keepalive_limited, "received: keepalive above the rate that is answered")                  \
  X(rx_down, "received: interface is down")                                                       \
  X(tx_malformed, "sent: not an IP packet of a kind that the tunnel carries")                     \
  X(tx_too_big, "sent: larger than the path; its sender was told (ICMP) if it forbade fragments") \
  X(tx_encapsulation_limit, "sent: encapsulation limit exhausted (RFC 2473 4.1.1)")               \
  X(tx_loop, "sent: our own outer packet came back, the remote is routed into the tunnel")        \
  X(tx_down, "sent: interface is down")

enum class DropReason : uint8_t {
#define HATS_X(name, text) name,
  HATS_ENCAP_DROP_REASONS(HATS_X)
#undef HATS_X
};

inline constexpr std::array kDropReasonTexts = {
#define HATS_X(name, text) std::string_view{text},
    HATS_ENCAP_DROP_REASONS(HATS_X)
#undef HATS_X
};
inline constexpr std::array kDropReasonNames = {
#define HATS_X(name, text) std::string_view{#name},
    HATS_ENCAP_DROP_REASONS(HATS_X)
#undef HATS_X
};

/// Packets that no tunnel claimed, counted by the node.
#define HATS_ENCAP_STRAY_REASONS(X)                                  \
  X(malformed, "received: not a packet of its protocol")             \
  X(no_tunnel, "received: from or to an address that no tunnel has") \
  X(wrong_key, "received: GRE key of no tunnel between these addresses")

enum class StrayReason : uint8_t {
#define HATS_X(name, text) name,
  HATS_ENCAP_STRAY_REASONS(HATS_X)
#undef HATS_X
};
inline constexpr std::array kStrayReasonTexts = {
#define HATS_X(name, text) std::string_view{text},
    HATS_ENCAP_STRAY_REASONS(HATS_X)
#undef HATS_X
};
inline constexpr std::array kStrayReasonNames = {
#define HATS_X(name, text) std::string_view{#name},
    HATS_ENCAP_STRAY_REASONS(HATS_X)
#undef HATS_X
};

}  // namespace hats::encap
