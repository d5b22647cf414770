// The table of receiver indices against std::unordered_map (WG 5.4).
#include "core/wg/index_table.hpp"

#include <gtest/gtest.h>

#include <unordered_map>

#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

/// Hands out given indices first, then random ones.
class ScriptedRng final : public crypto::Rng {
 public:
  explicit ScriptedRng(std::vector<uint32_t> script) : script_(std::move(script)) {}
  void fill(ByteSpan out) noexcept override {
    if (next_ == script_.size() || out.size() != 4) return rest_.fill(out);
    store_le32(out.data(), script_[next_++]);
  }

 private:
  std::vector<uint32_t> script_;
  size_t next_ = 0;
  test::SeededRng rest_{1};
};

TEST(IndexTableTest, EmptyTableKnowsNothing) {
  test::SeededRng rng(1);
  IndexTable table(rng);
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_FALSE(table.erase(0));
  EXPECT_FALSE(table.set_use(7, IndexUse::keypair));
}

TEST(IndexTableTest, ATakenIndexIsNotGivenTwice) {
  ScriptedRng rng({5, 5, 5, 6});
  IndexTable table(rng);
  EXPECT_EQ(table.insert(1, IndexUse::handshake), 5U);
  EXPECT_EQ(table.insert(2, IndexUse::handshake), 6U);
  EXPECT_EQ(table.find(5)->peer, 1U);
  EXPECT_EQ(table.find(6)->peer, 2U);
}

TEST(IndexTableTest, IndexZeroAndTheGreatestAreAsGoodAsAny) {
  ScriptedRng rng({0, 0xffff'ffff});
  IndexTable table(rng);
  ASSERT_EQ(table.insert(1, IndexUse::handshake), 0U);
  ASSERT_EQ(table.insert(2, IndexUse::keypair), 0xffff'ffffU);
  EXPECT_EQ(table.find(0)->peer, 1U);
  EXPECT_EQ(table.find(0xffff'ffff)->use, IndexUse::keypair);
  EXPECT_TRUE(table.erase(0));
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_NE(table.find(0xffff'ffff), nullptr);
}

TEST(IndexTableTest, AHandshakeBecomesAKeypair) {
  test::SeededRng rng(1);
  IndexTable table(rng);
  const uint32_t index = table.insert(3, IndexUse::handshake);
  EXPECT_TRUE(table.set_use(index, IndexUse::keypair));
  EXPECT_EQ(table.find(index)->use, IndexUse::keypair);
  EXPECT_EQ(table.find(index)->peer, 3U);
}

// All of one home slot, across the end of the table: what erasing shifts must stay findable.
TEST(IndexTableTest, ErasingFromARunKeepsTheRestOfIt) {
  std::vector<uint32_t> run;
  for (uint32_t i = 0; i < 12; ++i) run.push_back(i * 1024 + 1023 - i % 3);
  for (size_t first = 0; first < run.size(); ++first) {
    ScriptedRng rng(run);
    IndexTable table(rng);
    for (size_t i = 0; i < run.size(); ++i)
      ASSERT_EQ(table.insert(static_cast<PeerId>(i), IndexUse::keypair), run[i]);
    for (size_t gone = 0; gone < run.size(); ++gone) {
      ASSERT_TRUE(table.erase(run[(first + gone * 5) % run.size()]));
      for (size_t i = gone + 1; i < run.size(); ++i) {
        const size_t at = (first + i * 5) % run.size();
        ASSERT_NE(table.find(run[at]), nullptr);
        ASSERT_EQ(table.find(run[at])->peer, at);
      }
    }
    EXPECT_EQ(table.size(), 0U);
  }
}

TEST(IndexTableTest, RandomChangesAgreeWithAMap) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  IndexTable table(rng);
  std::unordered_map<uint32_t, IndexTable::Entry> map;
  std::vector<uint32_t> known;
  for (int step = 0; step < 200'000; ++step) {
    const bool growing = step / 20'000 % 2 == 0;
    const uint32_t some = known.empty() || rng.one_in(8) ? static_cast<uint32_t>(rng.below(UINT32_MAX))
                                                         : known[rng.below(known.size())];
    if (rng.below(10) < (growing ? 6U : 3U)) {
      const auto peer = static_cast<PeerId>(rng.below(1000));
      const uint32_t index = table.insert(peer, IndexUse::handshake);
      ASSERT_FALSE(map.contains(index));
      map[index] = {index, peer, IndexUse::handshake};
      known.push_back(index);
    } else if (rng.one_in(3)) {
      ASSERT_EQ(table.set_use(some, IndexUse::keypair), map.contains(some));
      if (map.contains(some)) map[some].use = IndexUse::keypair;
    } else {
      ASSERT_EQ(table.erase(some), map.erase(some) != 0);
    }
    const IndexTable::Entry* found = table.find(some);
    ASSERT_EQ(found != nullptr, map.contains(some));
    if (found != nullptr) {
      ASSERT_EQ(found->peer, map[some].peer);
      ASSERT_EQ(found->use, map[some].use);
    }
    ASSERT_EQ(table.size(), map.size());
  }
  for (const auto& [index, entry] : map) {
    ASSERT_NE(table.find(index), nullptr);
    ASSERT_EQ(table.find(index)->peer, entry.peer);
  }
}

TEST(IndexTableTest, IndicesLookRandom) {
  test::SeededRng rng(test::run_seed());
  HATS_TRACE_SEED(test::run_seed());
  IndexTable table(rng);
  std::array<int, 32> ones{};
  for (int i = 0; i < 4096; ++i) {
    const uint32_t index = table.insert(1, IndexUse::keypair);
    for (size_t bit = 0; bit < ones.size(); ++bit) ones[bit] += static_cast<int>(index >> bit & 1);
  }
  for (const int count : ones) EXPECT_NEAR(count, 2048, 6 * 32);  // six standard deviations
}

}  // namespace
}  // namespace hats::wg
