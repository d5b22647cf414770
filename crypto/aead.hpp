// ChaCha20-Poly1305 (RFC 8439) as WireGuard uses it: nonce = four zero bytes and a little-endian 64-bit
// counter.
//
// Two faces: one-shot calls with associated data for the handshake, and a batch interface without associated
// data for the data path. The batch face has several backends that must agree byte for byte; libsodium is
// everywhere and is the oracle, libipsec-mb is chosen at start on x86-64 CPUs that have the vectors for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/keys.hpp"

namespace hats::crypto {

inline constexpr size_t kTagSize = 16;

/// out = AEAD(key, counter, plaintext, ad); out.size() == plaintext.size() + 16. May be in place.
void aead_seal(ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView plaintext,
               ByteView ad) noexcept;
/// The reverse; out.size() + 16 == ciphertext.size(). False, with `out` wiped, if the tag is wrong. May be in
/// place.
[[nodiscard]] bool aead_open(ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView ciphertext,
                             ByteView ad) noexcept;

/// XChaCha20-Poly1305 with a 24-byte nonce, for cookie replies (WG 5.4.7).
void xaead_seal(ByteSpan out, const SymmetricKey& key, std::span<const uint8_t, 24> nonce, ByteView plaintext,
                ByteView ad) noexcept;
[[nodiscard]] bool xaead_open(ByteSpan out, const SymmetricKey& key, std::span<const uint8_t, 24> nonce,
                              ByteView ciphertext, ByteView ad) noexcept;

/// One packet to seal. `in` may equal `out`; else the two must not overlap. Jobs run strictly in order, and
/// just before a job is sealed the first `head_size` bytes at `in` are overwritten with `head`: that lets the
/// headers of the segments of one large TCP read be written over the tail of the segment before, which has
/// been sealed already.
struct SealJob {
  uint64_t counter = 0;
  uint8_t* in = nullptr;
  uint32_t size = 0;       // plaintext bytes, padding included
  uint16_t head_size = 0;  // 0: nothing to overwrite
  const uint8_t* head = nullptr;
  uint8_t* out = nullptr;  // size + kTagSize bytes
};

/// One packet to open in place. With a wrong tag, ok = false and data[0..size) is wiped.
struct OpenJob {
  uint64_t counter = 0;
  uint8_t* data = nullptr;
  uint32_t size = 0;  // ciphertext and tag, at least kTagSize
  bool ok = false;
};

/// A batch AEAD backend. One instance a thread; not thread-safe. Never allocates after construction.
class Aead {
 public:
  virtual ~Aead() = default;
  virtual void seal(const SymmetricKey& key, std::span<SealJob> jobs) noexcept = 0;
  virtual void open(const SymmetricKey& key, std::span<OpenJob> jobs) noexcept = 0;
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;  // "sodium" or "ipsec-mb (avx512)"
};

enum class AeadChoice : uint8_t { automatic, sodium, ipsec_mb };

/// "auto", "sodium", "ipsec-mb"; nullopt for anything else.
[[nodiscard]] std::optional<AeadChoice> aead_choice_from(std::string_view text) noexcept;

/// Makes the backend. `automatic` takes ipsec-mb where this CPU is faster with it (AVX2 or AVX-512), else
/// sodium. nullptr if `ipsec_mb` was asked for and this build or CPU does not have it.
[[nodiscard]] std::unique_ptr<Aead> make_aead(AeadChoice choice);

}  // namespace hats::crypto
