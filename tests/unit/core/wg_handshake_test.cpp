// The handshake against vectors of an independent implementation (vectors/wireguard_vectors.py), and what it
// refuses: WG 5.4.1 - 5.4.5, formats.md 6.3.
#include "core/wg/handshake.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "core/wg/cookie.hpp"
#include "crypto/x25519.hpp"
#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return out;
}
Bytes bytes(ByteView view) {
  return {view.begin(), view.end()};
}
std::array<uint8_t, 32> counting(uint8_t first) {
  std::array<uint8_t, 32> out;
  std::iota(out.begin(), out.end(), first);
  return out;
}

/// Gives 32 known bytes, then nothing random at all.
class FixedRng final : public crypto::Rng {
 public:
  explicit FixedRng(uint8_t first) : bytes_(counting(first)) {}
  void fill(ByteSpan out) noexcept override {
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes_[i % 32];
  }

 private:
  std::array<uint8_t, 32> bytes_;
};

StaticIdentity identity(uint8_t first) {
  StaticIdentity out;
  out.private_key = crypto::PrivateKey(counting(first));
  crypto::clamp(out.private_key);
  out.public_key = crypto::public_key_of(out.private_key);
  return out;
}

constexpr std::string_view kInitiation =
    "010000004433221146b1880a0dca97ae1618d3d8c04cc51b10fd08c1cd8839c1bbf4bd7fe014005dacced4a1517d4fc6d234939c"
    "635a"
    "76cd0624c53eb924305523ea2d38741fb59ecb9c1e7935536c3042e8094ab4cc7f92fd5ba7d4aeb4b5459c814b0ae7f3cc05a82c"
    "7e2e"
    "c748d07b39554d6d9a1bc4217e7dedb359ccc057b7ce260500000000000000000000000000000000";
constexpr std::string_view kResponse =
    "0200000088776655443322114c29f4996985e80d247e80b70303824592ff9fbad74904ea7c3d2bda24e51c12b5db5917c6096e00"
    "f4c8"
    "ff37b0cf5f6c239dd9e0fdb38e53b01b6311c1f7b0a400000000000000000000000000000000";
constexpr std::string_view kSend = "ecb77b7f3b5e76aec051216d9bca81502ded7e3803cb9fa2149c717bdbcb183c";
constexpr std::string_view kReceive = "47ae4ff6ecbc997d35923e5388f45855935b59c86f6ad838599774f18bc45648";
constexpr std::string_view kResponseWithoutPsk =
    "0200000088776655443322114c29f4996985e80d247e80b70303824592ff9fbad74904ea7c3d2bda24e51c128b9271e094fd796e"
    "da5c"
    "2bb2b9b1600dc3b79d17a79b13fb52936cd9e44126ab00000000000000000000000000000000";
constexpr std::string_view kSendWithoutPsk =
    "275cc91f3dac43f662caf56527d0facbafd1e69a7d4306aa575e70ece697ae08";
