// Randomness for tests: a seeded generator that is also a crypto::Rng, and the seed of this run. The seed is
// new in each run; HATSD_TEST_SEED repeats one that a failing test has printed.
#pragma once

#include <cstdlib>
#include <random>

#include "crypto/rng.hpp"

namespace hats::test {

class SeededRng final : public crypto::Rng {
 public:
  explicit SeededRng(uint64_t seed) : engine_(seed) {}

  void fill(ByteSpan out) noexcept override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(engine_());
  }
  /// Uniform in [0, limit); limit > 0.
  uint64_t below(uint64_t limit) { return std::uniform_int_distribution<uint64_t>(0, limit - 1)(engine_); }
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

inline uint64_t run_seed() {
  static const uint64_t seed = [] {
    const char* text = std::getenv("HATSD_TEST_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

}  // namespace hats::test

/// Prints the seed when something in this scope fails.
#define HATS_TRACE_SEED(seed) SCOPED_TRACE("HATSD_TEST_SEED=" + std::to_string(seed))
