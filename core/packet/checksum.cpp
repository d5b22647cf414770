#include "core/packet/checksum.hpp"

namespace hats::packet {

namespace {

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
  std::memcpy(&word, p, size);
  return word;
}

}  // namespace

Sum sum_of(ByteView bytes) noexcept {
  const uint8_t* p = bytes.data();
  size_t left = bytes.size();
  uint64_t a = 0;
  uint64_t b = 0;
  while (left >= 32) {
    add(a, load_word(p));
    add(b, load_word(p + 8));
    add(a, load_word(p + 16));
    add(b, load_word(p + 24));
    p += 32;
    left -= 32;
  }
  while (left >= 8) {
    add(a, load_word(p));
    p += 8;
    left -= 8;
  }
  if (left > 0) add(b, load_tail(p, left));
  return Sum{a} + Sum{b};
}

}  // namespace hats::packet
