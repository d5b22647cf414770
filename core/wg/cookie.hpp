// MACs and cookies (WG 5.3, 5.4.4, 5.4.7; formats.md 6.4). CookieChecker is the side that receives handshake
// messages: it checks mac1 and mac2 and makes cookie replies. CookieGenerator is the side that sends them to
// one peer: it adds mac1 and mac2 and consumes cookie replies.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/address.hpp"
#include "core/base/time.hpp"
#include "core/wg/messages.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/keys.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

using Cookie = crypto::Secret<16>;

class CookieChecker {
 public:
  /// The keys that others derive from our public key.
  void set_identity(const crypto::PublicKey& self) noexcept;

  /// WG 5.4.4: mac1 proves knowledge of our public key. Checked before anything else is done with a message.
  template <typename Message>
  [[nodiscard]] bool mac1_valid(const Message& message) const noexcept {
    return check(mac1_key_.view(), bytes_before_mac1(message), message.macs.mac1);
  }
  /// mac2 proves that the sender has received a cookie of ours at this address and port. May renew the
  /// secret.
  template <typename Message>
  [[nodiscard]] bool mac2_valid(const Message& message, const Endpoint& from, BootTime now,
                                crypto::Rng& rng) noexcept {
    const Cookie cookie = cookie_for(from, now, rng);
    return check(cookie.view(), bytes_before_mac2(message), message.macs.mac2);
  }
  /// A cookie for the sender of a message with this mac1. `receiver` is the message's sender index.
  [[nodiscard]] CookieReplyMessage create_reply(uint32_t receiver, const Field<16>& mac1,
                                                const Endpoint& from, BootTime now,
                                                crypto::Rng& rng) noexcept;

 private:
  [[nodiscard]] static bool check(ByteView key, ByteView covered, const Field<16>& mac) noexcept;
  [[nodiscard]] Cookie cookie_for(const Endpoint& from, BootTime now, crypto::Rng& rng) noexcept;

  crypto::Hash mac1_key_;
  crypto::SymmetricKey reply_key_;
  crypto::Secret<32> secret_;
  std::optional<BootTime> secret_since_;  // unset: no secret yet
};

class CookieGenerator {
 public:
  explicit CookieGenerator(const crypto::PublicKey& peer) noexcept;

  /// Fills the MACs, and remembers mac1 for a cookie reply.
  template <typename Message>
  void add_macs(Message& message, BootTime now) noexcept {
    message.macs.mac1 = crypto::mac(mac1_key_.view(), {bytes_before_mac1(message)});
    last_mac1_ = message.macs.mac1;
    awaits_reply_ = true;
    message.macs.mac2 =
        cookie_usable(now) ? crypto::mac(cookie_.view(), {bytes_before_mac2(message)}) : Field<16>{};
  }
  /// Whether a message is out that no cookie reply has answered yet: one reply a message (WG 6.6).
  [[nodiscard]] bool awaits_reply() const noexcept { return awaits_reply_; }
  /// Stores the cookie. False: nothing outstanding, or it does not open. Nothing is resent: the next retry
  /// carries mac2.
  [[nodiscard]] bool consume_reply(const CookieReplyMessage& message, BootTime now) noexcept;

 private:
  [[nodiscard]] bool cookie_usable(BootTime now) noexcept;

  crypto::Hash mac1_key_;
  crypto::SymmetricKey reply_key_;
  Cookie cookie_;
  Field<16> last_mac1_{};
  BootTime cookie_since_;
  bool has_cookie_ = false;
  bool awaits_reply_ = false;
};

}  // namespace hats::wg
