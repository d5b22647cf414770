// AllowedIPs against a table that is searched from end to end (WG 2).
#include "core/wg/allowed_ips.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "tests/support/seeded_rng.hpp"

namespace hats::wg {
namespace {

/// The oracle: a list, longest match by looking at everything.
class NaiveTable {
 public:
  void insert(const Prefix& prefix, PeerId peer) {
    const Prefix masked = prefix.masked();
    std::erase_if(rows_, [&](const Row& row) { return row.prefix == masked; });
    rows_.push_back({masked, peer});
  }
  bool remove(const Prefix& prefix, PeerId peer) {
    const Prefix masked = prefix.masked();
    return std::erase_if(rows_, [&](const Row& r) { return r.prefix == masked && r.peer == peer; }) != 0;
  }
  void remove_peer(PeerId peer) {
    std::erase_if(rows_, [&](const Row& row) { return row.peer == peer; });
  }
  [[nodiscard]] PeerId lookup(const IpAddress& address) const {
    PeerId best = kNoPeer;
    int best_length = -1;
    for (const Row& row : rows_) {
      if (row.prefix.address.family != address.family || row.prefix.length <= best_length) continue;
      if (same_start(row.prefix.address, address, row.prefix.length)) {
        best = row.peer;
        best_length = row.prefix.length;
      }
    }
    return best;
  }
  [[nodiscard]] std::vector<Prefix> prefixes(PeerId peer) const {
    std::vector<Prefix> out;
    for (const Row& row : rows_) {
      if (row.peer == peer) out.push_back(row.prefix);
    }
    return out;
  }
  [[nodiscard]] size_t size() const { return rows_.size(); }

