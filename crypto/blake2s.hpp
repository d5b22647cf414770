// BLAKE2s (RFC 7693) over libb2, and HMAC and HKDF on it with the names of the WireGuard paper (WG 5.4).
#pragma once

#include <array>
#include <initializer_list>

#include "crypto/secret.hpp"

namespace hats::crypto {

using Hash = Secret<32>;  // chaining values and transcript hashes are secret until the handshake is over
using Mac = std::array<uint8_t, 16>;

/// Hash(input): BLAKE2s-256 over the concatenation of `parts`.
[[nodiscard]] Hash hash(std::initializer_list<ByteView> parts) noexcept;
/// Mac(key, input): keyed BLAKE2s-128 over the concatenation of `parts`; key of 1..32 bytes.
[[nodiscard]] Mac mac(ByteView key, std::initializer_list<ByteView> parts) noexcept;
/// Hmac(key, input): HMAC-BLAKE2s-256 (RFC 2104 with a 64-byte block), not keyed BLAKE2s.
[[nodiscard]] Hash hmac(ByteView key, std::initializer_list<ByteView> parts) noexcept;

/// KDF1..3(key, input) of the paper: HKDF with Hmac. Outputs may alias `key`.
void kdf1(Hash& t1, ByteView key, ByteView input) noexcept;
void kdf2(Hash& t1, Hash& t2, ByteView key, ByteView input) noexcept;
void kdf3(Hash& t1, Hash& t2, Hash& t3, ByteView key, ByteView input) noexcept;

}  // namespace hats::crypto
