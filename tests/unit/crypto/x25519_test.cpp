// RFC 7748: its vectors, and the points that must be refused.
#include "crypto/x25519.hpp"

#include <gtest/gtest.h>

#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats::crypto;
using hats::test::array_from_hex;
using hats::test::SeededRng;
using hats::test::to_hex;

PrivateKey scalar_of(std::string_view hex) {
  return PrivateKey(array_from_hex<32>(hex));
}

PublicKey point_of(std::string_view hex) {
  return {array_from_hex<32>(hex)};
}

std::string multiply(std::string_view scalar, std::string_view point) {
  Secret<32> out;
  return x25519(out, scalar_of(scalar), point_of(point)) ? to_hex(out.view()) : "refused";
}

TEST(X25519Test, Rfc7748Section52VectorsHold) {
  EXPECT_EQ(multiply("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  // The second vector's point has its highest bit set: it must be masked (RFC 7748 5).
  EXPECT_EQ(multiply("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519Test, Rfc7748Section52IterationsHold) {
  auto k = array_from_hex<32>("0900000000000000000000000000000000000000000000000000000000000000");
  auto u = k;
  for (int round = 1; round <= 1000; ++round) {
    Secret<32> out;
    ASSERT_TRUE(x25519(out, PrivateKey(k), PublicKey{u}));
    u = k;
    std::copy(out.view().begin(), out.view().end(), k.begin());
    if (round == 1) {
      ASSERT_EQ(to_hex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(to_hex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519Test, Rfc7748Section61KeyAgreementHolds) {
  constexpr std::string_view kAlice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
  constexpr std::string_view kBob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
  constexpr std::string_view kAlicePublic =
      "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
  constexpr std::string_view kBobPublic = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
  constexpr std::string_view kShared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  EXPECT_EQ(to_hex(public_key_of(scalar_of(kAlice)).bytes), kAlicePublic);
  EXPECT_EQ(to_hex(public_key_of(scalar_of(kBob)).bytes), kBobPublic);
  EXPECT_EQ(multiply(kAlice, kBobPublic), kShared);
  EXPECT_EQ(multiply(kBob, kAlicePublic), kShared);
}

// The points whose order divides 8, as values below 2^255 (0, 1, two of order 8, p-1, p, p+1), each also with
// bit 255 set, which RFC 7748 5 says to ignore.
TEST(X25519Test, LowOrderPointsAreRefusedAndTheOutputIsZero) {
  SeededRng rng(1);
  for (const std::string_view hex : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
       }) {
    for (const uint8_t top_bit : {0x00, 0x80}) {
      PublicKey point = point_of(hex);
      point.bytes[31] |= top_bit;
      for (int round = 0; round < 10; ++round) {
        Secret<32> out;
        out.span()[0] = 0xaa;
        EXPECT_FALSE(x25519(out, generate_private_key(rng), point)) << hex;
        EXPECT_TRUE(out.is_zero()) << hex;
      }
    }
  }
}

TEST(X25519Test, ClampingChangesTheFiveBitsOfTheRfcOnly) {
  std::array<uint8_t, 32> bytes;
  bytes.fill(0xff);
  PrivateKey ones(bytes);
  clamp(ones);
  EXPECT_EQ(to_hex(ones.view()), "f8ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
  PrivateKey zeros;
  clamp(zeros);
  EXPECT_EQ(to_hex(zeros.view()), "0000000000000000000000000000000000000000000000000000000000000040");
}

TEST(X25519Test, AKeyAndItsClampedFormHaveOnePublicKey) {
  SeededRng rng(2);
  for (int round = 0; round < 50; ++round) {
    PrivateKey key;
    rng.fill(key.span());
    PrivateKey clamped = key.copy();
    clamp(clamped);
    EXPECT_EQ(public_key_of(key), public_key_of(clamped));
  }
}

TEST(X25519Test, ThePublicKeyIsTheProductWithNine) {
  SeededRng rng(3);
  PublicKey base;
  base.bytes[0] = 9;
  for (int round = 0; round < 50; ++round) {
    const PrivateKey key = generate_private_key(rng);
    Secret<32> out;
    ASSERT_TRUE(x25519(out, key, base));
    EXPECT_EQ(to_hex(out.view()), to_hex(public_key_of(key).bytes));
  }
}

TEST(X25519Test, GeneratedKeysAreClampedAndComeFromTheRng) {
  SeededRng rng(4);
  SeededRng same(4);
  const PrivateKey key = generate_private_key(rng);
  PrivateKey expected;
  same.fill(expected.span());
  clamp(expected);
  EXPECT_TRUE(key.equals(expected));
  EXPECT_EQ(key.view()[0] & 7, 0);
  EXPECT_EQ(key.view()[31] & 0xc0, 0x40);
}

TEST(RngTest, TheSystemGivesDifferentBytesEachTime) {
  ASSERT_TRUE(initialise());
  ASSERT_TRUE(initialise());  // a second call does no harm
  SystemRng rng;
  std::array<uint8_t, 32> a{};
  std::array<uint8_t, 32> b{};
  rng.fill(a);
  rng.fill(b);
  EXPECT_NE(a, b);
  rng.fill({});
}

}  // namespace
