// Keypair: the transport keys of one session, its send counter and its replay filter (WG 5.4.5, 5.4.6).
// Keypairs: the slots previous, current and next of a peer, and the rule that a responder waits (formats.md
// 6.5). Owned by the device's thread; the batch functions named work read the keys alone, and hold the
// keypair through a shared_ptr until their batch is cleared. Keys are wiped when the last holder lets go.
#pragma once

#include <cstdint>
#include <memory>

#include "core/base/time.hpp"
#include "core/wg/batch.hpp"
#include "core/wg/constants.hpp"
#include "core/wg/handshake.hpp"
#include "core/wg/replay_filter.hpp"
#include "core/wg/timers.hpp"

namespace hats::wg {

class Keypair {
 public:
  struct Identity {
    PeerId peer = kNoPeer;
    uint64_t peer_serial = 0;  // tells a peer from a later one in the same slot
    uint32_t local_index = 0;
    bool initiator = false;
  };
  Keypair(SessionKeys keys, Identity identity, BootTime birth) noexcept
      : send_key_(std::move(keys.send)),
        receive_key_(std::move(keys.receive)),
        identity_(identity),
        remote_index_(keys.remote_index),
        birth_(birth) {}

  [[nodiscard]] const crypto::SymmetricKey& send_key() const noexcept { return send_key_; }
  [[nodiscard]] const crypto::SymmetricKey& receive_key() const noexcept { return receive_key_; }
  [[nodiscard]] const Identity& identity() const noexcept { return identity_; }
  [[nodiscard]] uint32_t remote_index() const noexcept { return remote_index_; }
  [[nodiscard]] bool initiator() const noexcept { return identity_.initiator; }

  /// How many packets may be sent now: 0 when expired, retired for sending, or used up (WG 6.2).
  [[nodiscard]] uint64_t sendable(BootTime now) const noexcept {
    if (send_retired_ || has_expired(birth_, kRejectAfterTime, now)) return 0;
    return kRejectAfterMessages - next_counter_;
  }
  /// The next `count` counters, numbered from the one returned. The caller has asked sendable().
  [[nodiscard]] uint64_t take_counters(uint64_t count) noexcept {
    const uint64_t first = next_counter_;
    next_counter_ += count;
    return first;
  }
  /// No packet is to be sent under it any more; received ones are still taken.
  void retire_sending() noexcept { send_retired_ = true; }
  /// Nothing is done under it any more, either way: what batches under way hold of it is dropped at their
  /// commit, and with the last of them the keys are wiped (WG 6.3).
  void erase() noexcept { erased_ = true; }
  [[nodiscard]] bool erased() const noexcept { return erased_; }

  /// False for packets under an expired key (WG 6.2, REJECT_AFTER_TIME).
  [[nodiscard]] bool receivable(BootTime now) const noexcept {
    return !has_expired(birth_, kRejectAfterTime, now);
  }
  /// After authentication: true once for each counter below the limit.
  [[nodiscard]] bool accept_counter(uint64_t counter) noexcept {
    return counter < kRejectAfterMessages && replay_.accept(counter);
  }

  /// WG 6.2: a packet was sent; time for a new handshake? After 2^60 messages both ends ask for one, after
  /// 120 s the initiator alone.
  [[nodiscard]] bool stale_at_send(BootTime now) const noexcept {
    if (send_retired_) return false;
    return next_counter_ > kRekeyAfterMessages || (initiator() && has_expired(birth_, kRekeyAfterTime, now));
  }
  /// The same on receipt: the initiator alone, 15 s before the key expires.
  [[nodiscard]] bool stale_at_receive(BootTime now) const noexcept {
    return !send_retired_ && initiator() && has_expired(birth_, kRekeyAtReceiveAfter, now);
  }

 private:
  crypto::SymmetricKey send_key_, receive_key_;
  Identity identity_;
  uint32_t remote_index_;
  bool send_retired_ = false;
  bool erased_ = false;
  BootTime birth_;
  uint64_t next_counter_ = 0;
  ReplayFilter replay_;
};

/// Keypairs that fell out of their slots; their indices must leave the index table.
struct RetiredKeypairs {
  std::shared_ptr<Keypair> a, b;
};

class Keypairs {
 public:
  [[nodiscard]] const std::shared_ptr<Keypair>& current() const noexcept { return current_; }
  [[nodiscard]] const std::shared_ptr<Keypair>& next() const noexcept { return next_; }
  [[nodiscard]] const std::shared_ptr<Keypair>& previous() const noexcept { return previous_; }
  [[nodiscard]] bool empty() const noexcept { return !previous_ && !current_ && !next_; }

  /// The keypair with this local index, or nullptr.
  [[nodiscard]] const std::shared_ptr<Keypair>* find(uint32_t local_index) const noexcept;

  /// A new session. Initiator: it becomes current at once, and an unconfirmed next, or else the old current,
  /// becomes previous. Responder: it waits in next until a packet under it arrives, and previous goes, so
  /// that never more than two are alive.
  [[nodiscard]] RetiredKeypairs add(std::shared_ptr<Keypair> fresh) noexcept;
  /// An authenticated packet came under `used`. True if that confirmed next, which is current now.
  [[nodiscard]] bool confirm(const Keypair* used, RetiredKeypairs& retired) noexcept;
  /// Our private key changed: nothing more is sent under what we have.
  void retire_sending() noexcept;
  /// Erases all.
  void clear() noexcept;

 private:
  std::shared_ptr<Keypair> previous_, current_, next_;
};

}  // namespace hats::wg
