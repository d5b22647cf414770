#include "crypto/x25519.hpp"

#include <sodium.h>

namespace hats::crypto {

static_assert(crypto_scalarmult_curve25519_BYTES == kKeySize);
static_assert(crypto_scalarmult_curve25519_SCALARBYTES == kKeySize);

bool x25519(Secret<kKeySize>& out, const PrivateKey& scalar, const PublicKey& point) noexcept {
  // libsodium clamps a copy of the scalar and refuses low-order points and a result of zeros.
  const bool ok =
      crypto_scalarmult_curve25519(out.span().data(), scalar.view().data(), point.bytes.data()) == 0;
  keep_if(ok, out.span());
  return ok;
}

PublicKey public_key_of(const PrivateKey& key) noexcept {
  PublicKey result;
  crypto_scalarmult_curve25519_base(result.bytes.data(), key.view().data());
  return result;
}

PrivateKey generate_private_key(Rng& rng) noexcept {
  PrivateKey key;
  rng.fill(key.span());
  clamp(key);
  return key;
}

// RFC 7748 5, decodeScalar25519
void clamp(PrivateKey& key) noexcept {
  const auto bytes = key.span();
  bytes[0] &= 0xf8;
  bytes[kKeySize - 1] = static_cast<uint8_t>((bytes[kKeySize - 1] & 0x7f) | 0x40);
}

}  // namespace hats::crypto
