#include "crypto/secret.hpp"

#include <sodium.h>

namespace hats::crypto {

void wipe(ByteSpan bytes) noexcept {
  sodium_memzero(bytes.data(), bytes.size());
}

bool equal_constant_time(ByteView a, ByteView b) noexcept {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

void keep_if(bool keep, ByteSpan bytes) noexcept {
  const auto mask = static_cast<uint8_t>(-static_cast<int>(keep));
  for (uint8_t& byte : bytes) byte &= mask;
}

}  // namespace hats::crypto
