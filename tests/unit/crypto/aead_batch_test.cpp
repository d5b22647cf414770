// The batch AEAD: every backend that this CPU can run against libsodium's one-shot calls and against vectors
// of OpenSSL, in every way that the data path uses them.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "crypto/aead_backends.hpp"
#include "crypto/blake2s.hpp"
#include "tests/unit/crypto/test_bytes.hpp"

namespace {

using namespace hats;
using namespace hats::crypto;
using hats::test::Bytes;
using hats::test::counting;
using hats::test::SeededRng;
using hats::test::to_hex;

constexpr size_t kTag = 16;
constexpr size_t kLongest = 2048;  // bytes of plaintext

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](uint8_t b) { return b == 0; });
}

SymmetricKey random_key(SeededRng& rng) {
  SymmetricKey key;
  rng.fill(key.span());
  return key;
}

Bytes one_shot(const SymmetricKey& key, uint64_t counter, ByteView plain) {
  Bytes sealed(plain.size() + kTag);
  aead_seal(sealed, key, counter, plain, {});
  return sealed;
}

SealJob seal_job(uint64_t counter, uint8_t* in, size_t size, uint8_t* out) {
  return {.counter = counter, .in = in, .size = static_cast<uint32_t>(size), .out = out};
}

OpenJob open_job(uint64_t counter, ByteSpan sealed) {
  return {.counter = counter, .data = sealed.data(), .size = static_cast<uint32_t>(sealed.size())};
}

class AeadBatchTest : public testing::Test {
 protected:
  /// Runs `check` once for each backend.
  template <typename Check>
  void for_each_backend(Check check) {
    for (const auto& backend : backends_) {
      SCOPED_TRACE(backend->name());
      SeededRng rng(1);
      check(*backend, rng);
      if (HasFatalFailure()) return;
    }
  }

 private:
  std::vector<std::unique_ptr<Aead>> backends_ = make_all_aeads();
};

struct OpensslVector {
  size_t size;
  uint64_t counter;
  std::string_view tag, digest;
};

// key = bytes(range(32)), plaintext = bytes((7 * i + 3) % 256 for i in range(size)), no associated data,
// through OpenSSL (Python's cryptography, ChaCha20Poly1305); digest = BLAKE2s-256 of ciphertext and tag.
constexpr OpensslVector kOpensslVectors[] = {
    {0, 0, "10324f800a160bd9a1794255be7ec29d",
     "80a8bad31e79c326a485bbc765c6fd1c2fe038d4b2fe69e0cc2e8cf4f2e818d0"},
    {1, 1, "d29f95a784e40cdc870720511d4a01a4",
     "182c44ae52b1e4d716a8cd782069a9483d72bd8aeac2aa03c47dbc1a6ae1e205"},
    {96, 0x0102030405060708, "46eafe7a2a6dcca945170de6d97812e9",
     "7a82bdca6ba0d3f0acb1ea9e8dddddcaf7ed71e505f9750269ce18ce81c0d4bb"},
    {1420, 0xffffffffffffffff, "52da771ca841e1e83f364c015c009e35",
     "45f9961406629a261ee23f0a9090aa1698b1929f7ed8b93dd6210768ce079bdb"},
    {2048, 7, "13ba717302018ca0d4060ac9fe3c1ea1",
     "b32c06315cf2080007cd64b53f7eacdcc4b36efab2e779be90af819d7687336a"}};

TEST_F(AeadBatchTest, AgreesWithOpenssl) {
  const SymmetricKey key(hats::test::array_from_hex<32>(to_hex(counting(32))));
  for_each_backend([&](Aead& aead, SeededRng& /*rng*/) {
    for (const OpensslVector& vector : kOpensslVectors) {
      Bytes buffer(vector.size + kTag);
      for (size_t i = 0; i < vector.size; ++i) buffer[i] = static_cast<uint8_t>(7 * i + 3);
      SealJob job = seal_job(vector.counter, buffer.data(), vector.size, buffer.data());
      aead.seal(key, {&job, 1});
      EXPECT_EQ(to_hex(ByteView(buffer).last(kTag)), vector.tag);
      EXPECT_EQ(to_hex(hash({buffer}).view()), vector.digest);
    }
  });
}

