// The key types, so that no key is mistaken for another, and their text forms (base64 for people, hex for the
// UAPI).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "crypto/secret.hpp"

namespace hats::crypto {

inline constexpr size_t kKeySize = 32;

/// An X25519 public key. Public: may be compared, hashed, printed.
struct PublicKey {
  std::array<uint8_t, kKeySize> bytes{};
  auto operator<=>(const PublicKey&) const = default;
};

/// An X25519 private key. The all-zero value means "no key" in the UAPI.
class PrivateKey : public Secret<kKeySize> {
 public:
  using Secret::Secret;
  [[nodiscard]] PrivateKey copy() const noexcept { return PrivateKey(view()); }
};

/// The optional preshared key of Noise_IKpsk2; all zeros is the same as none (WG 5.2).
class PresharedKey : public Secret<kKeySize> {
 public:
  using Secret::Secret;
  [[nodiscard]] PresharedKey copy() const noexcept { return PresharedKey(view()); }
};

/// A symmetric key for AEAD use.
class SymmetricKey : public Secret<kKeySize> {
 public:
  using Secret::Secret;
  [[nodiscard]] SymmetricKey copy() const noexcept { return SymmetricKey(view()); }
};

/// Base64 of exactly 32 bytes: 44 characters, the last one '=', unused bits zero, as wg(8) demands. Constant
/// time in the key's value. Returns false, and leaves `out` zero, for anything else.
[[nodiscard]] bool key_from_base64(std::string_view text, std::span<uint8_t, kKeySize> out) noexcept;
/// 64 hexadecimal digits of either case. Returns false, and leaves `out` zero, for anything else. Constant
/// time.
[[nodiscard]] bool key_from_hex(std::string_view text, std::span<uint8_t, kKeySize> out) noexcept;
/// The text forms. The caller wipes the text of a secret.
[[nodiscard]] std::string key_to_base64(std::span<const uint8_t, kKeySize> key);
[[nodiscard]] std::string key_to_hex(std::span<const uint8_t, kKeySize> key);

/// std::hash for tables keyed by public key; the keys are attacker-chosen only after authentication.
struct PublicKeyHash {
  size_t operator()(const PublicKey& key) const noexcept { return load_le64(key.bytes.data()); }
};

}  // namespace hats::crypto
