// Counts the calls of operator new. For exactly one source file of a program.
#pragma once

#include <cstdlib>
#include <new>

namespace hats::testing {
[[maybe_unused]] inline size_t g_allocations = 0;
}  // namespace hats::testing

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitizer has its own operator new, and would miss what passes it by; it tells of every malloc() as well.
// GCC does not install the header that declares this.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                                         void (*free_hook)(const volatile void*));

namespace hats::testing {
[[maybe_unused]] inline const int g_allocation_hooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { ++g_allocations; }, [](const volatile void*) {});
}  // namespace hats::testing
#else
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
