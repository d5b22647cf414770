// X25519 (RFC 7748) over libsodium.
#pragma once

#include "crypto/keys.hpp"
#include "crypto/rng.hpp"

namespace hats::crypto {

/// out = X25519(scalar, point). False, with `out` wiped, if the result is all zeros (a low-order point): the
/// handshake must abort then (RFC 7748 6.1, WG 5.4). The scalar is clamped as RFC 7748 5 says.
[[nodiscard]] bool x25519(Secret<kKeySize>& out, const PrivateKey& scalar, const PublicKey& point) noexcept;

/// The public key of `key`: X25519(key, 9).
[[nodiscard]] PublicKey public_key_of(const PrivateKey& key) noexcept;

/// A fresh, clamped private key.
[[nodiscard]] PrivateKey generate_private_key(Rng& rng) noexcept;

/// Clamps the scalar in place, as wg(8) and the kernel do to a private key that is set.
void clamp(PrivateKey& key) noexcept;

}  // namespace hats::crypto
