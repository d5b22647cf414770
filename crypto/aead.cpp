#include "crypto/aead.hpp"

#include <sodium.h>

#include "crypto/aead_backends.hpp"

namespace hats::crypto {

static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == kTagSize);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == kTagSize);

void aead_seal(ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView plaintext,
               ByteView ad) noexcept {
  const AeadNonce nonce = aead_nonce(counter);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plaintext.data(), plaintext.size(),
                                            ad.data(), ad.size(), nullptr, nonce.data(), key.view().data());
}

bool aead_open(ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView ciphertext,
               ByteView ad) noexcept {
  const AeadNonce nonce = aead_nonce(counter);
  const bool ok = crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, ciphertext.data(),
                                                            ciphertext.size(), ad.data(), ad.size(),
                                                            nonce.data(), key.view().data()) == 0;
  keep_if(ok, out);
  return ok;
}

void xaead_seal(ByteSpan out, const SymmetricKey& key, std::span<const uint8_t, 24> nonce, ByteView plaintext,
                ByteView ad) noexcept {
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, plaintext.data(), plaintext.size(),
                                             ad.data(), ad.size(), nullptr, nonce.data(), key.view().data());
}

bool xaead_open(ByteSpan out, const SymmetricKey& key, std::span<const uint8_t, 24> nonce,
                ByteView ciphertext, ByteView ad) noexcept {
  const bool ok = crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, ciphertext.data(),
                                                             ciphertext.size(), ad.data(), ad.size(),
                                                             nonce.data(), key.view().data()) == 0;
  keep_if(ok, out);
  return ok;
}

void wipe_rejected(std::span<const OpenJob> jobs) noexcept {
  for (const OpenJob& job : jobs) {
    if (!job.ok) wipe({job.data, job.size});
  }
}

std::optional<AeadChoice> aead_choice_from(std::string_view text) noexcept {
  if (text == "auto") return AeadChoice::automatic;
  if (text == "sodium") return AeadChoice::sodium;
  if (text == "ipsec-mb") return AeadChoice::ipsec_mb;
  return std::nullopt;
}

#ifndef HATS_HAVE_IPSEC_MB
std::unique_ptr<Aead> make_ipsec_mb_aead(VectorLevel /*level*/) {
  return nullptr;
}
#endif

std::unique_ptr<Aead> make_aead(AeadChoice choice) {
  if (choice == AeadChoice::sodium) return make_sodium_aead();
  for (const VectorLevel level : {VectorLevel::avx512, VectorLevel::avx2}) {
    if (auto backend = make_ipsec_mb_aead(level)) return backend;
  }
  return choice == AeadChoice::automatic ? make_sodium_aead() : nullptr;
}

std::vector<std::unique_ptr<Aead>> make_all_aeads() {
  std::vector<std::unique_ptr<Aead>> result;
  result.push_back(make_sodium_aead());
  for (const VectorLevel level : {VectorLevel::avx2, VectorLevel::avx512}) {
    if (auto backend = make_ipsec_mb_aead(level)) result.push_back(std::move(backend));
  }
  return result;
}

}  // namespace hats::crypto