TEST_F(AeadBatchTest, EqualsTheOracleAtEveryLengthInPlaceAndOutOfPlaceAtAnyAlignment) {
  constexpr uint8_t kCanary = 0xc5;
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    for (size_t size = 0; size <= kLongest; ++size) {
      const Bytes plain = rng.bytes(size);
      const uint64_t counter = rng.below(~size_t{0});
      const Bytes expected = one_shot(key, counter, plain);

      const size_t at = 1 + rng.below(64);
      Bytes apart(at + size + kTag + 64, kCanary);
      Bytes in(at);
      in.insert(in.end(), plain.begin(), plain.end());
      SealJob job = seal_job(counter, in.data() + at, size, apart.data() + at);
      aead.seal(key, {&job, 1});
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), apart.begin() + static_cast<long>(at)))
          << size;
      ASSERT_EQ(std::count(apart.begin(), apart.begin() + static_cast<long>(at), kCanary), at);
      ASSERT_EQ(std::count(apart.end() - 64, apart.end(), kCanary), 64) << size;
      ASSERT_TRUE(std::equal(plain.begin(), plain.end(), in.begin() + static_cast<long>(at)));

      Bytes same(at + size + kTag + 64, kCanary);
      std::ranges::copy(plain, same.begin() + static_cast<long>(at));
      job = seal_job(counter, same.data() + at, size, same.data() + at);
      aead.seal(key, {&job, 1});
      ASSERT_EQ(same, apart) << size;

      OpenJob open = open_job(counter, ByteSpan(same).subspan(at, size + kTag));
      aead.open(key, {&open, 1});
      ASSERT_TRUE(open.ok) << size;
      ASSERT_TRUE(std::equal(plain.begin(), plain.end(), same.begin() + static_cast<long>(at))) << size;
      ASSERT_EQ(std::count(same.begin(), same.begin() + static_cast<long>(at), kCanary), at);
      ASSERT_EQ(std::count(same.end() - 64, same.end(), kCanary), 64) << size;
    }
  });
}

/// Two pages between two that no one may touch: the assembler of a backend is not seen by sanitizers.
class FencedPages {
 public:
  FencedPages() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* mapped = mmap(nullptr, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    whole_ = {static_cast<uint8_t*>(mapped), 4 * page};
    usable_ = whole_.subspan(page, 2 * page);
    if (mprotect(usable_.data(), usable_.size(), PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  }
  FencedPages(const FencedPages&) = delete;
  FencedPages& operator=(const FencedPages&) = delete;
  ~FencedPages() { munmap(whole_.data(), whole_.size()); }
  [[nodiscard]] ByteSpan at_start(size_t size) const { return usable_.first(size); }
  [[nodiscard]] ByteSpan at_end(size_t size) const { return usable_.last(size); }

 private:
  ByteSpan whole_;
  ByteSpan usable_;
};

TEST_F(AeadBatchTest, TouchesNothingBesideItsBuffersAndKey) {
  const FencedPages in_pages;
  const FencedPages out_pages;
  const FencedPages key_pages;
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const auto key = new (key_pages.at_end(sizeof(SymmetricKey)).data()) SymmetricKey();
    rng.fill(key->span());
    for (size_t size = 0; size <= kLongest; size += size < 300 ? 1 : 13) {
      const Bytes plain = rng.bytes(size);
      const Bytes expected = one_shot(*key, size, plain);
      for (const bool end : {false, true}) {
        const ByteSpan in = end ? in_pages.at_end(size) : in_pages.at_start(size);
        const ByteSpan out = end ? out_pages.at_end(size + kTag) : out_pages.at_start(size + kTag);
        std::ranges::copy(plain, in.begin());
        SealJob job = seal_job(size, in.data(), size, out.data());
        aead.seal(*key, {&job, 1});
        ASSERT_TRUE(std::ranges::equal(out, expected)) << size;
        OpenJob open = open_job(size, out);
        aead.open(*key, {&open, 1});
        ASSERT_TRUE(open.ok) << size;
      }
    }
    key->~SymmetricKey();
  });
}

