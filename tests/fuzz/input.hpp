// The bytes of a fuzzer as a stream of small decisions. At the end of the bytes everything is zero.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "crypto/bytes.hpp"

namespace hats::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    const ByteView one = bytes(1);
    return one.empty() ? 0 : one[0];
  }
  uint16_t u16() { return static_cast<uint16_t>(byte() | byte() << 8); }
  uint32_t u32() { return u16() | static_cast<uint32_t>(u16()) << 16; }
  uint64_t u64() { return u32() | static_cast<uint64_t>(u32()) << 32; }
  /// In [0, limit), limit > 0; small limits take one byte.
  uint32_t below(uint32_t limit) { return (limit <= 256 ? byte() : u32()) % limit; }
  /// The next `size` bytes, or what is left.
  ByteView bytes(size_t size) {
    const ByteView out = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }
  ByteView rest() { return bytes(rest_.size()); }

 private:
  ByteView rest_;
};

}  // namespace hats::fuzz

/// A law of the code under test: the fuzzer reports the input that breaks it.
#define HATS_FUZZ_CHECK(condition)                                                 \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)
