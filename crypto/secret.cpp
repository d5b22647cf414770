#include "crypto/secret.hpp"

#include <sodium.h>

namespace hats::crypto {

void wipe(ByteSpan bytes) noexcept {
  sodium_memzero(bytes.data(), bytes.size());
}

bool equal_constant_time(ByteView a, ByteView b) noexcept {
  // The size of every tag and MAC: sodium_memcmp goes byte by byte, at 30 ns.
  if (a.size() == crypto_verify_16_BYTES && b.size() == crypto_verify_16_BYTES) {
    return crypto_verify_16(a.data(), b.data()) == 0;
  }
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

void keep_if(bool keep, ByteSpan bytes) noexcept {
  const auto mask = static_cast<uint8_t>(-static_cast<int>(keep));
  for (uint8_t& byte : bytes) byte &= mask;
}

}  // namespace hats::crypto
