// MACs and cookies: WG 5.3, 5.4.4, 5.4.7, 6.6; formats.md 6.4. The cookie reply is checked against the
// independent implementation of vectors/wireguard_vectors.py.
#include "core/wg/cookie.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "crypto/x25519.hpp"
#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

constexpr Duration kSecretMaxAge = seconds(120), kSenderStops = seconds(115);

/// First the cookie secret 40 41 ..., then the nonce 80 81 ...
class VectorRng final : public crypto::Rng {
 public:
  void fill(ByteSpan out) noexcept override {
    std::iota(out.begin(), out.end(), uint8_t(out.size() == 32 ? 0x40 : 0x80));
  }
};

Endpoint endpoint(uint8_t last, uint16_t port) {
  const std::array<uint8_t, 4> address{192, 0, 2, last};
  return {IpAddress::v4(address.data()), port, 0};
}

class CookieTest : public testing::Test {
 protected:
  CookieTest() { checker_.set_identity(self_); }
  InitiationMessage message() {
    InitiationMessage out;
    rng_.fill(out.ephemeral);
    return out;
  }

  test::SeededRng rng_{1};
  crypto::PublicKey self_ = crypto::public_key_of(crypto::generate_private_key(rng_));
  CookieChecker checker_;
  CookieGenerator generator_{self_};
  Endpoint from_ = endpoint(7, 51'821);
  BootTime start_{seconds(50).ns};
};

TEST_F(CookieTest, Mac1ProvesThatTheSenderKnowsOurKey) {
  InitiationMessage one = message();
  generator_.add_macs(one, start_);
  EXPECT_TRUE(checker_.mac1_valid(one));
  for (size_t i = 0; i < 132; ++i) {
    auto raw = one;
    reinterpret_cast<uint8_t*>(&raw)[i] ^= 1;
    EXPECT_FALSE(checker_.mac1_valid(raw)) << i;
  }
  crypto::PublicKey other = self_;
  other.bytes[3] ^= 1;
  CookieGenerator(other).add_macs(one, start_);
  EXPECT_FALSE(checker_.mac1_valid(one));
}

TEST_F(CookieTest, Mac2IsZeroWithoutACookie) {
  InitiationMessage one = message();
  generator_.add_macs(one, start_);
  EXPECT_EQ(one.macs.mac2, Field<16>{});
  EXPECT_FALSE(checker_.mac2_valid(one, from_, start_, rng_));
}

TEST_F(CookieTest, CookieMakesMac2ValidFromThatAddressAndPortOnly) {
  InitiationMessage one = message();
  generator_.add_macs(one, start_);
  ASSERT_TRUE(generator_.consume_reply(checker_.create_reply(1, one.macs.mac1, from_, start_, rng_), start_));
  InitiationMessage two = message();
  generator_.add_macs(two, start_);
  EXPECT_TRUE(checker_.mac1_valid(two));
  EXPECT_TRUE(checker_.mac2_valid(two, from_, start_, rng_));
  EXPECT_FALSE(checker_.mac2_valid(two, endpoint(8, 51'821), start_, rng_));
  EXPECT_FALSE(checker_.mac2_valid(two, endpoint(7, 51'822), start_, rng_));
}

TEST_F(CookieTest, ReplyIsThatOfTheIndependentImplementation) {
  VectorRng rng;
  std::array<uint8_t, 32> key;
  std::iota(key.begin(), key.end(), uint8_t{101});
  crypto::PrivateKey private_key{std::span<const uint8_t, 32>(key)};
  crypto::clamp(private_key);
  CookieChecker checker;
  checker.set_identity(crypto::public_key_of(private_key));
  // The vector's mac1 is the last 16 bytes before the zeros of its initiation.
  Field<16> vector_mac1{};
  const std::string_view hex = "9a1bc4217e7dedb359ccc057b7ce2605";
  for (size_t i = 0; i < 16; ++i) {
    vector_mac1[i] = static_cast<uint8_t>(std::stoi(std::string(hex.substr(2 * i, 2)), nullptr, 16));
  }
  const CookieReplyMessage reply = checker.create_reply(0x1122'3344, vector_mac1, from_, start_, rng);
  std::string text;
  for (const uint8_t byte : bytes_of(reply)) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  EXPECT_EQ(text,
            "0300000044332211808182838485868788898a8b8c8d8e8f9091929394959697f0a8d63b2085dedbe0a30972e68e9ae9"
            "05d8846e"
            "b0059742f9ec6991ba625ae1");
}

// WG 6.6: one reply for one message.
TEST_F(CookieTest, ReplyIsTakenOnceAndOnlyForTheLastMessage) {
  InitiationMessage one = message(), two = message();
  EXPECT_FALSE(generator_.awaits_reply());
  generator_.add_macs(one, start_);
  const auto early = checker_.create_reply(1, one.macs.mac1, from_, start_, rng_);
  generator_.add_macs(two, start_);
  EXPECT_FALSE(generator_.consume_reply(early, start_));
  auto reply = checker_.create_reply(1, two.macs.mac1, from_, start_, rng_);
  auto forged = reply;
  forged.encrypted_cookie[5] ^= 1;
  EXPECT_FALSE(generator_.consume_reply(forged, start_));
  EXPECT_TRUE(generator_.consume_reply(reply, start_));
  EXPECT_FALSE(generator_.consume_reply(reply, start_));
}

TEST_F(CookieTest, SenderStopsUsingACookieBeforeItsSecretIsRenewed) {
  InitiationMessage one = message();
  generator_.add_macs(one, start_);
  ASSERT_TRUE(generator_.consume_reply(checker_.create_reply(1, one.macs.mac1, from_, start_, rng_), start_));
  generator_.add_macs(one, start_ + kSenderStops - Duration{1});
  EXPECT_NE(one.macs.mac2, Field<16>{});
  generator_.add_macs(one, start_ + kSenderStops);
  EXPECT_EQ(one.macs.mac2, Field<16>{});
}

TEST_F(CookieTest, SecretIsRenewedEveryTwoMinutes) {
  InitiationMessage one = message();
  generator_.add_macs(one, start_);
  const auto reply = checker_.create_reply(1, one.macs.mac1, from_, start_, rng_);
  ASSERT_TRUE(generator_.consume_reply(reply, start_));
  generator_.add_macs(one, start_);
  EXPECT_TRUE(checker_.mac2_valid(one, from_, start_ + kSecretMaxAge - Duration{1}, rng_));
  EXPECT_FALSE(checker_.mac2_valid(one, from_, start_ + kSecretMaxAge, rng_));
}

}  // namespace
}  // namespace hats::wg
