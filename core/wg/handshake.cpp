#include "core/wg/handshake.hpp"

#include <string_view>

#include "crypto/aead.hpp"
#include "crypto/x25519.hpp"

namespace hats::wg {
namespace {

ByteView bytes_of_text(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

constexpr std::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";

crypto::PublicKey public_key_from(const Field<32>& bytes) {
  return crypto::PublicKey{bytes};
}

}  // namespace

void RemoteIdentity::precompute(const StaticIdentity& self) noexcept {
  usable = crypto::x25519(static_static, self.private_key, public_key);
}

Transcript::Transcript(const crypto::PublicKey& responder) noexcept
    : chaining_key_(crypto::hash({bytes_of_text(kConstruction)})),
      hash_(crypto::hash({chaining_key_.view(), bytes_of_text(kIdentifier)})) {
  mix_hash(responder.bytes);
}

Transcript Transcript::copy() const noexcept {
  Transcript out;
  out.chaining_key_ = chaining_key_.copy();
  out.hash_ = hash_.copy();
  return out;
}

void Transcript::clear() noexcept {
  chaining_key_.clear();
  hash_.clear();
}

void Transcript::mix_hash(ByteView data) noexcept {
  hash_ = crypto::hash({hash_.view(), data});
}

void Transcript::mix_ephemeral(const crypto::PublicKey& ephemeral) noexcept {
  crypto::kdf1(chaining_key_, chaining_key_.view(), ephemeral.bytes);
  mix_hash(ephemeral.bytes);
}

void Transcript::mix_secret(ByteView secret) noexcept {
  crypto::kdf1(chaining_key_, chaining_key_.view(), secret);
}

void Transcript::mix_secret(ByteView secret, crypto::SymmetricKey& key) noexcept {
  crypto::Hash derived;
  crypto::kdf2(chaining_key_, derived, chaining_key_.view(), secret);
  key = crypto::SymmetricKey(derived.view());
}

bool Transcript::mix_dh(const crypto::PrivateKey& ours, const crypto::PublicKey& theirs) noexcept {
  crypto::Secret<crypto::kKeySize> shared;
  if (!crypto::x25519(shared, ours, theirs)) return false;
  mix_secret(shared.view());
  return true;
}

bool Transcript::mix_dh(const crypto::PrivateKey& ours, const crypto::PublicKey& theirs,
                        crypto::SymmetricKey& key) noexcept {
  crypto::Secret<crypto::kKeySize> shared;
  if (!crypto::x25519(shared, ours, theirs)) return false;
  mix_secret(shared.view(), key);
  return true;
}

void Transcript::mix_psk(const crypto::PresharedKey& psk, crypto::SymmetricKey& key) noexcept {
  crypto::Hash tau, derived;
  crypto::kdf3(chaining_key_, tau, derived, chaining_key_.view(), psk.view());
  mix_hash(tau.view());
  key = crypto::SymmetricKey(derived.view());
}

void Transcript::seal(ByteSpan out, const crypto::SymmetricKey& key, ByteView plaintext) noexcept {
  crypto::aead_seal(out, key, 0, plaintext, hash_.view());
  mix_hash(out);
}

bool Transcript::open(ByteSpan out, const crypto::SymmetricKey& key, ByteView ciphertext) noexcept {
  if (!crypto::aead_open(out, key, 0, ciphertext, hash_.view())) return false;
  mix_hash(ciphertext);
  return true;
}

void Transcript::split(crypto::SymmetricKey& t1, crypto::SymmetricKey& t2) const noexcept {
  crypto::Hash first, second;
  crypto::kdf2(first, second, chaining_key_.view(), {});
  t1 = crypto::SymmetricKey(first.view());
  t2 = crypto::SymmetricKey(second.view());
}

std::optional<PendingInitiation> create_initiation(const StaticIdentity& self, const RemoteIdentity& remote,
                                                   Tai64n timestamp, uint32_t local_index, crypto::Rng& rng,
                                                   InitiationMessage& message) noexcept {
  if (!remote.usable) return std::nullopt;
  message = {};
  PendingInitiation pending;
  pending.transcript = Transcript(remote.public_key);
  pending.ephemeral = crypto::generate_private_key(rng);
  pending.local_index = local_index;
  Transcript& transcript = pending.transcript;
  crypto::SymmetricKey key;

  const crypto::PublicKey ephemeral = crypto::public_key_of(pending.ephemeral);
  message.ephemeral = ephemeral.bytes;
  transcript.mix_ephemeral(ephemeral);
  if (!transcript.mix_dh(pending.ephemeral, remote.public_key, key)) return std::nullopt;
  transcript.seal(message.encrypted_static, key, self.public_key.bytes);
  transcript.mix_secret(remote.static_static.view(), key);
  transcript.seal(message.encrypted_timestamp, key, timestamp.bytes);
  store_le32(message.sender.data(), local_index);
  return pending;
}

std::optional<ConsumedInitiation> begin_consume_initiation(const StaticIdentity& self,
                                                           const InitiationMessage& message) noexcept {
  ConsumedInitiation out;
  out.transcript = Transcript(self.public_key);
  out.remote_ephemeral = public_key_from(message.ephemeral);
  out.remote_index = load_le32(message.sender.data());
  out.encrypted_timestamp = message.encrypted_timestamp;
  crypto::SymmetricKey key;

  out.transcript.mix_ephemeral(out.remote_ephemeral);
  if (!out.transcript.mix_dh(self.private_key, out.remote_ephemeral, key)) return std::nullopt;
  if (!out.transcript.open(out.remote_static.bytes, key, message.encrypted_static)) return std::nullopt;
  return out;
}

bool finish_consume_initiation(const RemoteIdentity& remote, ConsumedInitiation& consumed) noexcept {
  if (!remote.usable) return false;
  crypto::SymmetricKey key;
  consumed.transcript.mix_secret(remote.static_static.view(), key);
  return consumed.transcript.open(consumed.timestamp.bytes, key, consumed.encrypted_timestamp);
}

std::optional<SessionKeys> create_response(const RemoteIdentity& remote, ConsumedInitiation& consumed,
                                           uint32_t local_index, crypto::Rng& rng,
                                           ResponseMessage& message) noexcept {
  message = {};
  Transcript& transcript = consumed.transcript;
  const crypto::PrivateKey ephemeral = crypto::generate_private_key(rng);
  const crypto::PublicKey ephemeral_public = crypto::public_key_of(ephemeral);
  message.ephemeral = ephemeral_public.bytes;
  transcript.mix_ephemeral(ephemeral_public);
  if (!transcript.mix_dh(ephemeral, consumed.remote_ephemeral)) return std::nullopt;
  if (!transcript.mix_dh(ephemeral, remote.public_key)) return std::nullopt;
  crypto::SymmetricKey key;
  transcript.mix_psk(remote.preshared_key, key);
  transcript.seal(message.encrypted_nothing, key, {});
  store_le32(message.sender.data(), local_index);
  store_le32(message.receiver.data(), consumed.remote_index);

  SessionKeys keys;
  transcript.split(keys.receive, keys.send);
  keys.remote_index = consumed.remote_index;
  transcript.clear();
  return keys;
}

std::optional<SessionKeys> consume_response(const StaticIdentity& self, const RemoteIdentity& remote,
                                            const PendingInitiation& pending,
                                            const ResponseMessage& message) noexcept {
  Transcript transcript = pending.transcript.copy();
  const crypto::PublicKey remote_ephemeral = public_key_from(message.ephemeral);
  transcript.mix_ephemeral(remote_ephemeral);
  if (!transcript.mix_dh(pending.ephemeral, remote_ephemeral)) return std::nullopt;
  if (!transcript.mix_dh(self.private_key, remote_ephemeral)) return std::nullopt;
  crypto::SymmetricKey key;
  transcript.mix_psk(remote.preshared_key, key);
  if (!transcript.open({}, key, message.encrypted_nothing)) return std::nullopt;

  SessionKeys keys;
  transcript.split(keys.send, keys.receive);
  keys.remote_index = load_le32(message.sender.data());
  return keys;
}

}  // namespace hats::wg