 private:
  struct Row {
    Prefix prefix;
    PeerId peer;
  };
  static bool same_start(const IpAddress& a, const IpAddress& b, int bits) {
    for (int i = 0; i < bits; ++i) {
      if (((a.bytes[i / 8] ^ b.bytes[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
    }
    return true;
  }
  std::vector<Row> rows_;
};

Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}
PeerId look(const AllowedIps& table, std::string_view address) {
  return table.lookup(IpAddress::parse(address).value());
}

IpAddress random_address(test::SeededRng& rng, bool v6, unsigned spread) {
  std::array<uint8_t, 16> bytes;
  rng.fill(bytes);
  // Few different bytes in front make prefixes nest and collide.
  for (size_t i = 0; i < (v6 ? 14U : 3U); ++i) bytes[i] = static_cast<uint8_t>(bytes[i] % spread);
  return v6 ? IpAddress::v6(bytes.data()) : IpAddress::v4(bytes.data());
}

Prefix random_prefix(test::SeededRng& rng, unsigned spread) {
  const IpAddress address = random_address(rng, rng.one_in(2), spread);
  return {address, static_cast<uint8_t>(rng.below(address.bit_count() + 1U))};
}

void expect_same(const AllowedIps& table, const NaiveTable& naive, const IpAddress& address) {
  ASSERT_EQ(table.lookup(address), naive.lookup(address)) << address.text();
}

TEST(AllowedIpsTest, EmptyTableOwnsNothing) {
  const AllowedIps table;
  EXPECT_EQ(look(table, "0.0.0.0"), kNoPeer);
  EXPECT_EQ(look(table, "::"), kNoPeer);
  EXPECT_TRUE(table.prefixes(0).empty());
}

TEST(AllowedIpsTest, LongestPrefixWins) {
  AllowedIps table;
  table.insert(prefix("0.0.0.0/0"), 1);
  table.insert(prefix("10.0.0.0/8"), 2);
  table.insert(prefix("10.1.0.0/16"), 3);
  table.insert(prefix("10.1.2.3/32"), 4);
  table.insert(prefix("::/0"), 5);
  table.insert(prefix("fd00::/64"), 6);
  table.insert(prefix("fd00::1/128"), 7);
  table.insert(prefix("fd00::/127"), 8);
  EXPECT_EQ(look(table, "8.8.8.8"), 1U);
  EXPECT_EQ(look(table, "10.2.0.1"), 2U);
  EXPECT_EQ(look(table, "10.1.2.4"), 3U);
  EXPECT_EQ(look(table, "10.1.2.3"), 4U);
  EXPECT_EQ(look(table, "2001:db8::1"), 5U);
  EXPECT_EQ(look(table, "fd00::2"), 6U);
  EXPECT_EQ(look(table, "fd00::1"), 7U);
  EXPECT_EQ(look(table, "fd00::"), 8U);
}

TEST(AllowedIpsTest, FamiliesDoNotMix) {
  AllowedIps table;
  table.insert(prefix("0.0.0.0/0"), 1);
  EXPECT_EQ(look(table, "::"), kNoPeer);
  EXPECT_EQ(look(table, "::ffff:1.2.3.4"), kNoPeer);
  table.remove_peer(1);
  table.insert(prefix("::/0"), 1);
  EXPECT_EQ(look(table, "1.2.3.4"), kNoPeer);
}

TEST(AllowedIpsTest, HostBitsOfAPrefixAreIgnored) {
  AllowedIps table;
  table.insert({IpAddress::parse("10.1.2.3").value(), 8}, 1);
  EXPECT_EQ(look(table, "10.200.0.1"), 1U);
  EXPECT_EQ(table.prefixes(1), std::vector{prefix("10.0.0.0/8")});
  EXPECT_TRUE(table.remove({IpAddress::parse("10.9.9.9").value(), 8}, 1));
  EXPECT_EQ(table.size(), 0U);
}

TEST(AllowedIpsTest, APrefixMovesToItsLastOwner) {
  AllowedIps table;
  table.insert(prefix("10.0.0.0/8"), 1);
  table.insert(prefix("10.0.0.0/8"), 2);
  EXPECT_EQ(look(table, "10.0.0.1"), 2U);
  EXPECT_TRUE(table.prefixes(1).empty());
  EXPECT_EQ(table.size(), 1U);
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/8"), 1)) << "only the owner may remove";
  EXPECT_EQ(look(table, "10.0.0.1"), 2U);
  EXPECT_TRUE(table.remove(prefix("10.0.0.0/8"), 2));
  EXPECT_EQ(look(table, "10.0.0.1"), kNoPeer);
}

TEST(AllowedIpsTest, OnlyTheExactPrefixIsRemoved) {
  AllowedIps table;
  table.insert(prefix("10.0.0.0/8"), 1);
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/9"), 1));
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/7"), 1));
  EXPECT_FALSE(table.remove(prefix("11.0.0.0/8"), 1));
  EXPECT_FALSE(table.remove(prefix("a00::/8"), 1));
  EXPECT_EQ(look(table, "10.0.0.1"), 1U);
}

TEST(AllowedIpsTest, APeersPrefixesComeInTheOrderGiven) {
  AllowedIps table;
  const std::vector order = {prefix("192.168.0.0/16"), prefix("::/0"), prefix("10.0.0.0/8"),
                             prefix("fd00::/8")};
  for (const Prefix& each : order) table.insert(each, 7);
  EXPECT_EQ(table.prefixes(7), order);
  table.insert(order[0], 7);  // given again: last, as the kernel has it
  EXPECT_EQ(table.prefixes(7), (std::vector{order[1], order[2], order[3], order[0]}));
  table.insert(order[2], 8);
  EXPECT_EQ(table.prefixes(7), (std::vector{order[1], order[3], order[0]}));
}

TEST(AllowedIpsTest, ImpossiblePrefixesChangeNothing) {
  AllowedIps table;
  table.insert(Prefix{}, 1);
  table.insert({IpAddress::parse("1.2.3.4").value(), 33}, 1);
  table.insert({IpAddress::parse("::1").value(), 129}, 1);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_FALSE(table.remove({IpAddress::parse("1.2.3.4").value(), 33}, 1));
  EXPECT_EQ(table.lookup(IpAddress{}), kNoPeer);
}

// Every length of both families, nested in one another, then taken away in another order.
TEST(AllowedIpsTest, NestedPrefixesOfEveryLengthAreToldApart) {
  for (const char* text : {"170.85.170.85", "aaaa:5555:aaaa:5555:ffff:0:ffff:1234"}) {
    const IpAddress address = IpAddress::parse(text).value();
    const unsigned bits = address.bit_count();
    AllowedIps table;
    NaiveTable naive;
    for (unsigned i = 0; i <= bits; ++i) {
      const auto length =
          static_cast<uint8_t>((i * 50) % (bits + 1));  // 50 has no factor in common with 33, 129
      table.insert({address, length}, length);
      naive.insert({address, length}, length);
    }
    ASSERT_EQ(table.size(), bits + 1);
    for (unsigned round = 0; round <= bits; ++round) {
      for (unsigned bit = 0; bit < bits; ++bit) {
        IpAddress other = address;
        other.bytes[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
        expect_same(table, naive, other);
      }
      expect_same(table, naive, address);
      const auto length = static_cast<uint8_t>((round * 70) % (bits + 1));
      ASSERT_TRUE(table.remove({address, length}, length)) << text << '/' << int{length};
      naive.remove({address, length}, length);
    }
    EXPECT_EQ(table.size(), 0U);
  }
}

TEST(AllowedIpsTest, RandomChangesAgreeWithTheNaiveTable) {
  for (uint64_t round = 0; round < 60; ++round) {
    const uint64_t seed = test::run_seed() + round;
    HATS_TRACE_SEED(seed);
    test::SeededRng rng(seed);
    const auto spread = static_cast<unsigned>(1 + rng.below(8));
    AllowedIps table;
    NaiveTable naive;
    std::vector<Prefix> known;
    for (int step = 0; step < 600; ++step) {
      const auto peer = static_cast<PeerId>(rng.below(10));
      const uint64_t what = rng.below(100);
      const Prefix some =
          known.empty() || rng.one_in(3) ? random_prefix(rng, spread) : known[rng.below(known.size())];
      if (what < 60) {
        table.insert(some, peer);
        naive.insert(some, peer);
        known.push_back(some);
      } else if (what < 98) {
        ASSERT_EQ(table.remove(some, peer), naive.remove(some, peer));
      } else {
        table.remove_peer(peer);
        naive.remove_peer(peer);
      }
      ASSERT_EQ(table.size(), naive.size());
      expect_same(table, naive, random_address(rng, rng.one_in(2), spread));
      if (!known.empty()) expect_same(table, naive, known[rng.below(known.size())].address);
    }
    for (PeerId peer = 0; peer < 10; ++peer) ASSERT_EQ(table.prefixes(peer), naive.prefixes(peer));
    for (PeerId peer = 0; peer < 10; ++peer) table.remove_peer(peer);
    ASSERT_EQ(table.size(), 0U);
  }
}

// The size of the kernel's self-test: 2,000 peers with 400 routes each, and as many that differ in a few
// bits.
TEST(AllowedIpsTest, ManyPeersWithManyRoutesAndTheirMutations) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  constexpr PeerId kPeers = 2000;
  constexpr size_t kRoutes = 400, kSampled = 40;
  AllowedIps table;
  std::vector<std::pair<Prefix, PeerId>> last;  // in order of insertion
  const auto add = [&](const Prefix& each, PeerId peer) {
    table.insert(each, peer);
    last.emplace_back(each.masked(), peer);
  };
  for (size_t i = 0; i < kRoutes / 2; ++i) {
    for (PeerId peer = 0; peer < kPeers; ++peer) {
      const bool v6 = i % 2 == 1;
      std::array<uint8_t, 16> bytes;
      rng.fill(bytes);
      const IpAddress address = v6 ? IpAddress::v6(bytes.data()) : IpAddress::v4(bytes.data());
      const auto length = static_cast<uint8_t>(1 + rng.below(address.bit_count()));
      add({address, length}, peer);
      IpAddress mutated = address;  // the same first bits, then others
      const auto kept = static_cast<unsigned>(rng.below(length));
      for (unsigned bit = kept; bit < address.bit_count(); ++bit) {
        if (rng.one_in(2)) mutated.bytes[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
      }
      add({mutated, length}, static_cast<PeerId>(rng.below(kPeers)));
    }
  }
  // The oracle, sorted so that it can be searched: of one prefix the last insertion.
  std::map<Prefix, PeerId> latest;
  for (const auto& [prefix, peer] : last) latest[prefix] = peer;
  last.assign(latest.begin(), latest.end());
  ASSERT_EQ(table.size(), last.size());
  const auto oracle = [&](const IpAddress& address) {
    for (int length = address.bit_count(); length >= 0; --length) {
      const Prefix wanted = Prefix{address, static_cast<uint8_t>(length)}.masked();
      const auto at = std::ranges::lower_bound(last, wanted, {}, [](const auto& row) { return row.first; });
      if (at != last.end() && at->first == wanted) return at->second;
    }
    return kNoPeer;
  };
  for (size_t i = 0; i < kSampled * 1000; ++i) {
    IpAddress address = random_address(rng, i % 2 == 1, 256);
    if (!rng.one_in(4)) address = last[rng.below(last.size())].first.address;
    address.bytes[rng.below(address.bit_count() / 8U)] ^= static_cast<uint8_t>(1U << rng.below(8));
    ASSERT_EQ(table.lookup(address), oracle(address)) << address.text();
  }
  // The same by batches, of addresses inside prefixes and elsewhere.
  std::array<IpAddress, 100> addresses;
  std::array<AllowedIps::Query, 100> queries;
  std::array<PeerId, 100> owners;
  for (size_t round = 0; round < 200; ++round) {
    const size_t many = 1 + rng.below(addresses.size());
    for (size_t i = 0; i < many; ++i) {
      addresses[i] = random_address(rng, rng.one_in(2), 256);
      if (!rng.one_in(4)) addresses[i] = last[rng.below(last.size())].first.address;
      queries[i] = {addresses[i].bytes.data(), addresses[i].family};
    }
    owners.fill(kPeers + 1);
    table.lookup_many(std::span(queries).first(many), owners);
    for (size_t i = 0; i < many; ++i) ASSERT_EQ(owners[i], oracle(addresses[i])) << addresses[i].text();
  }
  size_t listed = 0;
  for (PeerId peer = 0; peer < kPeers; ++peer) listed += table.prefixes(peer).size();
  EXPECT_EQ(listed, last.size());
  for (PeerId peer = 0; peer < kPeers; peer += 2) table.remove_peer(peer);
  std::erase_if(last, [](const auto& row) { return row.second % 2 == 0; });
  ASSERT_EQ(table.size(), last.size());
  for (size_t i = 0; i < kSampled * 1000; ++i) {
    const IpAddress address = last[rng.below(last.size())].first.address;
    ASSERT_EQ(table.lookup(address), oracle(address)) << address.text();
  }
}

TEST(AllowedIpsTest, MemoryOfRemovedPrefixesIsUsedAgain) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  AllowedIps table;
  size_t after_first = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 5000; ++i) table.insert(random_prefix(rng, 256), static_cast<PeerId>(i % 3));
    table.insert(prefix("fd00::/8"), 9);  // never empty
    for (PeerId peer = 0; peer < 3; ++peer) table.remove_peer(peer);
    ASSERT_EQ(table.size(), 1U);
    if (round == 0) after_first = table.memory();
  }
  EXPECT_LE(table.memory(), 4 * after_first);
  EXPECT_TRUE(table.remove(prefix("fd00::/8"), 9));
  EXPECT_LT(table.memory(), 1000U) << "an empty table holds nothing";
}

}  // namespace
}  // namespace hats::wg
