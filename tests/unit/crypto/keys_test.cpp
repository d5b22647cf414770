#include "crypto/keys.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats::crypto;
using hats::test::SeededRng;
using hats::test::to_hex;

using KeyBytes = std::array<uint8_t, 32>;

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The base64 of RFC 4648 4, written as plainly as can be.
std::string naive_base64(const KeyBytes& key) {
  std::string bits;
  for (const uint8_t byte : key) {
    for (int bit = 7; bit >= 0; --bit) bits += (byte >> bit & 1) != 0 ? '1' : '0';
  }
  bits += "00";
  std::string text;
  for (size_t i = 0; i < bits.size(); i += 6) text += kAlphabet[std::stoul(bits.substr(i, 6), nullptr, 2)];
  return text + "=";
}

bool refused_base64(std::string_view text) {
  KeyBytes out;
  out.fill(0xaa);
  return !key_from_base64(text, out) && out == KeyBytes{};
}

bool refused_hex(std::string_view text) {
  KeyBytes out;
  out.fill(0xaa);
  return !key_from_hex(text, out) && out == KeyBytes{};
}

std::string random_base64(SeededRng& rng) {
  KeyBytes key;
  rng.fill(key);
  return naive_base64(key);
}

TEST(KeysTest, BothTextFormsRoundTrip) {
  SeededRng rng(1);
  for (int round = 0; round < 2000; ++round) {
    KeyBytes key;
    rng.fill(key);
    const std::string base64 = key_to_base64(key);
    const std::string hex = key_to_hex(key);
    ASSERT_EQ(base64, naive_base64(key));
    ASSERT_EQ(hex, to_hex(key));
    KeyBytes back{};
    ASSERT_TRUE(key_from_base64(base64, back));
    ASSERT_EQ(back, key);
    back = {};
    ASSERT_TRUE(key_from_hex(hex, back));
    ASSERT_EQ(back, key);
  }
}

TEST(KeysTest, EveryByteValueRoundTripsAtEveryPlace) {
  for (unsigned value = 0; value < 256; ++value) {
    for (size_t place = 0; place < 32; ++place) {
      KeyBytes key{};
      key[place] = static_cast<uint8_t>(value);
      KeyBytes back;
      ASSERT_TRUE(key_from_base64(key_to_base64(key), back));
      ASSERT_EQ(back, key);
      ASSERT_TRUE(key_from_hex(key_to_hex(key), back));
      ASSERT_EQ(back, key);
    }
  }
}

TEST(KeysTest, HexOfEitherCaseIsTaken) {
  KeyBytes key;
  SeededRng(2).fill(key);
  std::string text = to_hex(key);
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  KeyBytes back;
  ASSERT_TRUE(key_from_hex(text, back));
  EXPECT_EQ(back, key);
}

TEST(KeysTest, Base64OfAnotherLengthIsRefused) {
  SeededRng rng(3);
  const std::string text = random_base64(rng);
  for (size_t size = 0; size < text.size(); ++size) EXPECT_TRUE(refused_base64(text.substr(0, size))) << size;
  for (const char* tail : {"=", "A", "\n", " ", "=="}) EXPECT_TRUE(refused_base64(text + tail));
  EXPECT_TRUE(refused_base64(" " + text));
  EXPECT_TRUE(refused_base64(std::string(44, '=')));
}

TEST(KeysTest, Base64WithAStrangeCharacterAnywhereIsRefused) {
  SeededRng rng(4);
  const std::string text = random_base64(rng);
  for (size_t place = 0; place < 43; ++place) {
    for (unsigned value = 0; value < 256; ++value) {
      const char c = static_cast<char>(value);
      if (kAlphabet.find(c) != std::string_view::npos) continue;
      std::string bad = text;
      bad[place] = c;
      ASSERT_TRUE(refused_base64(bad)) << "place " << place << " value " << value;
    }
  }
}

TEST(KeysTest, Base64WithoutItsEqualsSignIsRefused) {
  SeededRng rng(5);
  std::string text = random_base64(rng);
  for (unsigned value = 0; value < 256; ++value) {
    text[43] = static_cast<char>(value);
    EXPECT_EQ(refused_base64(text), value != '=') << value;
  }
}

TEST(KeysTest, Base64WithUnusedBitsSetIsRefused) {
  SeededRng rng(6);
  std::string text = random_base64(rng);
  for (size_t digit = 0; digit < kAlphabet.size(); ++digit) {
    text[42] = kAlphabet[digit];
    EXPECT_EQ(refused_base64(text), digit % 4 != 0) << kAlphabet[digit];
  }
}

TEST(KeysTest, HexWithAStrangeCharacterOrLengthIsRefused) {
  SeededRng rng(7);
  KeyBytes key;
  rng.fill(key);
  const std::string text = to_hex(key);
  for (size_t size = 0; size < text.size(); ++size) EXPECT_TRUE(refused_hex(text.substr(0, size)));
  EXPECT_TRUE(refused_hex(text + "0"));
  EXPECT_TRUE(refused_hex(text + "00"));
  for (size_t place = 0; place < text.size(); ++place) {
    for (unsigned value = 0; value < 256; ++value) {
      std::string bad = text;
      bad[place] = static_cast<char>(value);
      const bool digit = std::isxdigit(static_cast<int>(value)) != 0;
      ASSERT_EQ(refused_hex(bad), !digit) << "place " << place << " value " << value;
    }
  }
}

TEST(KeysTest, PublicKeysCompareByValue) {
  PublicKey a;
  PublicKey b;
  EXPECT_EQ(a, b);
  EXPECT_EQ(PublicKeyHash{}(a), PublicKeyHash{}(b));
  b.bytes[31] = 1;
  EXPECT_NE(a, b);
  EXPECT_LT(a, b);
}

/// What wg(8) says: does `wg pubkey` take this text for a key?
bool wg_takes(const std::string& text) {
  std::FILE* pipe =
      popen("wg pubkey >/dev/null 2>&1", "w");  // NOLINT(bugprone-command-processor): fixed text
  if (pipe == nullptr) return false;
  std::fwrite(text.data(), 1, text.size(), pipe);
  return pclose(pipe) == 0;
}

TEST(KeysTest, Base64IsTakenExactlyWhereWgTakesIt) {
  if (std::system("command -v wg >/dev/null 2>&1") != 0) {  // NOLINT(bugprone-command-processor): fixed text
    GTEST_SKIP() << "SKIPPED: wg(8) is not installed";
  }
  SeededRng rng(8);
  const std::string text = random_base64(rng);
  std::vector<std::string> candidates{text,       "",         text.substr(0, 43),
                                      text + "A", text + "=", std::string(44, 'A')};
  for (unsigned value = 1; value < 256; ++value) {
    for (const size_t place : {0U, 21U, 42U, 43U}) {
      candidates.push_back(text);
      candidates.back()[place] = static_cast<char>(value);
    }
  }
  for (const std::string& candidate : candidates) {
    ASSERT_EQ(!refused_base64(candidate), wg_takes(candidate)) << candidate;
  }
}

}  // namespace
