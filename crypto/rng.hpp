// Where randomness comes in. The core takes an Rng&; only the daemon makes a SystemRng, tests make a seeded
// one.
#pragma once

#include "crypto/bytes.hpp"

namespace hats::crypto {

class Rng {
 public:
  virtual ~Rng() = default;
  /// Fills `out` with random bytes. Cannot fail.
  virtual void fill(ByteSpan out) noexcept = 0;
};

/// The operating system's randomness through libsodium.
class SystemRng final : public Rng {
 public:
  void fill(ByteSpan out) noexcept override;
};

/// Must be called once before anything else of crypto/ is used, from one thread. Returns false if libsodium
/// cannot start (no randomness); the program must not go on then.
[[nodiscard]] bool initialise() noexcept;

}  // namespace hats::crypto
