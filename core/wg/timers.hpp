// The timers of one peer (WG 6.1 - 6.5; formats.md 6.5), as five points of time or "not armed". Events come
// in as calls named after the kernel's, expiry goes out as take_due(); what to do then is the device's
// affair. next() is the exact next deadline.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/base/time.hpp"
#include "core/wg/constants.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

inline constexpr BootTime kNever{INT64_MAX};

/// True when `limit` has passed since `birth`.
[[nodiscard]] constexpr bool has_expired(BootTime birth, Duration limit, BootTime now) noexcept {
  return now - birth >= limit;
}

class Timers {
 public:
  enum class Kind : uint8_t {
    erase_keys,            // 540 s after the last new session
    retransmit_handshake,  // 5 s + jitter after an initiation
    new_handshake,         // 15 s + jitter after data that nothing has answered
    send_keepalive,        // 10 s after data received that nothing of ours has answered
    persistent_keepalive,  // N s after the last authenticated packet either way
  };
  static constexpr size_t kKinds = 5;

  [[nodiscard]] BootTime next() const noexcept { return *std::min_element(due_.begin(), due_.end()); }
  [[nodiscard]] bool armed(Kind kind) const noexcept { return at(kind) != kNever; }
  /// Disarms the timer and returns true if it was due.
  [[nodiscard]] bool take_due(Kind kind, BootTime now) noexcept {
    if (at(kind) > now) return false;
    at(kind) = kNever;
    return true;
  }
  void cancel(Kind kind) noexcept { at(kind) = kNever; }
  void stop() noexcept { due_.fill(kNever); }

  void set_persistent_keepalive(uint16_t interval_s) noexcept {
    persistent_interval_s_ = interval_s;
    if (interval_s == 0) cancel(Kind::persistent_keepalive);
  }
  [[nodiscard]] uint16_t persistent_keepalive_s() const noexcept { return persistent_interval_s_; }

  /// A data packet that is not a keepalive was sent.
  void data_sent(BootTime now) noexcept {
    if (!armed(Kind::new_handshake)) at(Kind::new_handshake) = now + kNewHandshakeAfter + session_jitter_;
  }
  /// A data packet that is not a keepalive was received. (The kernel also notes that it owes another
  /// keepalive when data comes while one is waiting, but sending the first cancels that again.)
  void data_received(BootTime now) noexcept {
    if (!armed(Kind::send_keepalive)) at(Kind::send_keepalive) = now + kKeepaliveTimeout;
  }
  /// Anything authenticated was sent: nothing is owed to the peer.
  void any_authenticated_sent() noexcept { cancel(Kind::send_keepalive); }
  /// Anything authenticated was received: the session lives.
  void any_authenticated_received() noexcept { cancel(Kind::new_handshake); }
  /// Before sending and after receiving anything authenticated.
  void any_authenticated_traversal(BootTime now) noexcept {
    if (persistent_interval_s_ != 0) at(Kind::persistent_keepalive) = now + seconds(persistent_interval_s_);
  }
  /// An initiation was sent at `now`, or one is wanted but must keep its distance from the one sent at `now`.
  void handshake_initiated(BootTime now, crypto::Rng& rng) noexcept {
    at(Kind::retransmit_handshake) = now + kRekeyTimeout + jitter(rng);
  }
  void handshake_complete() noexcept { cancel(Kind::retransmit_handshake); }
  /// The jitter of the session's data is drawn here: drawing it anew whenever an answered flow goes on would
  /// cost a system call a packet.
  void session_derived(BootTime now, crypto::Rng& rng) noexcept {
    at(Kind::erase_keys) = now + kEraseKeysAfter;
    session_jitter_ = jitter(rng);
  }

  [[nodiscard]] static Duration jitter(crypto::Rng& rng) noexcept {
    std::array<uint8_t, 8> random;
    rng.fill(random);
    return {static_cast<int64_t>(load_le64(random.data()) % static_cast<uint64_t>(kMaxJitter.ns))};
  }

 private:
  [[nodiscard]] BootTime& at(Kind kind) noexcept { return due_[static_cast<size_t>(kind)]; }
  [[nodiscard]] const BootTime& at(Kind kind) const noexcept { return due_[static_cast<size_t>(kind)]; }

  std::array<BootTime, kKinds> due_{kNever, kNever, kNever, kNever, kNever};
  Duration session_jitter_{};
  uint16_t persistent_interval_s_ = 0;
};

}  // namespace hats::wg
