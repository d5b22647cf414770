#include "crypto/keys.hpp"

#include <sodium.h>

// The decoders are ours, not libsodium's: a key's text has one fixed length, and they look at every character
// without a branch or a table index on its value.

namespace hats::crypto {
namespace {

constexpr size_t kBase64Size = 44;  // characters: 42 full, one with two unused bits, '='
constexpr size_t kHexSize = 2 * kKeySize;
constexpr unsigned kInvalid = 0x100;  // above every value of a digit, survives OR-ing

/// All ones if low <= c <= high, else zero. All arguments below 256.
constexpr unsigned in_range(unsigned c, unsigned low, unsigned high) noexcept {
  const unsigned below = (c - low) >> 31;   // 1 if c < low: the subtraction wrapped
  const unsigned above = (high - c) >> 31;  // 1 if c > high
  return (below | above) - 1;
}

/// The six bits of a base64 digit (RFC 4648 4), or kInvalid.
constexpr unsigned base64_value(char character) noexcept {
  const unsigned c = static_cast<unsigned char>(character);
  const unsigned upper = in_range(c, 'A', 'Z');
  const unsigned lower = in_range(c, 'a', 'z');
  const unsigned digit = in_range(c, '0', '9');
  const unsigned plus = in_range(c, '+', '+');
  const unsigned slash = in_range(c, '/', '/');
  return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) | (plus & 62) |
         (slash & 63) | (~(upper | lower | digit | plus | slash) & kInvalid);
}

/// The four bits of a hexadecimal digit, or kInvalid.
constexpr unsigned hex_value(char character) noexcept {
  const unsigned c = static_cast<unsigned char>(character);
  const unsigned upper = in_range(c, 'A', 'F');
  const unsigned lower = in_range(c, 'a', 'f');
  const unsigned digit = in_range(c, '0', '9');
  return (upper & (c - 'A' + 10)) | (lower & (c - 'a' + 10)) | (digit & (c - '0')) |
         (~(upper | lower | digit) & kInvalid);
}

/// Decodes 43 digits and checks the two unused bits; returns kInvalid or more if anything is wrong.
unsigned decode_base64(std::string_view text, uint8_t* out) noexcept {
  unsigned faults = 0;
  for (size_t group = 0; group < kKeySize / 3; ++group, out += 3) {
    const unsigned a = base64_value(text[0]);
    const unsigned b = base64_value(text[1]);
    const unsigned c = base64_value(text[2]);
    const unsigned d = base64_value(text[3]);
    faults |= a | b | c | d;
    out[0] = static_cast<uint8_t>(a << 2 | b >> 4);
    out[1] = static_cast<uint8_t>(b << 4 | c >> 2);
    out[2] = static_cast<uint8_t>(c << 6 | d);
    text.remove_prefix(4);
  }
  const unsigned a = base64_value(text[0]);
  const unsigned b = base64_value(text[1]);
  const unsigned c = base64_value(text[2]);
  faults |= a | b | c | (c & 3) << 8;  // a key with unused bits set has two texts: refused
  out[0] = static_cast<uint8_t>(a << 2 | b >> 4);
  out[1] = static_cast<uint8_t>(b << 4 | c >> 2);
  return faults;
}

/// The verdict on a decoded key, which is zeroed if it is bad.
bool accept(unsigned faults, std::span<uint8_t, kKeySize> out) noexcept {
  const bool good = faults < kInvalid;
  keep_if(good, out);
  return good;
}

}  // namespace

bool key_from_base64(std::string_view text, std::span<uint8_t, kKeySize> out) noexcept {
  if (text.size() != kBase64Size || text.back() != '=') return accept(kInvalid, out);
  return accept(decode_base64(text, out.data()), out);
}

bool key_from_hex(std::string_view text, std::span<uint8_t, kKeySize> out) noexcept {
  if (text.size() != kHexSize) return accept(kInvalid, out);
  unsigned faults = 0;
  for (size_t i = 0; i < kKeySize; ++i) {
    const unsigned high = hex_value(text[2 * i]);
    const unsigned low = hex_value(text[2 * i + 1]);
    faults |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return accept(faults, out);
}

// Both encoders of libsodium are constant time and write a final NUL, which std::string has room for.
std::string key_to_base64(std::span<const uint8_t, kKeySize> key) {
  std::string text(kBase64Size, '\0');
  sodium_bin2base64(text.data(), text.size() + 1, key.data(), key.size(), sodium_base64_VARIANT_ORIGINAL);
  return text;
}

std::string key_to_hex(std::span<const uint8_t, kKeySize> key) {
  std::string text(kHexSize, '\0');
  sodium_bin2hex(text.data(), text.size() + 1, key.data(), key.size());
  return text;
}

}  // namespace hats::crypto
