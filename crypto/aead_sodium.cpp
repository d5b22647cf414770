// The batch AEAD over libsodium.

#include <sodium.h>

#include "crypto/aead_backends.hpp"

namespace hats::crypto {
namespace {

class SodiumAead final : public Aead {
 public:
  void seal(const SymmetricKey& key, std::span<SealJob> jobs) noexcept override {
    for (const SealJob& job : jobs) {
      write_head(job);
      const AeadNonce nonce = aead_nonce(job.counter);
      crypto_aead_chacha20poly1305_ietf_encrypt(job.out, nullptr, job.in, job.size, nullptr, 0, nullptr,
                                                nonce.data(), key.view().data());
    }
  }

  void open(const SymmetricKey& key, std::span<OpenJob> jobs) noexcept override {
    for (OpenJob& job : jobs) {
      const AeadNonce nonce = aead_nonce(job.counter);
      job.ok = crypto_aead_chacha20poly1305_ietf_decrypt(job.data, nullptr, nullptr, job.data, job.size,
                                                         nullptr, 0, nonce.data(), key.view().data()) == 0;
    }
    wipe_rejected(jobs);
  }

  [[nodiscard]] std::string_view name() const noexcept override { return "sodium"; }
};

}  // namespace

std::unique_ptr<Aead> make_sodium_aead() {
  return std::make_unique<SodiumAead>();
}

}  // namespace hats::crypto
