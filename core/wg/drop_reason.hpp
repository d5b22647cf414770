// Why a packet went no further. Each reason is a counter and a text; never a log line a packet.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace hats::wg {

// name, text shown by `hatsd-user show`
#define HATS_WG_DROP_REASONS(X)                                                          \
  X(rx_malformed, "received: not a WireGuard message (type, length or reserved bits)")   \
  X(rx_bad_mac1, "received: handshake message without a valid mac1")                     \
  X(rx_no_key, "received: no private key is set")                                        \
  X(rx_handshake_queue_full, "received: handshake queue full")                           \
  X(rx_cookie_sent, "received: under load, answered with a cookie")                      \
  X(rx_rate_limited, "received: under load, handshake rate of the source exceeded")      \
  X(rx_unknown_index, "received: unknown receiver index")                                \
  X(rx_handshake_invalid, "received: handshake message does not authenticate")           \
  X(rx_handshake_unknown_peer, "received: initiation from an unknown public key")        \
  X(rx_handshake_replayed, "received: initiation with an old timestamp")                 \
  X(rx_handshake_flood, "received: initiations of one peer too close together")          \
  X(rx_cookie_invalid, "received: cookie reply that answers nothing or does not open")   \
  X(rx_key_expired, "received: under an expired key")                                    \
  X(rx_bad_tag, "received: data does not authenticate")                                  \
  X(rx_replayed, "received: counter seen before or too old")                             \
  X(rx_inner_malformed, "received: inner packet is not IPv4 or IPv6 of a right length")  \
  X(rx_source_not_allowed, "received: inner source not in the peer's AllowedIPs")        \
  X(rx_down, "received: interface is down")                                              \
  X(tx_malformed, "sent: not an IPv4 or IPv6 packet")                                    \
  X(tx_no_peer, "sent: no peer's AllowedIPs hold the destination")                       \
  X(tx_no_endpoint, "sent: the peer has no endpoint")                                    \
  X(tx_staged_overflow, "sent: staged queue full, oldest dropped")                       \
  X(tx_handshake_gave_up, "sent: staged packets dropped, the peer does not answer")      \
  X(tx_too_large, "sent: packet larger than a datagram can carry")                       \
  X(tx_loop, "sent: our own datagram came back, the endpoint is routed into the tunnel") \
  X(tx_down, "sent: interface is down")

enum class DropReason : uint8_t {
#define HATS_X(name, text) name,
  HATS_WG_DROP_REASONS(HATS_X)
#undef HATS_X
};

inline constexpr std::array kDropReasonTexts = {
#define HATS_X(name, text) std::string_view{text},
    HATS_WG_DROP_REASONS(HATS_X)
#undef HATS_X
};
inline constexpr std::array kDropReasonNames = {
#define HATS_X(name, text) std::string_view{#name},
    HATS_WG_DROP_REASONS(HATS_X)
#undef HATS_X
};

struct DropCounters {
  std::array<uint64_t, kDropReasonTexts.size()> counts{};
  void add(DropReason reason, uint64_t n = 1) { counts[static_cast<size_t>(reason)] += n; }
  [[nodiscard]] uint64_t operator[](DropReason reason) const { return counts[static_cast<size_t>(reason)]; }
};

}  // namespace hats::wg