TEST_F(AeadBatchTest, RandomBatchesOfAnySizeEqualTheOracleAndOpen) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    for (int round = 0; round < 60; ++round) {
      const SymmetricKey key = random_key(rng);
      const size_t count = round == 0 ? 1000 : 1 + rng.below(64);  // more than any ring of a library, once
      std::vector<Bytes> plain(count);
      std::vector<Bytes> sealed(count);
      std::vector<SealJob> jobs(count);
      const bool in_place = rng.below(2) == 0;
      for (size_t i = 0; i < count; ++i) {
        plain[i] = rng.bytes(rng.below(1500));
        sealed[i] = plain[i];
        sealed[i].resize(plain[i].size() + kTag);
        jobs[i] = seal_job(static_cast<uint64_t>(round) * 1000 + i,
                           in_place ? sealed[i].data() : plain[i].data(), plain[i].size(), sealed[i].data());
      }
      aead.seal(key, jobs);
      std::vector<OpenJob> opens(count);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(sealed[i], one_shot(key, jobs[i].counter, plain[i]));
        opens[i] = open_job(jobs[i].counter, sealed[i]);
      }
      aead.open(key, opens);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_TRUE(opens[i].ok);
        ASSERT_TRUE(std::equal(plain[i].begin(), plain[i].end(), sealed[i].begin()));
      }
    }
  });
}

// One large TCP read is cut without copying: the header of segment n is written over the tail of segment n-1,
// which must have been sealed by then, and with the bytes that were there before.
TEST_F(AeadBatchTest, HeadsAreWrittenOverTheTailOfTheSegmentBeforeJustInTime) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    for (int round = 0; round < 100; ++round) {
      const SymmetricKey key = random_key(rng);
      const size_t head_size = 40 + rng.below(41);
      const size_t payload = head_size + rng.below(1400);
      const size_t count = 2 + rng.below(46);
      Bytes read = rng.bytes(head_size + payload * count);
      const Bytes original = read;
      std::vector<Bytes> heads(count);
      std::vector<Bytes> sealed(count, Bytes(head_size + payload + kTag));
      std::vector<SealJob> jobs(count);
      for (size_t i = 0; i < count; ++i) {
        heads[i] = rng.bytes(head_size);
        jobs[i] = seal_job(i, read.data() + i * payload, head_size + payload, sealed[i].data());
        jobs[i].head = heads[i].data();
        jobs[i].head_size = static_cast<uint16_t>(head_size);
      }
      aead.seal(key, jobs);
      for (size_t i = 0; i < count; ++i) {
        Bytes segment = heads[i];
        const auto from = original.begin() + static_cast<long>(head_size + i * payload);
        segment.insert(segment.end(), from, from + static_cast<long>(payload));
        ASSERT_EQ(sealed[i], one_shot(key, i, segment)) << "segment " << i << " of " << count;
      }
    }
  });
}

TEST_F(AeadBatchTest, AHeadWorksInPlaceAndMayBeTheWholePacket) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    for (const size_t size : {20U, 33U, 80U, 512U}) {
      Bytes buffer = rng.bytes(size + kTag);
      const Bytes head = rng.bytes(size == 512 ? 80 : size);
      Bytes plain(buffer.begin(), buffer.begin() + static_cast<long>(size));
      std::ranges::copy(head, plain.begin());
      SealJob job = seal_job(3, buffer.data(), size, buffer.data());
      job.head = head.data();
      job.head_size = static_cast<uint16_t>(head.size());
      aead.seal(key, {&job, 1});
      ASSERT_EQ(buffer, one_shot(key, 3, plain));
    }
  });
}

TEST_F(AeadBatchTest, KeepalivesOfNoBytesSealAndOpenBesideOthers) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    std::array<Bytes, 3> sealed{Bytes(kTag), rng.bytes(100 + kTag), Bytes(kTag)};
    const Bytes middle(sealed[1].begin(), sealed[1].begin() + 100);
    std::array<SealJob, 3> jobs{seal_job(1, nullptr, 0, sealed[0].data()),
                                seal_job(2, sealed[1].data(), 100, sealed[1].data()),
                                seal_job(3, sealed[2].data(), 0, sealed[2].data())};
    aead.seal(key, jobs);
    ASSERT_EQ(sealed[0], one_shot(key, 1, {}));
    ASSERT_EQ(sealed[1], one_shot(key, 2, middle));
    ASSERT_EQ(sealed[2], one_shot(key, 3, {}));
    std::array<OpenJob, 3> opens{open_job(1, sealed[0]), open_job(2, sealed[1]), open_job(3, sealed[2])};
    aead.open(key, opens);
    for (const OpenJob& open : opens) ASSERT_TRUE(open.ok);

    sealed[0].back() ^= 1;
    opens[0].ok = true;
    aead.open(key, std::span(opens).first(1));
    EXPECT_FALSE(opens[0].ok);
  });
}

