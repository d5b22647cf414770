// The batch AEAD over libipsec-mb 1.3 (x86-64). For this cipher the library works synchronously: every submit
// returns the job that it was given, so that there is neither a queue nor a flush, and jobs run in order. It
// computes the tag of a packet to open but does not compare it: that is ours.

#include <intel-ipsec-mb.h>

#include "crypto/aead_backends.hpp"

namespace hats::crypto {
namespace {

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;  // about 200 KiB

/// One implementation of the library.
struct Level {
  uint64_t cpu_features;
  void (*initialise)(IMB_MGR*);
  std::string_view name;
};

Level level_of(VectorLevel level) noexcept {
  switch (level) {
    case VectorLevel::avx2:
      return {IMB_CPUFLAGS_AVX2, init_mb_mgr_avx2, "ipsec-mb (avx2)"};
    case VectorLevel::avx512:
      return {IMB_CPUFLAGS_AVX512, init_mb_mgr_avx512, "ipsec-mb (avx512)"};
  }
  __builtin_unreachable();
}

/// A key with room behind it: the AVX2 implementation reads 48 bytes where a key has 32.
class RoomyKey : public Secret<64> {
 public:
  explicit RoomyKey(const SymmetricKey& key) noexcept {
    std::memcpy(span().data(), key.view().data(), kKeySize);
  }
};

class IpsecMbAead final : public Aead {
 public:
  IpsecMbAead(Manager manager, std::string_view name) noexcept : manager_(std::move(manager)), name_(name) {}

  void seal(const SymmetricKey& key, std::span<SealJob> jobs) noexcept override {
    const RoomyKey roomy(key);
    for (const SealJob& job : jobs) {
      write_head(job);
      run(IMB_DIR_ENCRYPT, roomy, job.counter, job.in, job.out, job.size, job.out + job.size);
    }
  }

  void open(const SymmetricKey& key, std::span<OpenJob> jobs) noexcept override {
    const RoomyKey roomy(key);
    std::array<uint8_t, kTagSize> tag;
    for (OpenJob& job : jobs) {
      const uint32_t size = job.size - static_cast<uint32_t>(kTagSize);
      run(IMB_DIR_DECRYPT, roomy, job.counter, job.data, job.data, size, tag.data());
      job.ok = equal_constant_time(tag, {job.data + size, kTagSize});
    }
    wipe_rejected(jobs);
    wipe(tag);  // the right tag of a packet that came with a wrong one would be a forgery
  }

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

 private:
  void run(IMB_CIPHER_DIRECTION direction, const RoomyKey& key, uint64_t counter, const uint8_t* in,
           uint8_t* out, uint32_t size, uint8_t* tag) noexcept {
    const AeadNonce nonce = aead_nonce(counter);
    IMB_JOB* job = IMB_GET_NEXT_JOB(manager_.get());
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    // Open authenticates the ciphertext before it is overwritten in place.
    job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = key.view().data();
    job->dec_keys = key.view().data();
    job->key_len_in_bytes = kKeySize;
    job->iv = nonce.data();
    job->iv_len_in_bytes = nonce.size();
    job->src = in;
    job->dst = out;
    job->cipher_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = size;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = size;
    job->u.CHACHA20_POLY1305.aad = nullptr;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = kTagSize;
    // NOCHECK skips the library's validation of the fields, all of which are set right above.
    IMB_SUBMIT_JOB_NOCHECK(manager_.get());
  }

  Manager manager_;
  std::string_view name_;
};

}  // namespace

std::unique_ptr<Aead> make_ipsec_mb_aead(VectorLevel vector_level) {
  Manager manager(alloc_mb_mgr(0));
  if (!manager) return nullptr;
  const Level level = level_of(vector_level);
  if ((manager->features & level.cpu_features) != level.cpu_features) return nullptr;
  level.initialise(manager.get());
  constexpr uint64_t kSelfTest = IMB_FEATURE_SELF_TEST | IMB_FEATURE_SELF_TEST_PASS;
  if (imb_get_errno(manager.get()) != 0) return nullptr;
  if ((manager->features & kSelfTest) == IMB_FEATURE_SELF_TEST) return nullptr;  // ran and failed
  return std::make_unique<IpsecMbAead>(std::move(manager), level.name);
}

}  // namespace hats::crypto
