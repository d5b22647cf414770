// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard runs it (WG 5.4.1 - 5.4.5; formats.md 6.3). Pure
// functions over values: this file knows no peer, table, timer or MAC. Consuming an initiation takes two
// steps, because the sender is known only after the first: begin_consume_initiation names the public key, the
// caller finds the peer, finish_consume_initiation proves it. Nothing that the caller keeps is changed before
// the last decryption has succeeded.
#pragma once

#include <cstdint>
#include <optional>

#include "core/wg/messages.hpp"
#include "core/wg/tai64n.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/keys.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

/// Our own side.
struct StaticIdentity {
  crypto::PrivateKey private_key;
  crypto::PublicKey public_key;
};

/// What a handshake needs to know of the other side. static_static is DH(our private key, public_key),
/// computed once; where that is the all-zero result no handshake with this key can be made.
struct RemoteIdentity {
  crypto::PublicKey public_key;
  crypto::PresharedKey preshared_key;  // all zeros: none (WG 5.2)
  crypto::Secret<32> static_static;
  bool usable = false;

  /// Sets static_static and usable.
  void precompute(const StaticIdentity& self) noexcept;
};

/// The chaining key C and hash H of the paper, and the steps that mix into them.
class Transcript {
 public:
  /// C0 and H of a handshake with this responder.
  explicit Transcript(const crypto::PublicKey& responder) noexcept;
  Transcript() noexcept = default;
  [[nodiscard]] Transcript copy() const noexcept;
  void clear() noexcept;

  void mix_hash(ByteView data) noexcept;
  /// C = KDF1(C, ephemeral), H = HASH(H || ephemeral).
  void mix_ephemeral(const crypto::PublicKey& ephemeral) noexcept;
  /// C = KDF1(C, secret), or (C, key) = KDF2(C, secret).
  void mix_secret(ByteView secret) noexcept;
  void mix_secret(ByteView secret, crypto::SymmetricKey& key) noexcept;
  /// The same with a DH result; false if that is all zeros.
  [[nodiscard]] bool mix_dh(const crypto::PrivateKey& ours, const crypto::PublicKey& theirs) noexcept;
  [[nodiscard]] bool mix_dh(const crypto::PrivateKey& ours, const crypto::PublicKey& theirs,
                            crypto::SymmetricKey& key) noexcept;
  void mix_psk(const crypto::PresharedKey& psk, crypto::SymmetricKey& key) noexcept;
  /// AEAD with H as associated data; the ciphertext is mixed into H.
  void seal(ByteSpan out, const crypto::SymmetricKey& key, ByteView plaintext) noexcept;
  [[nodiscard]] bool open(ByteSpan out, const crypto::SymmetricKey& key, ByteView ciphertext) noexcept;
  /// (T1, T2) = KDF2(C, ""): the transport keys.
  void split(crypto::SymmetricKey& t1, crypto::SymmetricKey& t2) const noexcept;

 private:
  crypto::Hash chaining_key_;
  crypto::Hash hash_;
};

/// What an initiator remembers between its initiation and the response.
struct PendingInitiation {
  Transcript transcript;
  crypto::PrivateKey ephemeral;
  uint32_t local_index = 0;

  void clear() noexcept {
    transcript.clear();
    ephemeral.clear();
    local_index = 0;
  }
};

/// What a responder has learnt from an initiation; also what it needs for the response.
struct ConsumedInitiation {
  Transcript transcript;
  crypto::PublicKey remote_static;
  crypto::PublicKey remote_ephemeral;
  Field<28> encrypted_timestamp{};
  Tai64n timestamp;
  uint32_t remote_index = 0;
};

/// The outcome of a handshake.
struct SessionKeys {
  crypto::SymmetricKey send, receive;
  uint32_t remote_index = 0;
};

/// Makes an initiation, without MACs. nullopt if a DH result is all zeros.
[[nodiscard]] std::optional<PendingInitiation> create_initiation(const StaticIdentity& self,
                                                                 const RemoteIdentity& remote,
                                                                 Tai64n timestamp, uint32_t local_index,
                                                                 crypto::Rng& rng,
                                                                 InitiationMessage& message) noexcept;

/// Decrypts the sender's static key. nullopt: not for us, or forged.
[[nodiscard]] std::optional<ConsumedInitiation> begin_consume_initiation(
    const StaticIdentity& self, const InitiationMessage& message) noexcept;
/// Proves that the sender holds its static key, and fills `consumed.timestamp`. The caller compares that, and
/// only then believes.
[[nodiscard]] bool finish_consume_initiation(const RemoteIdentity& remote,
                                             ConsumedInitiation& consumed) noexcept;

/// Answers; without MACs. nullopt if a DH result is all zeros.
[[nodiscard]] std::optional<SessionKeys> create_response(const RemoteIdentity& remote,
                                                         ConsumedInitiation& consumed, uint32_t local_index,
                                                         crypto::Rng& rng, ResponseMessage& message) noexcept;

/// nullopt: not an answer to `pending`, which is unchanged and may still be answered.
[[nodiscard]] std::optional<SessionKeys> consume_response(const StaticIdentity& self,
                                                          const RemoteIdentity& remote,
                                                          const PendingInitiation& pending,
                                                          const ResponseMessage& message) noexcept;

}  // namespace hats::wg
