// The seeds that an invariant is tried with. HATSD_TEST_SEED repeats the run whose seed a failure has
// printed; HATSD_SIM_SEEDS says how many seeds are tried.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/seeded_rng.hpp"

namespace hats::sim {

inline size_t seeds_to_try(size_t usual) {
  if (std::getenv("HATSD_TEST_SEED") != nullptr) return 1;
  const char* text = std::getenv("HATSD_SIM_SEEDS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : usual;
}

/// Calls body(seed) for `usual` seeds, until one fails; prints which. Returns how many it was called for.
template <typename Body>
size_t for_seeds(size_t usual, const Body& body) {
  const uint64_t first = test::run_seed();
  const size_t count = seeds_to_try(usual);
  for (size_t done = 0; done < count; ++done) {
    HATS_TRACE_SEED(first + done);
    body(first + done);
    if (testing::Test::HasFailure()) return done + 1;
  }
  return count;
}

}  // namespace hats::sim
