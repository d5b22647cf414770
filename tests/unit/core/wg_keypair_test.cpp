// The numbers of a session that no simulation reaches (WG 6.1, 6.2), and the slots of a peer
// (formats.md 6.5).
#include "core/wg/keypair.hpp"

#include <gtest/gtest.h>

#include "core/wg/peer.hpp"

namespace hats::wg {
namespace {

constexpr uint64_t kRekeyAfterMessages = uint64_t{1} << 60;
constexpr uint64_t kRejectAfterMessages = ~uint64_t{0} - (uint64_t{1} << 13);  // 2^64 - 2^13 - 1
constexpr BootTime kBirth{seconds(100).ns};

std::shared_ptr<Keypair> keypair(bool initiator, uint32_t index = 1) {
  const Keypair::Identity identity{.peer = 0, .peer_serial = 1, .local_index = index, .initiator = initiator};
  return std::make_shared<Keypair>(SessionKeys{}, identity, kBirth);
}

TEST(KeypairTest, BothEndsRenewAfterTwoToTheSixtiethMessage) {
  for (const bool initiator : {false, true}) {
    const auto pair = keypair(initiator);
    EXPECT_EQ(pair->take_counters(kRekeyAfterMessages), 0U);
    EXPECT_FALSE(pair->stale_at_send(kBirth));
    EXPECT_EQ(pair->take_counters(1), kRekeyAfterMessages);
    EXPECT_TRUE(pair->stale_at_send(kBirth));
  }
}

TEST(KeypairTest, NoCounterAtOrBeyondTheLimitIsSent) {
  const auto pair = keypair(true);
  EXPECT_EQ(pair->sendable(kBirth), kRejectAfterMessages);
  EXPECT_EQ(pair->take_counters(kRejectAfterMessages - 3), 0U);
  EXPECT_EQ(pair->sendable(kBirth), 3U);
  EXPECT_EQ(pair->take_counters(3), kRejectAfterMessages - 3);
  EXPECT_EQ(pair->sendable(kBirth), 0U);
}

TEST(KeypairTest, NoCounterAtOrBeyondTheLimitIsTaken) {
  const auto pair = keypair(true);
  EXPECT_TRUE(pair->accept_counter(kRejectAfterMessages - 1));
  EXPECT_FALSE(pair->accept_counter(kRejectAfterMessages));
  EXPECT_FALSE(pair->accept_counter(~uint64_t{0}));
}

TEST(KeypairTest, AgeLimitsAreTheirFirstNanosecond) {
  const auto pair = keypair(true);
  const auto age = [](Duration d) { return kBirth + d; };
  const Duration tick{1};
  EXPECT_FALSE(pair->stale_at_send(age(seconds(120) - tick)));
  EXPECT_TRUE(pair->stale_at_send(age(seconds(120))));
  EXPECT_FALSE(pair->stale_at_receive(age(seconds(165) - tick)));
  EXPECT_TRUE(pair->stale_at_receive(age(seconds(165))));
  EXPECT_NE(pair->sendable(age(seconds(180) - tick)), 0U);
  EXPECT_EQ(pair->sendable(age(seconds(180))), 0U);
  EXPECT_TRUE(pair->receivable(age(seconds(180) - tick)));
  EXPECT_FALSE(pair->receivable(age(seconds(180))));
  EXPECT_FALSE(keypair(false)->stale_at_send(age(seconds(179))));
  EXPECT_FALSE(keypair(false)->stale_at_receive(age(seconds(179))));
}

TEST(KeypairsTest, InitiatorsKeyIsCurrentAtOnce) {
  Keypairs slots;
  const auto first = keypair(true, 1), second = keypair(true, 2), third = keypair(true, 3);
  EXPECT_FALSE(slots.add(first).a);
  EXPECT_EQ(slots.current(), first);
  EXPECT_FALSE(slots.add(second).a);
  EXPECT_EQ(slots.current(), second);
  EXPECT_EQ(slots.previous(), first);
  EXPECT_EQ(slots.add(third).a, first);
  EXPECT_EQ(slots.previous(), second);
}

TEST(KeypairsTest, RespondersKeyWaitsForItsFirstPacket) {
  Keypairs slots;
  const auto old = keypair(true, 1), fresh = keypair(false, 2);
  (void)slots.add(old);
  (void)slots.add(fresh);
  EXPECT_EQ(slots.current(), old);
  EXPECT_EQ(slots.next(), fresh);
  RetiredKeypairs retired;
  EXPECT_FALSE(slots.confirm(old.get(), retired));
  EXPECT_TRUE(slots.confirm(fresh.get(), retired));
  EXPECT_FALSE(slots.confirm(fresh.get(), retired)) << "once";
  EXPECT_EQ(slots.current(), fresh);
  EXPECT_EQ(slots.previous(), old);
}

TEST(KeypairsTest, UnconfirmedKeyBecomesPreviousWhenWeInitiate) {
  Keypairs slots;
  const auto old = keypair(true, 1), waiting = keypair(false, 2), ours = keypair(true, 3);
  (void)slots.add(old);
  (void)slots.add(waiting);
  const RetiredKeypairs retired = slots.add(ours);
  EXPECT_EQ(retired.b, old);
  EXPECT_EQ(slots.current(), ours);
  EXPECT_EQ(slots.previous(), waiting);
  EXPECT_FALSE(slots.next());
}

TEST(KeypairsTest, NeverMoreThanTwoAreAlive) {
  for (uint32_t plan = 0; plan < 6'561; ++plan) {  // 3^8 sequences of eight events
    Keypairs slots;
    uint32_t rest = plan;
    for (uint32_t i = 0; i < 8; ++i, rest /= 3) {
      RetiredKeypairs retired;
      if (rest % 3 == 0) (void)slots.add(keypair(true, i));
      if (rest % 3 == 1) (void)slots.add(keypair(false, i));
      if (rest % 3 == 2 && slots.next()) (void)slots.confirm(slots.next().get(), retired);
      EXPECT_LE((slots.previous() ? 1 : 0) + (slots.current() ? 1 : 0) + (slots.next() ? 1 : 0), 2);
    }
  }
}

TEST(PeerTest, APeerWithTwoSessionsStaysUnderFourKib) {
  EXPECT_LT(sizeof(Peer) + 2 * (sizeof(Keypair) + 16), 4'096U);
}

}  // namespace
}  // namespace hats::wg
