// Secret<N>: N bytes that wipe themselves. Move-only, so that every copy of a secret is written out in the
// code (copy()); no operator==, no stream output. Comparison is equals(), in constant time.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "crypto/bytes.hpp"

namespace hats::crypto {

/// Overwrites `bytes` with zeros in a way that the compiler may not drop.
void wipe(ByteSpan bytes) noexcept;

/// True if both are equal; time depends on the length alone. The spans must have the same length (else
/// false).
[[nodiscard]] bool equal_constant_time(ByteView a, ByteView b) noexcept;

/// Zeroes `bytes` unless `keep`. Constant time in both.
void keep_if(bool keep, ByteSpan bytes) noexcept;

template <size_t N>
class Secret {
 public:
  Secret() noexcept : bytes_{} {}
  explicit Secret(std::span<const uint8_t, N> bytes) noexcept { std::memcpy(bytes_.data(), bytes.data(), N); }
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(bytes_); }

  [[nodiscard]] Secret copy() const noexcept { return Secret(std::span<const uint8_t, N>(bytes_)); }
  [[nodiscard]] std::span<const uint8_t, N> view() const noexcept { return bytes_; }
  [[nodiscard]] std::span<uint8_t, N> span() noexcept { return bytes_; }
  void clear() noexcept { wipe(bytes_); }
  [[nodiscard]] bool equals(const Secret& other) const noexcept {
    return equal_constant_time(bytes_, other.bytes_);
  }
  /// True if every byte is zero: how a WireGuard private or preshared key says "none". Constant time.
  [[nodiscard]] bool is_zero() const noexcept { return equals(Secret{}); }

 private:
  std::array<uint8_t, N> bytes_;
};

}  // namespace hats::crypto
