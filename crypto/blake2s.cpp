#include "crypto/blake2s.hpp"

#include <blake2.h>

namespace hats::crypto {
namespace {

constexpr size_t kHashSize = 32;   // bytes
constexpr size_t kBlockSize = 64;  // bytes; the B of RFC 2104

/// One BLAKE2s computation. The state holds key and message bytes, so it wipes itself.
class Blake2s {
 public:
  explicit Blake2s(size_t digest_size) noexcept { blake2s_init(&state_, digest_size); }
  Blake2s(size_t digest_size, ByteView key) noexcept {
    blake2s_init_key(&state_, digest_size, key.data(), key.size());
  }
  Blake2s(const Blake2s&) = delete;
  Blake2s& operator=(const Blake2s&) = delete;
  ~Blake2s() { wipe({reinterpret_cast<uint8_t*>(&state_), sizeof state_}); }

  void update(ByteView part) noexcept { blake2s_update(&state_, part.data(), part.size()); }
  void update(std::initializer_list<ByteView> parts) noexcept {
    for (const ByteView part : parts) update(part);
  }
  void finish(ByteSpan out) noexcept { blake2s_final(&state_, out.data(), out.size()); }

 private:
  alignas(kBlockSize) blake2s_state state_;
};

}  // namespace

Hash hash(std::initializer_list<ByteView> parts) noexcept {
  Hash result;
  Blake2s state(kHashSize);
  state.update(parts);
  state.finish(result.span());
  return result;
}

Mac mac(ByteView key, std::initializer_list<ByteView> parts) noexcept {
  Mac result{};
  Blake2s state(result.size(), key);
  state.update(parts);
  state.finish(result);
  return result;
}

// RFC 2104 2: H(K xor opad, H(K xor ipad, text))
Hash hmac(ByteView key, std::initializer_list<ByteView> parts) noexcept {
  Secret<kBlockSize> pad;
  if (key.size() > kBlockSize) {
    const Hash short_key = hash({key});
    std::memcpy(pad.span().data(), short_key.view().data(), kHashSize);
  } else if (!key.empty()) {
    std::memcpy(pad.span().data(), key.data(), key.size());
  }

  constexpr uint8_t kIpad = 0x36;
  constexpr uint8_t kOpad = 0x5c;
  for (uint8_t& byte : pad.span()) byte ^= kIpad;
  Hash inner;
  Blake2s inner_state(kHashSize);
  inner_state.update(pad.view());
  inner_state.update(parts);
  inner_state.finish(inner.span());

  for (uint8_t& byte : pad.span()) byte ^= kIpad ^ kOpad;
  return hash({pad.view(), inner.view()});
}

// WG 5.4: t0 = Hmac(key, input); t1 = Hmac(t0, 0x1); tn = Hmac(t0, t(n-1) || n). `key` and `input` are read
// before anything is written, so that outputs may alias them.
void kdf1(Hash& t1, ByteView key, ByteView input) noexcept {
  static constexpr uint8_t kOne[] = {1};
  const Hash t0 = hmac(key, {input});
  t1 = hmac(t0.view(), {kOne});
}

void kdf2(Hash& t1, Hash& t2, ByteView key, ByteView input) noexcept {
  static constexpr uint8_t kOne[] = {1};
  static constexpr uint8_t kTwo[] = {2};
  const Hash t0 = hmac(key, {input});
  t1 = hmac(t0.view(), {kOne});
  t2 = hmac(t0.view(), {t1.view(), kTwo});
}

void kdf3(Hash& t1, Hash& t2, Hash& t3, ByteView key, ByteView input) noexcept {
  static constexpr uint8_t kOne[] = {1};
  static constexpr uint8_t kTwo[] = {2};
  static constexpr uint8_t kThree[] = {3};
  const Hash t0 = hmac(key, {input});
  t1 = hmac(t0.view(), {kOne});
  t2 = hmac(t0.view(), {t1.view(), kTwo});
  t3 = hmac(t0.view(), {t2.view(), kThree});
}

}  // namespace hats::crypto
