// The tunnel table against a walk over a list.
#include "core/encap/tunnel_table.hpp"

#include "tests/support/seeded_rng.hpp"
#include "tests/unit/core/encap_wire.hpp"

namespace hats::encap {
namespace {

struct Entry {
  TunnelId id = kNoTunnel;
  TunnelConfig config;
  bool up = false;
};

IpAddress random_address(test::SeededRng& rng, size_t hosts) {
  const auto host = static_cast<uint8_t>(1 + rng.below(hosts));
  if (rng.one_in(2)) return IpAddress::v4(std::array<uint8_t, 4>{192, 0, 2, host}.data());
  return IpAddress::v6(
      std::array<uint8_t, 16>{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host}.data());
}

std::optional<uint32_t> random_key(test::SeededRng& rng) {
  if (rng.one_in(3)) return std::nullopt;
  return static_cast<uint32_t>(rng.below(3));
}

// The order of preference as numbers, the highest first; empty: the tunnel does not take the packet.
std::optional<std::array<int, 4>> rank(const Entry& e, const TunnelQuery& q) {
  const TunnelConfig& c = e.config;
  if (c.kind != q.kind || c.remote != q.remote || c.in_key != q.key) return std::nullopt;
  if (c.local.is_set() && c.local != q.local) return std::nullopt;
  const bool known = c.underlay != 0 && q.interface_index != 0;
  const bool elsewhere = known && c.underlay != q.interface_index;
  if (elsewhere && c.kind == Kind::sit) return std::nullopt;
  return std::array<int, 4>{e.up, known && !elsewhere, c.local.is_set(), !elsewhere};
}

class TableAndList {
 public:
  explicit TableAndList(size_t hosts) : hosts_(hosts) {}

  TunnelConfig random_config() {
    TunnelConfig c;
    c.kind = static_cast<Kind>(rng.below(3));
    c.remote = random_address(rng, hosts_);
    if (!rng.one_in(3)) c.local = random_address(rng, hosts_);
    c.in_key = c.kind == Kind::gre ? random_key(rng) : std::nullopt;
    c.underlay = static_cast<uint32_t>(rng.below(3));
    return c;
  }
  void insert() {
    const TunnelConfig config = random_config();
    TunnelId alike = kNoTunnel;
    for (const Entry& e : list) {
      if (alike_on_the_wire(e.config, config)) alike = e.id;
    }
    ASSERT_EQ(table.find_alike(config, kNoTunnel), alike);
    ASSERT_EQ(table.find_alike(config, alike), kNoTunnel);
    if (alike != kNoTunnel) return;
    const auto id = static_cast<TunnelId>(next_++);
    table.insert(id, config, config.in_key);
    list.push_back({id, config, false});
  }
  void erase() {
    if (list.empty()) return;
    const size_t i = rng.below(list.size());
    table.erase(list[i].id, list[i].config, list[i].config.in_key);
    list.erase(list.begin() + static_cast<long>(i));
  }
  void toggle() {
    if (list.empty()) return;
    Entry& e = list[rng.below(list.size())];
    e.up = !e.up;
    table.set_up(e.id, e.config, e.config.in_key, e.up);
  }
  TunnelQuery random_query() {
    // Half of them for a tunnel that exists, so that most look-ups find something.
    TunnelConfig c = list.empty() || rng.one_in(2) ? random_config() : list[rng.below(list.size())].config;
    if (!c.local.is_set() || rng.one_in(4)) c.local = random_address(rng, hosts_);
    return {.kind = c.kind,
            .local = c.local,
            .remote = c.remote,
            .key = c.in_key,
            .interface_index = static_cast<uint32_t>(rng.below(4))};
  }
  void compare(const TunnelQuery& q) const {
    std::optional<std::array<int, 4>> best;
    std::vector<TunnelId> of_best, of_ends;
    for (const Entry& e : list) {
      const TunnelConfig& c = e.config;
      if (c.kind == q.kind && c.remote == q.remote && (!c.local.is_set() || c.local == q.local)) {
        of_ends.push_back(e.id);
      }
      const auto r = rank(e, q);
      if (!r || (best && *r < *best)) continue;
      if (!best || *best < *r) of_best.clear();
      best = r;
      of_best.push_back(e.id);
    }
    const auto found = table.find(q);
    if (best) {
      ASSERT_NE(std::ranges::find(of_best, found.tunnel), of_best.end());
    } else {
      ASSERT_EQ(found.tunnel, kNoTunnel);
      const bool keyed = q.kind == Kind::gre && !of_ends.empty();
      ASSERT_EQ(found.reason, keyed ? StrayReason::wrong_key : StrayReason::no_tunnel);
    }
    ASSERT_EQ(table.find_only(q), of_ends.size() == 1 ? of_ends[0] : kNoTunnel);
  }

  test::SeededRng rng{test::run_seed()};
  TunnelTable table;
  std::vector<Entry> list;

 private:
  size_t hosts_;
  uint32_t next_ = 0;
};

TEST(TunnelTableTest, FindsWhatAWalkOverAllTunnelsFinds) {
  HATS_TRACE_SEED(test::run_seed());
  TableAndList both(3);
  for (int round = 0; round < 20'000 && !HasFatalFailure(); ++round) {
    switch (both.rng.below(6)) {
      case 0:
        both.insert();
        break;
      case 1:
        if (both.rng.one_in(2)) both.erase();
        break;
      case 2:
        both.toggle();
        break;
      default:
        both.compare(both.random_query());
    }
  }
}

TEST(TunnelTableTest, ThousandsOfTunnelsAreFoundAndForgotten) {
  HATS_TRACE_SEED(test::run_seed());
  TableAndList both(120);
  while (both.list.size() < 3'000 && !HasFatalFailure()) both.insert();
  for (int round = 0; round < 2'000; ++round) both.toggle();
  for (int round = 0; round < 3'000 && !HasFatalFailure(); ++round) both.compare(both.random_query());
  while (both.list.size() > 100) both.erase();
  for (int round = 0; round < 3'000 && !HasFatalFailure(); ++round) both.compare(both.random_query());
}

TEST(TunnelTableTest, AKeyOfZeroIsNotTheLackOfAKey) {
  TunnelTable table;
  TunnelConfig config;
  config.local = testing::kOurs;
  config.remote = testing::kTheirs;
  TunnelQuery query{.local = testing::kOurs, .remote = testing::kTheirs};
  table.insert(1, config, 0);
  EXPECT_EQ(table.find(query).tunnel, kNoTunnel);
  EXPECT_EQ(table.find(query).reason, StrayReason::wrong_key);
  query.key = 0;
  EXPECT_EQ(table.find(query).tunnel, 1u);
  table.insert(2, config, std::nullopt);
  query.key.reset();
  EXPECT_EQ(table.find(query).tunnel, 2u);
  query.remote = testing::kOurs;
  EXPECT_EQ(table.find(query).reason, StrayReason::no_tunnel);
}

}  // namespace
}  // namespace hats::encap
