// The numbers of the WireGuard paper (WG 6.1) and of the kernel's wire behaviour, written down a second time,
// so that the tests do not believe the code (formats.md 6.2).
#pragma once

#include <cstddef>

#include "core/base/time.hpp"

namespace hats::sim::paper {

inline constexpr Duration kRekeyAfterTime = seconds(120);
inline constexpr Duration kRejectAfterTime = seconds(180);
inline constexpr Duration kRekeyTimeout = seconds(5);
inline constexpr Duration kKeepaliveTimeout = seconds(10);
inline constexpr Duration kMaxJitter = milliseconds(333);
inline constexpr Duration kNewHandshakeAfter = seconds(15);  // KEEPALIVE_TIMEOUT + REKEY_TIMEOUT
inline constexpr Duration kRekeyAtReceive = seconds(165);    // REJECT_AFTER - KEEPALIVE - REKEY_TIMEOUT
inline constexpr Duration kEraseKeysAfter = seconds(540);    // 3 x REJECT_AFTER_TIME
inline constexpr int kInitiationTries = 20;                  // then the kernel gives up
inline constexpr size_t kStagedPackets = 128;
inline constexpr size_t kStagedPeerBytes = size_t{256} * 1'024;
inline constexpr size_t kStagedDeviceBytes = size_t{4} * 1'024 * 1'024;
inline constexpr uint64_t kReplayWindow = 8'128;
inline constexpr uint8_t kHandshakeDs = 0x88;  // AF41

}  // namespace hats::sim::paper
