// The pass over a payload, which every cut and every merged packet pays for. Each 64-bit word is split into
// two 32-bit halves that are added in 64-bit lanes: no carries to chase, and one form for every vector width.
#include "core/packet/checksum.hpp"

namespace hats::packet {

namespace {

// Below this many bytes, headers above all, setting up vectors costs more than it gives.
constexpr size_t kVectorFrom = 128;

inline uint64_t load_word(const uint8_t* p) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, p, sizeof word);
  return word;
}

inline void add(uint64_t& sum, uint64_t word) noexcept {
  sum += word;
  sum += sum < word ? 1 : 0;
}

// Fewer than 8 bytes: as a word whose missing bytes are zero.
inline uint64_t load_tail(const uint8_t* p, size_t size) noexcept {
  uint64_t word = 0;
  if ((size & 4) != 0) {
    uint32_t part = 0;
    std::memcpy(&part, p, 4);
    word = part;
    p += 4;
  }
  if ((size & 2) != 0) {
    uint16_t part = 0;
    std::memcpy(&part, p, 2);
    word += part;
    p += 2;
  }
  // The order of even-sized parts does not matter to the sum; an odd byte is the low half of its word.
  if ((size & 1) != 0) {
    const std::array<uint8_t, 2> last = {*p, 0};
    uint16_t part = 0;
    std::memcpy(&part, last.data(), 2);
    word += part;
  }
  return word;
}

inline Sum sum_words(const uint8_t* p, size_t left, uint64_t start) noexcept {
  uint64_t a = start;
  uint64_t b = 0;
  while (left >= 16) {
    add(a, load_word(p));
    add(b, load_word(p + 8));
    p += 16;
    left -= 16;
  }
  if (left >= 8) {
    add(a, load_word(p));
    p += 8;
    left -= 8;
  }
  add(b, load_tail(p, left));
  return Sum{a} + Sum{b};
}

// `Lanes`: a vector of uint64_t. Taken in steps of two vectors; what is left goes word by word. A lane cannot
// overflow below 2^32 steps.
template <typename Lanes>
[[gnu::always_inline]] inline Sum sum_lanes(const uint8_t* p, size_t left) noexcept {
  constexpr size_t kStep = 2 * sizeof(Lanes);
  constexpr size_t kCount = sizeof(Lanes) / sizeof(uint64_t);
  Lanes low = {};
  Lanes high = {};
  for (; left >= kStep; p += kStep, left -= kStep) {
    Lanes a;
    Lanes b;
    std::memcpy(&a, p, sizeof a);
    std::memcpy(&b, p + sizeof a, sizeof b);
    low += (a & 0xffff'ffff) + (b & 0xffff'ffff);
    high += (a >> 32) + (b >> 32);
  }
  low += high;
  uint64_t sum = 0;
  for (size_t i = 0; i < kCount; ++i) sum += low[i];
  return sum_words(p, left, sum);
}

using Lanes2 [[gnu::vector_size(16)]] = uint64_t;
using SumLong = Sum (*)(const uint8_t*, size_t) noexcept;

// Sixteen bytes are what every x86-64 and AArch64 has; elsewhere the compiler makes words of them.
Sum sum_long(const uint8_t* p, size_t size) noexcept {
  return sum_lanes<Lanes2>(p, size);
}

#if defined(__x86_64__)
using Lanes4 [[gnu::vector_size(32)]] = uint64_t;
using Lanes8 [[gnu::vector_size(64)]] = uint64_t;

[[gnu::target("avx2")]] Sum sum_long_avx2(const uint8_t* p, size_t size) noexcept {
  return sum_lanes<Lanes4>(p, size);
}
[[gnu::target("avx512f")]] Sum sum_long_avx512(const uint8_t* p, size_t size) noexcept {
  return sum_lanes<Lanes8>(p, size);
}

SumLong choose() noexcept {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return sum_long_avx512;
  return __builtin_cpu_supports("avx2") ? sum_long_avx2 : sum_long;
}
const SumLong kSumLong = choose();
#else
constexpr SumLong kSumLong = sum_long;
#endif

}  // namespace

Sum sum_of(ByteView bytes) noexcept {
  if (bytes.size() < kVectorFrom) return sum_words(bytes.data(), bytes.size(), 0);
  return kSumLong(bytes.data(), bytes.size());
}

}  // namespace hats::packet
