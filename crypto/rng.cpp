#include "crypto/rng.hpp"

#include <sodium.h>

namespace hats::crypto {

void SystemRng::fill(ByteSpan out) noexcept {
  if (!out.empty()) randombytes_buf(out.data(), out.size());
}

bool initialise() noexcept {
  return sodium_init() >= 0;  // 1 means "already done"
}

}  // namespace hats::crypto
