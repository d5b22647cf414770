// Counts the calls of operator new. For exactly one source file of a program.
#pragma once

#include <cstdlib>
#include <new>

namespace hats::testing {
[[maybe_unused]] inline size_t g_allocations = 0;
}  // namespace hats::testing

// A sanitizer has its own operator new, and would miss what passes it by.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HATS_COUNTS_ALLOCATIONS
void* operator new(size_t size) {
  ++hats::testing::g_allocations;
  if (void* out = std::malloc(size)) return out;
  std::abort();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
#endif
