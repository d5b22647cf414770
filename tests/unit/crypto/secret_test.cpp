#include "crypto/secret.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <type_traits>

#include "crypto/keys.hpp"
#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats;
using namespace hats::crypto;

constexpr size_t kSize = 32;

std::array<uint8_t, kSize> pattern() {
  std::array<uint8_t, kSize> bytes;
  for (size_t i = 0; i < kSize; ++i) bytes[i] = static_cast<uint8_t>(i + 1);
  return bytes;
}

template <size_t N>
bool all_zero(const std::array<uint8_t, N>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

/// Storage that outlives the object made in it, so that what the object left behind can be looked at.
template <typename T>
struct Storage {
  alignas(T) std::array<uint8_t, sizeof(T)> bytes;
  template <typename... Args>
  T* make(Args&&... args) {
    bytes.fill(0xee);
    return new (bytes.data()) T(std::forward<Args>(args)...);
  }
  bool holds(ByteView what) const {
    return std::search(bytes.begin(), bytes.end(), what.begin(), what.end()) != bytes.end();
  }
};

template <typename T>
class SecretTypesTest : public testing::Test {};
using SecretTypes = testing::Types<Secret<kSize>, PrivateKey, PresharedKey, SymmetricKey>;
TYPED_TEST_SUITE(SecretTypesTest, SecretTypes);

TYPED_TEST(SecretTypesTest, DestructionLeavesOnlyZeros) {
  Storage<TypeParam> storage;
  const auto bytes = pattern();
  TypeParam* secret = storage.make(bytes);
  ASSERT_TRUE(storage.holds(bytes));
  secret->~TypeParam();
  EXPECT_TRUE(all_zero(storage.bytes));
}

TYPED_TEST(SecretTypesTest, MovingOutLeavesOnlyZeros) {
  Storage<TypeParam> storage;
  const auto bytes = pattern();
  TypeParam* secret = storage.make(bytes);
  TypeParam moved(std::move(*secret));
  EXPECT_TRUE(all_zero(storage.bytes));
  EXPECT_TRUE(std::ranges::equal(moved.view(), bytes));

  TypeParam* again = storage.make(bytes);
  moved.clear();
  moved = std::move(*again);
  EXPECT_TRUE(all_zero(storage.bytes));
  EXPECT_TRUE(std::ranges::equal(moved.view(), bytes));
}

TYPED_TEST(SecretTypesTest, ClearLeavesOnlyZeros) {
  Storage<TypeParam> storage;
  TypeParam* secret = storage.make(pattern());
  secret->clear();
  EXPECT_TRUE(all_zero(storage.bytes));
  secret->~TypeParam();
}

TYPED_TEST(SecretTypesTest, CannotBeCopiedInSilence) {
  EXPECT_FALSE(std::is_copy_constructible_v<TypeParam>);
  EXPECT_FALSE(std::is_copy_assignable_v<TypeParam>);
  const TypeParam secret{pattern()};
  const TypeParam copy = secret.copy();
  EXPECT_TRUE(copy.equals(secret));
}

TEST(SecretTest, MovingOntoItselfKeepsTheValue) {
  Secret<kSize> secret{pattern()};
  Secret<kSize>& alias = secret;
  secret = std::move(alias);
  EXPECT_TRUE(std::ranges::equal(secret.view(), pattern()));
}

TEST(SecretTest, IsZeroUntilAnyBitIsSet) {
  EXPECT_TRUE(Secret<kSize>{}.is_zero());
  for (size_t bit = 0; bit < kSize * 8; ++bit) {
    std::array<uint8_t, kSize> bytes{};
    bytes[bit / 8] = static_cast<uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(Secret<kSize>{bytes}.is_zero()) << "bit " << bit;
  }
}

TEST(SecretTest, EqualityNoticesEveryBitAndTheLength) {
  const auto bytes = pattern();
  EXPECT_TRUE(equal_constant_time(bytes, bytes));
  EXPECT_TRUE(equal_constant_time({}, {}));
  for (size_t bit = 0; bit < kSize * 8; ++bit) {
    auto other = bytes;
    other[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(equal_constant_time(bytes, other)) << "bit " << bit;
  }
  EXPECT_FALSE(equal_constant_time(bytes, ByteView(bytes).first(kSize - 1)));
  EXPECT_FALSE(equal_constant_time(bytes, {}));
}

TEST(SecretTest, KeepIfKeepsOrZeroes) {
  auto bytes = pattern();
  keep_if(true, bytes);
  EXPECT_EQ(bytes, pattern());
  keep_if(false, bytes);
  EXPECT_TRUE(all_zero(bytes));
}

TEST(SecretTest, WipeTouchesNothingBesideItsSpan) {
  auto bytes = pattern();
  wipe(ByteSpan(bytes).subspan(4, 8));
  for (size_t i = 0; i < kSize; ++i) EXPECT_EQ(bytes[i], i >= 4 && i < 12 ? 0 : i + 1) << i;
}

}  // namespace
