// The backends of the batch AEAD by name, for make_aead() and for the tests and benchmarks that compare them.
// The daemon uses make_aead() alone.
#pragma once

#include <vector>

#include "crypto/aead.hpp"

namespace hats::crypto {

/// The implementations of libipsec-mb 1.3 that are of use, slowest first. Its SSE and AVX ones are no faster
/// than libsodium, and the SSE one reads up to 15 bytes beyond the plaintext.
enum class VectorLevel : uint8_t { avx2, avx512 };

/// The nonce of WireGuard's AEAD: four zero bytes, the counter little-endian (WG 5.4.6).
using AeadNonce = std::array<uint8_t, 12>;
inline AeadNonce aead_nonce(uint64_t counter) noexcept {
  AeadNonce nonce{};
  store_le64(nonce.data() + 4, counter);
  return nonce;
}

/// Writes the head of a job where it belongs; called by every backend just before it seals the job.
inline void write_head(const SealJob& job) noexcept {
  if (job.head_size != 0) std::memcpy(job.in, job.head, job.head_size);
}

/// Wipes the packets whose tag was wrong; called by every backend at the end of open(). The verdicts are
/// public from here on, and this is the only place of ours that branches on them (taint.supp names it).
void wipe_rejected(std::span<const OpenJob> jobs) noexcept;

/// libsodium: works everywhere, and is the oracle for the others.
[[nodiscard]] std::unique_ptr<Aead> make_sodium_aead();

/// libipsec-mb with exactly this level. nullptr if the build has no libipsec-mb, the CPU lacks the
/// instructions, or the library's own self-test fails.
[[nodiscard]] std::unique_ptr<Aead> make_ipsec_mb_aead(VectorLevel level);

/// One of each backend that this build and CPU can run; the first is libsodium.
[[nodiscard]] std::vector<std::unique_ptr<Aead>> make_all_aeads();

}  // namespace hats::crypto
