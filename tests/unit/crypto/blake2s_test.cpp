// BLAKE2s against the RFC's vectors and against a second implementation, written from the RFC's text, that
// first has to pass the RFC's own self-test. HMAC and HKDF against Python's hashlib and hmac.
#include "crypto/blake2s.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats;
using hats::test::Bytes;
using hats::test::counting;
using hats::test::from_text;
using hats::test::SeededRng;
using hats::test::to_hex;

// RFC 7693 2.6: initialisation vector; 2.7: message schedule.
constexpr std::array<uint32_t, 8> kIv = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr uint8_t kSigma[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

// RFC 7693 3.1 and 3.2
void compress(std::array<uint32_t, 8>& h, const uint8_t* block, uint64_t count, bool last) {
  std::array<uint32_t, 16> m;
  for (size_t i = 0; i < 16; ++i) m[i] = load_le32(block + 4 * i);
  std::array<uint32_t, 16> v;
  std::copy(h.begin(), h.end(), v.begin());
  std::copy(kIv.begin(), kIv.end(), v.begin() + 8);
  v[12] ^= static_cast<uint32_t>(count);
  v[13] ^= static_cast<uint32_t>(count >> 32);
  if (last) v[14] = ~v[14];
  const auto mix = [&](size_t a, size_t b, size_t c, size_t d, uint32_t x, uint32_t y) {
    v[a] += v[b] + x;
    v[d] = std::rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = std::rotr(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = std::rotr(v[b] ^ v[c], 7);
  };
  for (const auto& s : kSigma) {
    for (size_t i = 0; i < 4; ++i) mix(i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
    for (size_t i = 0; i < 4; ++i) {
      mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
  }
  for (size_t i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[i + 8];
}

// RFC 7693 3.3
Bytes oracle(size_t digest_size, ByteView key, ByteView input) {
  Bytes data;
  if (!key.empty()) {
    data.assign(key.begin(), key.end());
    data.resize(64);
  }
  data.insert(data.end(), input.begin(), input.end());
  const size_t size = data.size();
  data.resize(std::max<size_t>(1, (size + 63) / 64) * 64);

  std::array<uint32_t, 8> h = kIv;
  h[0] ^= 0x01010000U ^ static_cast<uint32_t>(key.size() << 8 | digest_size);
  for (size_t at = 0; at < data.size(); at += 64) {
    const bool last = at + 64 == data.size();
    compress(h, data.data() + at, last ? size : at + 64, last);
  }
  Bytes digest(32);
  for (size_t i = 0; i < 8; ++i) store_le32(digest.data() + 4 * i, h[i]);
  digest.resize(digest_size);
  return digest;
}

TEST(Blake2sTest, TheOracleOfThisFilePassesTheSelfTestOfRfc7693AppendixE) {
  const auto sequence = [](size_t size, uint32_t seed) {
    uint32_t a = 0xdead4bad * seed;
    uint32_t b = 1;
    Bytes out;
    for (size_t i = 0; i < size; ++i) {
      const uint32_t t = a + b;
      a = b;
      b = t;
      out.push_back(static_cast<uint8_t>(t >> 24));
    }
    return out;
  };
  Bytes all;
  for (const size_t digest_size : {16U, 20U, 28U, 32U}) {
    for (const size_t size : {0U, 3U, 64U, 65U, 255U, 1024U}) {
      const Bytes input = sequence(size, static_cast<uint32_t>(size));
      const Bytes key = sequence(digest_size, static_cast<uint32_t>(digest_size));
      for (const Bytes& digest : {oracle(digest_size, {}, input), oracle(digest_size, key, input)}) {
        all.insert(all.end(), digest.begin(), digest.end());
      }
    }
  }
  EXPECT_EQ(to_hex(oracle(32, {}, all)), "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

TEST(Blake2sTest, Rfc7693AppendixBHolds) {
  EXPECT_EQ(to_hex(crypto::hash({from_text("abc")}).view()),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

TEST(Blake2sTest, TheNameOfTheProtocolHashesToItsKnownChainingKey) {  // WG 5.4.2: Ci = Hash(Construction)
  EXPECT_EQ(to_hex(crypto::hash({from_text("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")}).view()),
            "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
}

TEST(Blake2sTest, HashEqualsTheOracleAtEveryLengthAndSplit) {
  SeededRng rng(1);
  for (size_t size = 0; size <= 400; ++size) {
    const Bytes input = rng.bytes(size);
    const Bytes expected = oracle(32, {}, input);
    ASSERT_EQ(to_hex(crypto::hash({input}).view()), to_hex(expected)) << size;
    const ByteView view(input);
    const size_t first = rng.below(size + 1);
    const size_t second = rng.below(size - first + 1);
    const auto parts =
        crypto::hash({view.first(first), view.subspan(first, second), {}, view.subspan(first + second)});
    ASSERT_EQ(to_hex(parts.view()), to_hex(expected)) << size;
  }
  EXPECT_EQ(to_hex(crypto::hash({}).view()), to_hex(oracle(32, {}, {})));
}

TEST(Blake2sTest, MacEqualsTheOracleForEveryKeyLength) {
  SeededRng rng(2);
  for (size_t key_size = 1; key_size <= 32; ++key_size) {
    for (const size_t size : {0U, 1U, 32U, 63U, 64U, 65U, 116U, 128U, 129U, 148U}) {
      const Bytes key = rng.bytes(key_size);
      const Bytes input = rng.bytes(size);
      const ByteView view(input);
      const size_t split = rng.below(size + 1);
      ASSERT_EQ(to_hex(crypto::mac(key, {view.first(split), view.subspan(split)})),
                to_hex(oracle(16, key, input)));
    }
  }
}

// hashlib.blake2s(b"WireGuard tunnels", key=bytes(range(n)), digest_size=16)
TEST(Blake2sTest, MacAgreesWithPython) {
  const Bytes input = from_text("WireGuard tunnels");
  EXPECT_EQ(to_hex(crypto::mac(counting(32), {input})), "58a86a3be0f474a831245f0fd42f1ef7");
  EXPECT_EQ(to_hex(crypto::mac(counting(16), {input})), "18f0ab27e7960bc5fa5b2944338a91ee");
}

// hmac.new(bytes(range(n)), b"WireGuard tunnels", lambda d=b"": hashlib.blake2s(d)); the first with both
// empty.
TEST(HmacTest, AgreesWithPythonForKeysBelowAtAndAboveTheBlock) {
  const Bytes input = from_text("WireGuard tunnels");
  EXPECT_EQ(to_hex(crypto::hmac({}, {}).view()),
            "eaf4bb25938f4d20e72656bbbc7a9bf63c0c18537333c35bdb67db1402661acd");
  EXPECT_EQ(to_hex(crypto::hmac(counting(32), {input}).view()),
            "ff4abf37e42ca6eaa9330e8974243c378e39f8c94b32c261446984c63c482bd0");
  EXPECT_EQ(to_hex(crypto::hmac(counting(64), {input}).view()),
            "6d421810429591ad1623d7f0583edbaa35674b09f5ee190233abab61f9649981");
  EXPECT_EQ(to_hex(crypto::hmac(counting(100), {input}).view()),
            "5d67ee06f5f484a050427ef21c54f4d4772527a72f4bebc375274772ea6cba7b");
}

// RFC 2104 2, over the oracle
TEST(HmacTest, EqualsTheDefinitionForRandomInput) {
  SeededRng rng(3);
  for (int round = 0; round < 500; ++round) {
    const Bytes key = rng.bytes(rng.below(130));
    const Bytes input = rng.bytes(rng.below(300));
    Bytes padded = key.size() > 64 ? oracle(32, {}, key) : key;
    padded.resize(64);
    Bytes inner;
    Bytes outer;
    for (const uint8_t byte : padded) inner.push_back(byte ^ 0x36);
    for (const uint8_t byte : padded) outer.push_back(byte ^ 0x5c);
    inner.insert(inner.end(), input.begin(), input.end());
    const Bytes digest = oracle(32, {}, inner);
    outer.insert(outer.end(), digest.begin(), digest.end());
    const ByteView view(input);
    const size_t split = rng.below(input.size() + 1);
    ASSERT_EQ(to_hex(crypto::hmac(key, {view.first(split), view.subspan(split)}).view()),
              to_hex(oracle(32, {}, outer)));
  }
}

struct KdfVector {
  std::string_view input;
  std::string_view t1, t2, t3;
};

// t0 = HMAC(bytes(range(32)), input); t1 = HMAC(t0, b"\1"); t2 = HMAC(t0, t1 + b"\2"); t3 = HMAC(t0, t2 +
// b"\3"), with HMAC as above, in Python. The empty input is how session keys are made (WG 5.4.5).
constexpr KdfVector kKdfVectors[] = {
    {"WireGuard tunnels", "84899a18cceb5ae8dfffbe141fbb9589110be5b7ab84b66a3e95772b6a192863",
     "3d28a7052cfffdd6de1f4a53f0ebeb7bee26f25e02de099a627cf4131836a27b",
     "bf1a7a9e2936ffb79c28341bfffa7350fa5e29e8317efce42617dacf28d33f0a"},
    {"", "7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624",
     "1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd",
     "4eaf02809ac4b930ef63479de62275f1c55656e61f78a3cc653c18a2223d6c5f"}};

TEST(KdfTest, AgreesWithPythonForOneTwoAndThreeOutputs) {
  const Bytes key = counting(32);
  for (const KdfVector& vector : kKdfVectors) {
    const Bytes input = from_text(vector.input);
    crypto::Hash t1;
    crypto::Hash t2;
    crypto::Hash t3;
    crypto::kdf1(t1, key, input);
    EXPECT_EQ(to_hex(t1.view()), vector.t1);
    crypto::kdf2(t1, t2, key, input);
    EXPECT_EQ(to_hex(t1.view()), vector.t1);
    EXPECT_EQ(to_hex(t2.view()), vector.t2);
    crypto::kdf3(t1, t2, t3, key, input);
    EXPECT_EQ(to_hex(t1.view()), vector.t1);
    EXPECT_EQ(to_hex(t2.view()), vector.t2);
    EXPECT_EQ(to_hex(t3.view()), vector.t3);
  }
}

TEST(KdfTest, OutputsMayReplaceTheKey) {
  const Bytes input = from_text(kKdfVectors[0].input);
  const auto key = hats::test::array_from_hex<32>(to_hex(counting(32)));
  crypto::Hash chain(key);
  crypto::kdf1(chain, chain.view(), input);
  EXPECT_EQ(to_hex(chain.view()), kKdfVectors[0].t1);

  crypto::Hash first(key);
  crypto::Hash second;
  crypto::kdf2(first, second, first.view(), input);
  EXPECT_EQ(to_hex(first.view()), kKdfVectors[0].t1);
  EXPECT_EQ(to_hex(second.view()), kKdfVectors[0].t2);

  crypto::Hash third(key);
  crypto::kdf3(first, second, third, third.view(), input);
  EXPECT_EQ(to_hex(third.view()), kKdfVectors[0].t3);
}

}  // namespace