TEST_F(AeadBatchTest, AnEmptyBatchDoesNothing) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    aead.seal(key, {});
    aead.open(key, {});
  });
}

TEST_F(AeadBatchTest, AnyWrongBitYieldsNothingAndLeavesTheOthersAlone) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    for (const size_t size : {0U, 1U, 48U, 96U, 333U}) {
      const std::array<Bytes, 3> plain{rng.bytes(size), rng.bytes(size), rng.bytes(size)};
      const size_t bits = (size + kTag) * 8;
      for (size_t bit = 0; bit < bits; bit += size > 48 ? 7 : 1) {
        std::array<Bytes, 3> sealed;
        std::array<OpenJob, 3> jobs;
        for (size_t i = 0; i < 3; ++i) sealed[i] = one_shot(key, i, plain[i]);
        sealed[1][bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
        for (size_t i = 0; i < 3; ++i) jobs[i] = open_job(i, sealed[i]);
        jobs[1].ok = true;  // a verdict left over from before must not survive
        aead.open(key, jobs);
        ASSERT_FALSE(jobs[1].ok) << "size " << size << " bit " << bit;
        ASSERT_TRUE(all_zero(sealed[1])) << "size " << size << " bit " << bit;
        for (const size_t i : {0U, 2U}) {
          ASSERT_TRUE(jobs[i].ok);
          ASSERT_TRUE(std::equal(plain[i].begin(), plain[i].end(), sealed[i].begin()));
        }
      }
    }
  });
}

TEST_F(AeadBatchTest, AnotherCounterKeyOrLengthIsRefused) {
  for_each_backend([&](Aead& aead, SeededRng& rng) {
    const SymmetricKey key = random_key(rng);
    const SymmetricKey other = random_key(rng);
    for (const size_t size : {0U, 16U, 96U, 1420U}) {
      const Bytes sealed = one_shot(key, 1, rng.bytes(size));
      for (const uint64_t counter : {0ULL, 2ULL, 1ULL | 1ULL << 32, 1ULL | 1ULL << 63}) {
        Bytes data = sealed;
        OpenJob job = open_job(counter, data);
        aead.open(key, {&job, 1});
        EXPECT_FALSE(job.ok) << counter;
        EXPECT_TRUE(all_zero(data));
      }
      Bytes data = sealed;
      OpenJob job = open_job(1, data);
      aead.open(other, {&job, 1});
      EXPECT_FALSE(job.ok);
      for (size_t shorter = kTag; shorter < sealed.size(); shorter += 15) {
        data.assign(sealed.begin(), sealed.begin() + static_cast<long>(shorter));
        job = open_job(1, data);
        aead.open(key, {&job, 1});
        EXPECT_FALSE(job.ok) << shorter;
      }
    }
  });
}

TEST(MakeAeadTest, SodiumIsEverywhere) {
  const auto aead = make_aead(AeadChoice::sodium);
  ASSERT_NE(aead, nullptr);
  EXPECT_EQ(aead->name(), "sodium");
}

TEST(MakeAeadTest, AutomaticTakesTheWidestVectorsAndElseSodium) {
  const auto aead = make_aead(AeadChoice::automatic);
  ASSERT_NE(aead, nullptr);
  const auto wide = make_ipsec_mb_aead(VectorLevel::avx512);
  const auto narrow = make_ipsec_mb_aead(VectorLevel::avx2);
  const std::string_view expected = wide ? "ipsec-mb (avx512)" : narrow ? "ipsec-mb (avx2)" : "sodium";
  EXPECT_EQ(aead->name(), expected);
}

TEST(MakeAeadTest, IpsecMbIsMadeOrRefusedButNeverReplaced) {
  const auto aead = make_aead(AeadChoice::ipsec_mb);
  if (aead == nullptr) GTEST_SKIP() << "SKIPPED: this build or CPU has no libipsec-mb";
  EXPECT_TRUE(aead->name().starts_with("ipsec-mb")) << aead->name();
}

}  // namespace
