// Memory that is given back is wiped first, all of it. Our own types wipe the keys that they hold; the text
// of a configuration passes through libraries that do not (JSON between keeper and data process, YAML,
// streams), and leaves copies wherever one of their strings has grown. No packet is allocated, so that this
// costs the data path nothing. Of the program alone: sanitizers and tests that count have operators of their
// own.
#include <malloc.h>
#include <string.h>

#include <cstdlib>
#include <new>

namespace {

// The standard library's operator new is malloc or aligned_alloc; both end in free().
void wipe_and_free(void* memory) noexcept {
  if (memory == nullptr) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

// The other forms, for arrays and such, call these.
void operator delete(void* memory) noexcept {
  wipe_and_free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  wipe_and_free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  wipe_and_free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  wipe_and_free(memory);
}
