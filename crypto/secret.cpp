#include "crypto/secret.hpp"

#include <sodium.h>

namespace hats::crypto {

void wipe(ByteSpan bytes) noexcept {
  sodium_memzero(bytes.data(), bytes.size());
}

bool equal_constant_time(ByteView a, ByteView b) noexcept {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace hats::crypto
