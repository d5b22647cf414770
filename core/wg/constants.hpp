// The numbers of WireGuard. First those of the specification (WG 6.1, table of constants; the kernel's values
// where it differs from the paper), then those that are this implementation's choice. Tests declare the
// paper's numbers again instead of including this file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/time.hpp"
#include "core/wg/replay_filter.hpp"

namespace hats::wg {

// ---- Specification: WG 6.1 ----
inline constexpr uint64_t kRekeyAfterMessages = uint64_t{1} << 60;
/// 2^64 - 2^13 - 1, as the paper and wireguard-go; Linux goes 63 further.
inline constexpr uint64_t kRejectAfterMessages = ReplayFilter::kRejectAfterMessages;
inline constexpr Duration kRekeyAfterTime = seconds(120);
inline constexpr Duration kRejectAfterTime = seconds(180);
inline constexpr Duration kRekeyTimeout = seconds(5);
inline constexpr Duration kKeepaliveTimeout = seconds(10);
/// Added to kRekeyTimeout and to the new-handshake timer, so that two ends do not stay in step.
inline constexpr Duration kMaxJitter = milliseconds(333);
/// All keys are erased this long after the last new session (WG 6.3).
inline constexpr Duration kEraseKeysAfter = kRejectAfterTime * 3;
/// An initiator that receives renews its key once when it is this old (WG 6.2): no later chance is sure.
inline constexpr Duration kRekeyAtReceiveAfter = kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout;
/// Data was sent and nothing came back for this long: the session is presumed dead.
inline constexpr Duration kNewHandshakeAfter = kKeepaliveTimeout + kRekeyTimeout;
inline constexpr Duration kCookieSecretMaxAge = seconds(120);
/// A sender stops using a cookie this much before the secret behind it may have been renewed.
inline constexpr Duration kCookieLatency = seconds(5);
inline constexpr size_t kPaddingMultiple = 16;  // bytes; WG 5.4.6

// ---- The kernel's choices, that peers can observe ----
/// First initiation and 19 retries (about REKEY_ATTEMPT_TIME, 90 s, WG 6.4), then staged packets are dropped.
inline constexpr uint32_t kMaxHandshakeRetries = 19;
/// Initiations of one peer closer together than this are dropped (50 a second).
inline constexpr Duration kMinInitiationInterval = milliseconds(20);
inline constexpr uint8_t kHandshakeDs = 0x88;  // AF41, ECN 0

// ---- Implementation: limits ----
/// Handshake messages waiting for process_handshakes; the newest is dropped when full.
inline constexpr size_t kMaxQueuedHandshakes = 4'096;
/// With so many waiting, or within kUnderLoadHold after, senders must show a cookie (WG 5.3).
inline constexpr size_t kUnderLoadQueue = kMaxQueuedHandshakes / 8;
inline constexpr Duration kUnderLoadHold = seconds(1);
/// Under load, handshakes a second that are taken up without a cookie, of sources that were silent until
/// then: a newcomer need not wait for the end of somebody else's flood. Cookie replies a second, of all
/// sources together: their sends would cost more than everything else that a flood makes us do.
inline constexpr int64_t kUnprovenHandshakesPerSecond = 200;
inline constexpr int64_t kUnprovenHandshakesBurst = 20;
inline constexpr int64_t kCookieRepliesPerSecond = 20'000;
inline constexpr int64_t kCookieRepliesBurst = 2'000;
/// So many handshake messages that need no X25519, as those answered by a cookie (2 us), cost less than one
/// that does.
inline constexpr size_t kCheapPerHandshake = 32;
/// Packets that wait for a session; the oldest is dropped when one of the three limits is passed.
inline constexpr uint32_t kMaxStagedPackets = 128;                              // a peer
inline constexpr uint32_t kMaxStagedPeerBytes = 256 * 1'024;                    // a peer
inline constexpr uint64_t kMaxStagedDeviceBytes = uint64_t{4} * 1'024 * 1'024;  // all peers of a device
/// The largest inner packet: an IPv4 UDP datagram carries 65,507 bytes, 32 of them ours.
inline constexpr uint32_t kMaxInnerPacket = 65'507 - 32;
/// From this many unanswered initiations on a peer counts as failing: its name is worth another look-up.
inline constexpr uint32_t kAttemptsBeforeResolve = 2;

}  // namespace hats::wg
