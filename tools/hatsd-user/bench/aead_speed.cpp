#include "tools/hatsd-user/bench/aead_speed.hpp"

#include "crypto/aead_backends.hpp"
#include "tools/hatsd-user/bench/clock.hpp"
#include "tools/hatsd-user/bench/statistics.hpp"

namespace hats::app::bench {

namespace {

constexpr unsigned kBatch = 45;  // packets of one TSO read
constexpr unsigned kParts = 8;   // of the time: the median of them counts

// CPU time, not time: others may use the machine.
double nanoseconds_a_packet(crypto::Aead& aead, uint32_t size, double seconds) {
  const crypto::SymmetricKey key;
  const size_t sealed_size = size + crypto::kTagSize;
  std::vector<uint8_t> plain(size_t{kBatch} * size), sealed(kBatch * sealed_size);
  std::vector<crypto::SealJob> jobs(kBatch);
  uint64_t counter = 0;
  std::vector<double> parts;
  for (unsigned part = 0; part < kParts; ++part) {
    const double begin = seconds_now(CLOCK_THREAD_CPUTIME_ID);
    double now = begin;
    unsigned packets = 0;
    while (now - begin < seconds / kParts) {
      for (size_t i = 0; i < kBatch; ++i) {
        jobs[i] = {
            .counter = counter++, .in = &plain[i * size], .size = size, .out = &sealed[i * sealed_size]};
      }
      aead.seal(key, jobs);
      packets += kBatch;
      now = seconds_now(CLOCK_THREAD_CPUTIME_ID);
    }
    parts.push_back((now - begin) / packets * 1e9);
  }
  return median(parts);
}

}  // namespace

std::vector<AeadSpeed> measure_aeads(double seconds) {
  std::vector<AeadSpeed> out;
  for (const auto& aead : crypto::make_all_aeads()) {
    out.push_back({.name = std::string(aead->name()),
                   .small_ns = nanoseconds_a_packet(*aead, kSmallPacket, seconds / 2),
                   .large_ns = nanoseconds_a_packet(*aead, kLargePacket, seconds / 2)});
  }
  return out;
}

}  // namespace hats::app::bench