constexpr WallTime kWhen{1'700'000'000, 123'456'789};
constexpr uint32_t kInitiatorIndex = 0x1122'3344, kResponderIndex = 0x5566'7788;

class HandshakeTest : public testing::Test {
 protected:
  HandshakeTest() {
    to_responder_.public_key = responder_.public_key;
    to_initiator_.public_key = initiator_.public_key;
    to_responder_.precompute(initiator_);
    to_initiator_.precompute(responder_);
  }
  void use_psk(uint8_t first) {
    to_responder_.preshared_key = crypto::PresharedKey(counting(first));
    to_initiator_.preshared_key = crypto::PresharedKey(counting(first));
  }
  std::optional<PendingInitiation> initiate(InitiationMessage& message) {
    return create_initiation(initiator_, to_responder_, Tai64n::from(kWhen), kInitiatorIndex, initiator_rng_,
                             message);
  }
  std::optional<SessionKeys> respond(const InitiationMessage& initiation, ResponseMessage& response) {
    auto consumed = begin_consume_initiation(responder_, initiation);
    if (!consumed || !finish_consume_initiation(to_initiator_, *consumed)) return std::nullopt;
    return create_response(to_initiator_, *consumed, kResponderIndex, responder_rng_, response);
  }

  StaticIdentity initiator_ = identity(1), responder_ = identity(101);
  RemoteIdentity to_responder_, to_initiator_;
  FixedRng initiator_rng_{41}, responder_rng_{201};
};

TEST_F(HandshakeTest, MessagesAndKeysAreThoseOfTheIndependentImplementation) {
  use_psk(150);
  InitiationMessage initiation;
  const auto pending = initiate(initiation);
  ASSERT_TRUE(pending);
  CookieGenerator(responder_.public_key).add_macs(initiation, BootTime{1});
  EXPECT_EQ(bytes(bytes_of(initiation)), from_hex(kInitiation));

  ResponseMessage response;
  const auto responder_keys = respond(initiation, response);
  ASSERT_TRUE(responder_keys);
  CookieGenerator(initiator_.public_key).add_macs(response, BootTime{1});
  EXPECT_EQ(bytes(bytes_of(response)).size(), 92U);
  // The vectors end with mac1 and 16 zeros; the response has them too.
  EXPECT_EQ(bytes(bytes_of(response)), from_hex(kResponse));
  EXPECT_EQ(bytes(responder_keys->receive.view()), from_hex(kSend));
  EXPECT_EQ(bytes(responder_keys->send.view()), from_hex(kReceive));
  EXPECT_EQ(responder_keys->remote_index, kInitiatorIndex);

  const auto initiator_keys = consume_response(initiator_, to_responder_, *pending, response);
  ASSERT_TRUE(initiator_keys);
  EXPECT_EQ(bytes(initiator_keys->send.view()), from_hex(kSend));
  EXPECT_EQ(bytes(initiator_keys->receive.view()), from_hex(kReceive));
  EXPECT_EQ(initiator_keys->remote_index, kResponderIndex);
}

TEST_F(HandshakeTest, NoPresharedKeyIsThirtyTwoZeros) {
  InitiationMessage initiation;
  const auto pending = initiate(initiation);
  ResponseMessage response;
  ASSERT_TRUE(respond(initiation, response));
  CookieGenerator(initiator_.public_key).add_macs(response, BootTime{1});
  EXPECT_EQ(bytes(bytes_of(response)), from_hex(kResponseWithoutPsk));
  const auto keys = consume_response(initiator_, to_responder_, *pending, response);
  ASSERT_TRUE(keys);
  EXPECT_EQ(bytes(keys->send.view()), from_hex(kSendWithoutPsk));
}

TEST_F(HandshakeTest, ResponderReadsTheInitiatorsKeyAndTimestamp) {
  auto consumed =
      begin_consume_initiation(responder_, read_message<InitiationMessage>(from_hex(kInitiation)));
  ASSERT_TRUE(consumed);
  EXPECT_EQ(consumed->remote_static, initiator_.public_key);
  EXPECT_EQ(consumed->remote_index, kInitiatorIndex);
  ASSERT_TRUE(finish_consume_initiation(to_initiator_, *consumed));
  EXPECT_EQ(consumed->timestamp, Tai64n::from(kWhen));
}

TEST_F(HandshakeTest, DifferentPresharedKeysDoNotAgree) {
  InitiationMessage initiation;
  const auto pending = initiate(initiation);
  to_initiator_.preshared_key = crypto::PresharedKey(counting(7));
  ResponseMessage response;
  ASSERT_TRUE(respond(initiation, response));
  EXPECT_FALSE(consume_response(initiator_, to_responder_, *pending, response));
}

TEST_F(HandshakeTest, EveryChangedByteOfAnInitiationIsRefused) {
  const Bytes good = from_hex(kInitiation);
  for (size_t i = 8; i < 116; ++i) {  // ephemeral, static, timestamp
    Bytes bad = good;
    bad[i] ^= 0x10;
    auto consumed = begin_consume_initiation(responder_, read_message<InitiationMessage>(bad));
    EXPECT_FALSE(consumed && finish_consume_initiation(to_initiator_, *consumed)) << i;
  }
}

TEST_F(HandshakeTest, EveryChangedByteOfAResponseIsRefusedAndTheTrueOneStillTaken) {
  InitiationMessage initiation;
  const auto pending = initiate(initiation);
  ResponseMessage response;
  ASSERT_TRUE(respond(initiation, response));
  const Bytes good = bytes(bytes_of(response));
  for (size_t i = 12; i < 60; ++i) {  // ephemeral, nothing
    Bytes bad = good;
    bad[i] ^= 0x10;
    EXPECT_FALSE(consume_response(initiator_, to_responder_, *pending, read_message<ResponseMessage>(bad)))
        << i;
  }
  EXPECT_TRUE(consume_response(initiator_, to_responder_, *pending, response));
}

TEST_F(HandshakeTest, AnotherPeersStaticStaticSecretDoesNotOpenTheTimestamp) {
  auto consumed =
      begin_consume_initiation(responder_, read_message<InitiationMessage>(from_hex(kInitiation)));
  ASSERT_TRUE(consumed);
  RemoteIdentity stranger;
  stranger.public_key = identity(33).public_key;
  stranger.precompute(responder_);
  EXPECT_FALSE(finish_consume_initiation(stranger, *consumed));
}

// RFC 7748 6.1, WG 5.4: an all-zero shared secret aborts.
TEST_F(HandshakeTest, LowOrderPointsAbort) {
  RemoteIdentity low;
  low.public_key.bytes[0] = 1;
  low.precompute(initiator_);
  EXPECT_FALSE(low.usable);
  InitiationMessage message;
  EXPECT_FALSE(
      create_initiation(initiator_, low, Tai64n::from(kWhen), kInitiatorIndex, initiator_rng_, message));

  Bytes initiation = from_hex(kInitiation);
  std::fill_n(initiation.begin() + 8, 32, uint8_t{0});
  EXPECT_FALSE(begin_consume_initiation(responder_, read_message<InitiationMessage>(initiation)));

  const auto pending = initiate(message);
  ResponseMessage response;
  ASSERT_TRUE(respond(message, response));
  response.ephemeral = {};
  EXPECT_FALSE(consume_response(initiator_, to_responder_, *pending, response));
}

TEST(Tai64nTest, CountsFromTheTaiEpochAndRoundsNanosecondsDown) {
  const Tai64n stamp = Tai64n::from({1'700'000'000, 123'456'789});
  EXPECT_EQ(load_be64(stamp.bytes.data()), (uint64_t{1} << 62) + 10 + 1'700'000'000);
  EXPECT_EQ(load_be32(&stamp.bytes[8]), 123'456'789U / (1U << 24) * (1U << 24));
}

TEST(Tai64nTest, OrderOfBytesIsOrderOfTime) {
  EXPECT_LT(Tai64n{}, Tai64n::from({0, 0}));
  EXPECT_LT(Tai64n::from({255, 999'999'999}), Tai64n::from({256, 0}));
  EXPECT_LT(Tai64n::from({5, 0}), Tai64n::from({5, 1U << 24}));
  EXPECT_EQ(Tai64n::from({5, 0}), Tai64n::from({5, (1U << 24) - 1}));
}

TEST(MessagesTest, LengthTypeAndReservedBytesMustBeExact) {
  for (uint8_t type = 0; type < 8; ++type) {
    for (size_t size = 0; size < 200; ++size) {
      Bytes datagram(size);
      if (size > 0) datagram[0] = type;
      const bool right = (type == 1 && size == 148) || (type == 2 && size == 92) ||
                         (type == 3 && size == 64) || (type == 4 && size >= 32);
      EXPECT_EQ(classify(datagram).has_value(), right) << int{type} << ' ' << size;
      for (size_t i = 1; right && i < 4; ++i) {
        datagram[i] = 1;
        EXPECT_FALSE(classify(datagram));
        datagram[i] = 0;
      }
    }
  }
}

}  // namespace
}  // namespace hats::wg
