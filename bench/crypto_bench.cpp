// What the primitives cost: the batch AEAD of each backend that this CPU can run, X25519, BLAKE2s and HKDF.
// The number to compare across batch sizes is per_packet.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "crypto/aead_backends.hpp"
#include "crypto/blake2s.hpp"
#include "crypto/x25519.hpp"

namespace {

using namespace hats;
using namespace hats::crypto;

constexpr size_t kSlot = 2048;  // bytes a packet may take

SymmetricKey bench_key() {
  std::array<uint8_t, kKeySize> bytes;
  bytes.fill(0x5a);
  return SymmetricKey(bytes);
}

void count_packets(benchmark::State& state, size_t size, size_t batch) {
  const auto packets = static_cast<double>(batch);
  state.counters["per_packet"] = benchmark::Counter(
      packets, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(size * batch));
}

void seal(benchmark::State& state, Aead& aead, size_t size, size_t batch) {
  const SymmetricKey key = bench_key();
  std::vector<uint8_t> plain(batch * kSlot);
  std::vector<uint8_t> sealed(batch * kSlot);
  std::vector<SealJob> jobs(batch);
  for (size_t i = 0; i < batch; ++i) {
    jobs[i].in = plain.data() + i * kSlot;
    jobs[i].size = static_cast<uint32_t>(size);
    jobs[i].out = sealed.data() + i * kSlot;
  }
  uint64_t counter = 0;
  for (auto _ : state) {
    for (SealJob& job : jobs) job.counter = counter++;
    aead.seal(key, jobs);
    benchmark::ClobberMemory();
  }
  count_packets(state, size, batch);
}

// Opening destroys its input, so each round first copies the sealed packets back; that copy is included, a
// few per cent of the whole.
void open(benchmark::State& state, Aead& aead, size_t size, size_t batch) {
  const SymmetricKey key = bench_key();
  std::vector<uint8_t> sealed(batch * kSlot);
  std::vector<uint8_t> work(batch * kSlot);
  std::vector<OpenJob> jobs(batch);
  for (size_t i = 0; i < batch; ++i) {
    uint8_t* packet = sealed.data() + i * kSlot;
    SealJob job{.counter = i, .in = packet, .size = static_cast<uint32_t>(size), .out = packet};
    aead.seal(key, {&job, 1});
    jobs[i].counter = i;
    jobs[i].data = work.data() + i * kSlot;
    jobs[i].size = static_cast<uint32_t>(size + kTagSize);
  }
  for (auto _ : state) {
    for (size_t i = 0; i < batch; ++i) std::memcpy(jobs[i].data, sealed.data() + i * kSlot, jobs[i].size);
    aead.open(key, jobs);
    benchmark::ClobberMemory();
  }
  for (const OpenJob& job : jobs) {
    if (!job.ok) state.SkipWithError("a packet did not open");
  }
  count_packets(state, size, batch);
}

void one_shot_seal(benchmark::State& state) {
  const SymmetricKey key = bench_key();
  std::array<uint8_t, kKeySize> plain{};
  std::array<uint8_t, kKeySize> ad{};
  std::array<uint8_t, kKeySize + kTagSize> sealed;
  for (auto _ : state) {
    aead_seal(sealed, key, 0, plain, ad);
    benchmark::ClobberMemory();
  }
}

void x25519_shared(benchmark::State& state) {
  SystemRng rng;
  const PrivateKey scalar = generate_private_key(rng);
  const PublicKey point = public_key_of(generate_private_key(rng));
  Secret<kKeySize> shared;
  for (auto _ : state) {
    if (!x25519(shared, scalar, point)) state.SkipWithError("refused");
    benchmark::ClobberMemory();
  }
}

void x25519_public_key(benchmark::State& state) {
  SystemRng rng;
  const PrivateKey scalar = generate_private_key(rng);
  for (auto _ : state) benchmark::DoNotOptimize(public_key_of(scalar));
}

void blake2s_hash(benchmark::State& state) {
  const std::vector<uint8_t> input(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const Hash result = hash({input});
    benchmark::DoNotOptimize(result.view().data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

// mac1 of a handshake initiation: 116 bytes under a 32-byte key (WG 5.4.4).
void blake2s_mac1(benchmark::State& state) {
  const std::array<uint8_t, 32> key{};
  const std::array<uint8_t, 116> message{};
  for (auto _ : state) benchmark::DoNotOptimize(mac(key, {message}));
}

void blake2s_kdf3(benchmark::State& state) {
  Hash t1;
  Hash t2;
  Hash t3;
  const std::array<uint8_t, 32> input{};
  for (auto _ : state) {
    kdf3(t1, t2, t3, t1.view(), input);
    benchmark::ClobberMemory();
  }
}

void register_aeads(const std::vector<std::unique_ptr<Aead>>& backends) {
  for (const auto& backend : backends) {
    for (const size_t size : {64, 512, 1420}) {
      for (const size_t batch : {1, 16, 45}) {
        const std::string name =
            std::string(backend->name()) + "/" + std::to_string(size) + "/batch:" + std::to_string(batch);
        Aead& aead = *backend;
        benchmark::RegisterBenchmark(("seal/" + name).c_str(), [&aead, size, batch](benchmark::State& state) {
          seal(state, aead, size, batch);
        });
        benchmark::RegisterBenchmark(("open/" + name).c_str(), [&aead, size, batch](benchmark::State& state) {
          open(state, aead, size, batch);
        });
      }
    }
  }
}

BENCHMARK(one_shot_seal);
BENCHMARK(x25519_shared);
BENCHMARK(x25519_public_key);
BENCHMARK(blake2s_hash)->Arg(64)->Arg(148)->Arg(1420);
BENCHMARK(blake2s_mac1);
BENCHMARK(blake2s_kdf3);

}  // namespace

int main(int argc, char** argv) {
  if (!initialise()) {
    std::fputs("crypto_bench: no randomness\n", stderr);
    return 1;
  }
  const auto backends = make_all_aeads();
  register_aeads(backends);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
