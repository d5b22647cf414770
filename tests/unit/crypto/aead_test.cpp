// The one-shot AEADs: RFC 8439, the XChaCha draft, and what a wrong tag does.
#include "crypto/aead.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats;
using namespace hats::crypto;
using hats::test::array_from_hex;
using hats::test::Bytes;
using hats::test::from_hex;
using hats::test::from_text;
using hats::test::SeededRng;
using hats::test::to_hex;

constexpr size_t kTag = 16;

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](uint8_t b) { return b == 0; });
}

// RFC 8439 A.5: its nonce begins with four zero bytes, as all of WireGuard's do; the rest is our counter. The
// vector of section 2.8.2 has another beginning, which this interface cannot express.
constexpr std::string_view kRfcKey = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
constexpr uint64_t kRfcCounter = 0x0807060504030201;
constexpr std::string_view kRfcAd = "f33388860000000000004e91";
constexpr std::string_view kRfcPlain =
    "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
    "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
    "material or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
constexpr std::string_view kRfcSealed =
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c"
    "321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61"
    "c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0"
    "a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434e"
    "cebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4"
    "022b02709b"
    "eead9d67890cbb22392336fea1851f38";

TEST(AeadTest, Rfc8439AppendixA5Holds) {
  const SymmetricKey key(array_from_hex<32>(kRfcKey));
  const Bytes plain = from_text(kRfcPlain);
  const Bytes sealed = from_hex(kRfcSealed);
  Bytes out(plain.size() + kTag);
  aead_seal(out, key, kRfcCounter, plain, from_hex(kRfcAd));
  EXPECT_EQ(to_hex(out), kRfcSealed);
  Bytes opened(plain.size());
  ASSERT_TRUE(aead_open(opened, key, kRfcCounter, sealed, from_hex(kRfcAd)));
  EXPECT_EQ(opened, plain);
}

// draft-irtf-cfrg-xchacha-03 A.3.1
TEST(XAeadTest, TheDraftsVectorHolds) {
  const SymmetricKey key(
      array_from_hex<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
  const auto nonce = array_from_hex<24>("404142434445464748494a4b4c4d4e4f5051525354555657");
  const Bytes ad = from_hex("50515253c0c1c2c3c4c5c6c7");
  const Bytes plain = from_text(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would be it.");
  const std::string_view sealed =
      "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6"
      "70"
      "8c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637d"
      "a9"
      "768812f615c68b13b52e"
      "c0875924c1c7987947deafd8780acf49";
  Bytes out(plain.size() + kTag);
  xaead_seal(out, key, nonce, plain, ad);
  EXPECT_EQ(to_hex(out), sealed);
  Bytes opened(plain.size());
  ASSERT_TRUE(xaead_open(opened, key, nonce, out, ad));
  EXPECT_EQ(opened, plain);
}

/// The two one-shot AEADs under one face.
struct OneShot {
  std::string_view name;
  void (*seal)(ByteSpan, const SymmetricKey&, uint64_t, ByteView, ByteView);
  bool (*open)(ByteSpan, const SymmetricKey&, uint64_t, ByteView, ByteView);
};

std::array<uint8_t, 24> long_nonce(uint64_t counter) {
  std::array<uint8_t, 24> nonce{};
  store_le64(nonce.data() + 16, counter);
  return nonce;
}

const OneShot kOneShots[] = {{"ChaCha20-Poly1305",
                              [](ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView in,
                                 ByteView ad) { aead_seal(out, key, counter, in, ad); },
                              [](ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView in,
                                 ByteView ad) { return aead_open(out, key, counter, in, ad); }},
                             {"XChaCha20-Poly1305",
                              [](ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView in,
                                 ByteView ad) { xaead_seal(out, key, long_nonce(counter), in, ad); },
                              [](ByteSpan out, const SymmetricKey& key, uint64_t counter, ByteView in,
                                 ByteView ad) { return xaead_open(out, key, long_nonce(counter), in, ad); }}};

class OneShotTest : public testing::TestWithParam<OneShot> {};
INSTANTIATE_TEST_SUITE_P(Aead, OneShotTest, testing::ValuesIn(kOneShots),
                         [](const auto& each) { return each.index == 0 ? "ChaCha" : "XChaCha"; });

TEST_P(OneShotTest, InPlaceEqualsOutOfPlaceAndOpens) {
  SeededRng rng(1);
  const SymmetricKey key(array_from_hex<32>(kRfcKey));
  for (size_t size = 0; size <= 300; ++size) {
    const Bytes plain = rng.bytes(size);
    const Bytes ad = rng.bytes(rng.below(70));
    Bytes sealed(size + kTag);
    GetParam().seal(sealed, key, size, plain, ad);
    Bytes in_place = plain;
    in_place.resize(size + kTag);
    GetParam().seal(in_place, key, size, ByteView(in_place).first(size), ad);
    ASSERT_EQ(in_place, sealed);
    ASSERT_TRUE(GetParam().open(ByteSpan(in_place).first(size), key, size, in_place, ad));
    in_place.resize(size);
    ASSERT_EQ(in_place, plain);
  }
}

TEST_P(OneShotTest, AnyChangedBitIsRefusedAndTheOutputIsWiped) {
  SeededRng rng(2);
  const SymmetricKey key(array_from_hex<32>(kRfcKey));
  for (const size_t size : {0U, 1U, 28U, 32U}) {
    const Bytes ad = rng.bytes(32);
    Bytes sealed(size + kTag);
    GetParam().seal(sealed, key, 5, rng.bytes(size), ad);
    Bytes out(size, 0xaa);
    for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Bytes bad = sealed;
      bad[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
      std::ranges::fill(out, 0xaa);
      ASSERT_FALSE(GetParam().open(out, key, 5, bad, ad)) << "bit " << bit;
      ASSERT_TRUE(all_zero(out));
    }
    for (size_t bit = 0; bit < ad.size() * 8; ++bit) {
      Bytes bad = ad;
      bad[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
      ASSERT_FALSE(GetParam().open(out, key, 5, sealed, bad)) << "ad bit " << bit;
    }
    std::ranges::fill(out, 0xaa);
    EXPECT_FALSE(GetParam().open(out, key, 6, sealed, ad));
    EXPECT_TRUE(all_zero(out));
    EXPECT_FALSE(GetParam().open(out, SymmetricKey(), 5, sealed, ad));
  }
}

TEST(AeadChoiceTest, HasThreeWordsAndRefusesOthers) {
  EXPECT_EQ(aead_choice_from("auto"), AeadChoice::automatic);
  EXPECT_EQ(aead_choice_from("sodium"), AeadChoice::sodium);
  EXPECT_EQ(aead_choice_from("ipsec-mb"), AeadChoice::ipsec_mb);
  for (const std::string_view word : {"", "Auto", "auto ", "ipsec_mb", "openssl", "automatic"}) {
    EXPECT_EQ(aead_choice_from(word), std::nullopt) << word;
  }
}

}  // namespace
