// The tables of a WireGuard device: AllowedIPs (aim: under 100 ns a look-up at 1,000,000 prefixes), the
// replay filter, receiver indices, the rate limiter.

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "core/wg/allowed_ips.hpp"
#include "core/wg/index_table.hpp"
#include "core/wg/rate_limiter.hpp"
#include "core/wg/replay_filter.hpp"
#include "tests/support/seeded_rng.hpp"

namespace {

using namespace hats;
using namespace hats::wg;

constexpr size_t kProbes = 1 << 20;  // so many addresses that a big table's caches do not know the next one
constexpr PeerId kPeers = 2000;

IpAddress random_address(test::SeededRng& rng, Family family) {
  std::array<uint8_t, 16> bytes;
  rng.fill(bytes);
  if (family == Family::v4) return IpAddress::v4(bytes.data());
  bytes[0] = 0x20;  // allocations out of one /8, as on the Internet
  return IpAddress::v6(bytes.data());
}

// Half of them as a full routing table has them (/16../24, /32../48), half more specific, down to hosts.
Prefix random_prefix(test::SeededRng& rng, Family family) {
  const IpAddress address = random_address(rng, family);
  const bool coarse = rng.one_in(2);
  const uint64_t length = family == Family::v4 ? (coarse ? 16 + rng.below(9) : 24 + rng.below(9))
                                               : (coarse ? 32 + rng.below(17) : 48 + 8 * rng.below(11));
  return {address, static_cast<uint8_t>(length)};
}

std::vector<Prefix> random_prefixes(test::SeededRng& rng, Family family, size_t count) {
  std::vector<Prefix> out;
  while (out.size() < count) out.push_back(random_prefix(rng, family));
  return out;
}

struct Probes {
  AllowedIps table;
  std::vector<IpAddress> addresses;  // each inside some prefix
  size_t next = 0;

  Probes(Family family, size_t count) : addresses(kProbes) {
    test::SeededRng rng(1);
    std::vector<Prefix> prefixes;
    while (table.size() < count) {
      prefixes.push_back(random_prefix(rng, family));
      table.insert(prefixes.back(), static_cast<PeerId>(rng.below(kPeers)));
    }
    for (IpAddress& probe : addresses) {
      const Prefix& prefix = prefixes[rng.below(prefixes.size())];
      const IpAddress host = random_address(rng, family);
      probe = prefix.masked().address;
      for (size_t bit = prefix.length; bit < prefix.address.bit_count(); ++bit) {
        probe.bytes[bit / 8] |= host.bytes[bit / 8] & 0x80 >> bit % 8;
      }
    }
  }
  const uint8_t* address() { return addresses[next++ % kProbes].bytes.data(); }
};

// One after another: in a large table each waits for memory.
void lookup(benchmark::State& state, Family family) {
  Probes probes(family, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const uint8_t* address = probes.address();
    benchmark::DoNotOptimize(family == Family::v4 ? probes.table.lookup_v4(address)
                                                  : probes.table.lookup_v6(address));
  }
  state.counters["bytes_per_prefix"] =
      static_cast<double>(probes.table.memory()) / static_cast<double>(probes.table.size());
}
BENCHMARK_CAPTURE(lookup, v4, Family::v4)->Arg(10)->Arg(10'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(lookup, v6, Family::v6)->Arg(10)->Arg(10'000)->Arg(1'000'000);

// As the device does it for a batch of packets to as many destinations.
void lookup_batch(benchmark::State& state, Family family) {
  constexpr size_t kBatch = 64;
  Probes probes(family, static_cast<size_t>(state.range(0)));
  std::array<AllowedIps::Query, kBatch> queries;
  std::array<PeerId, kBatch> owners;
  for (auto _ : state) {
    for (AllowedIps::Query& query : queries) query = {probes.address(), family};
    probes.table.lookup_many(queries, owners);
    benchmark::DoNotOptimize(owners);
  }
  state.counters["per_lookup"] =
      benchmark::Counter(kBatch, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(lookup_batch, v4, Family::v4)->Arg(10)->Arg(10'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(lookup_batch, v6, Family::v6)->Arg(10)->Arg(10'000)->Arg(1'000'000);

void insert_prefixes(benchmark::State& state, Family family) {
  test::SeededRng rng(1);
  const auto prefixes = random_prefixes(rng, family, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    AllowedIps table;
    PeerId peer = 0;
    for (const Prefix& prefix : prefixes) table.insert(prefix, peer++ % kPeers);
    benchmark::DoNotOptimize(table.size());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(insert_prefixes, v4, Family::v4)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(insert_prefixes, v6, Family::v6)->Arg(100'000)->Unit(benchmark::kMillisecond);

void remove_peers(benchmark::State& state) {
  test::SeededRng rng(1);
  const auto prefixes = random_prefixes(rng, Family::v6, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    AllowedIps table;
    PeerId peer = 0;
    for (const Prefix& prefix : prefixes) table.insert(prefix, peer++ % kPeers);
    state.ResumeTiming();
    for (peer = 0; peer < kPeers; ++peer) table.remove_peer(peer);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(remove_peers)->Arg(100'000)->Unit(benchmark::kMillisecond);

void replay_in_order(benchmark::State& state) {
  ReplayFilter filter;
  uint64_t counter = 0;
  for (auto _ : state) benchmark::DoNotOptimize(filter.accept(counter++));
}
BENCHMARK(replay_in_order);

void replay_out_of_order(benchmark::State& state) {
  ReplayFilter filter;
  uint64_t counter = 0;
  for (auto _ : state) benchmark::DoNotOptimize(filter.accept(counter++ ^ 0x3f));
}
BENCHMARK(replay_out_of_order);

void index_find(benchmark::State& state) {
  test::SeededRng rng(1);
  IndexTable table(rng);
  std::vector<uint32_t> indices;
  indices.reserve(static_cast<size_t>(state.range(0)));
  for (int64_t i = 0; i < state.range(0); ++i) {
    indices.push_back(table.insert(static_cast<PeerId>(i), IndexUse::keypair));
  }
  size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table.find(indices[next++ % indices.size()]));
}
BENCHMARK(index_find)->Arg(3)->Arg(10'000);

void rate_limit(benchmark::State& state) {
  test::SeededRng rng(1);
  RateLimiter limiter(rng);
  std::vector<IpAddress> sources;
  sources.reserve(static_cast<size_t>(state.range(0)));
  for (int64_t i = 0; i < state.range(0); ++i) sources.push_back(random_address(rng, Family::v6));
  BootTime now{};
  size_t next = 0;
  for (auto _ : state) {
    now = now + nanoseconds(500);
    benchmark::DoNotOptimize(limiter.allow(now, sources[next++ % sources.size()]));
  }
}
BENCHMARK(rate_limit)->Arg(10)->Arg(100'000);

}  // namespace

BENCHMARK_MAIN();
