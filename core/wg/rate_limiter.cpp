#include "core/wg/rate_limiter.hpp"

#include <algorithm>

#include "crypto/blake2s.hpp"

namespace hats::wg {

namespace {
constexpr int64_t kTokenNs = 1'000'000'000 / RateLimiter::kPerSecond;  // time in which one token comes back
}

RateLimiter::RateLimiter(crypto::Rng& rng) {
  rng.fill(key_);
}

RateLimiter::Verdict RateLimiter::judge(BootTime now, const IpAddress& source, uint16_t port) {
  if (!source.is_set()) return Verdict::refused;
  const bool v4 = source.family == Family::v4;
  const uint64_t id = v4 ? load_be32(source.bytes.data()) : load_be64(source.bytes.data());
  const std::array<uint8_t, 3> head = {static_cast<uint8_t>(source.family), static_cast<uint8_t>(port >> 8),
                                       static_cast<uint8_t>(port)};
  const crypto::Mac digest =
      crypto::mac(key_, {ByteView{head}, ByteView{source.bytes.data(), v4 ? size_t{4} : size_t{8}}});
  Bucket* bucket = place(now, {.source = id,
                               .full_at = now.ns,
                               .hash = load_le32(digest.data()),
                               .port = port,
                               .family = source.family});
  if (bucket == nullptr) return Verdict::refused;
  const bool was_full = bucket->full_at <= now.ns;
  // A bucket is kept as the time at which it will be full: each message moves that one token's time on, and
  // it may lie no further ahead than an empty bucket needs.
  const int64_t full_at = std::max(bucket->full_at, now.ns) + kTokenNs;
  if (full_at - now.ns > kBurst * kTokenNs) return Verdict::refused;
  bucket->full_at = full_at;
  return was_full ? Verdict::fresh : Verdict::allowed;
}

RateLimiter::Bucket* RateLimiter::place(BootTime now, const Bucket& wanted) {
  if (buckets_.empty()) buckets_.resize(kFirstRows * kWays);
  for (;;) {
    const size_t rows = buckets_.size() / kWays;
    const auto row = std::span(buckets_).subspan((wanted.hash & (rows - 1)) * kWays, kWays);
    Bucket* unused = nullptr;
    for (Bucket& bucket : row) {
      if (bucket.family == wanted.family && bucket.source == wanted.source && bucket.port == wanted.port) {
        return &bucket;
      }
      if (bucket.family == Family::none || bucket.full_at <= now.ns) unused = &bucket;
    }
    if (unused != nullptr) {
      *unused = wanted;
      return unused;
    }
    if (buckets_.size() >= kMaxSources) return nullptr;
    grow(now);
  }
}

// Doubling splits each row in two by one more bit of the hash, so every bucket finds a place.
void RateLimiter::grow(BootTime now) {
  std::vector<Bucket> larger(2 * buckets_.size());
  const size_t rows = larger.size() / kWays;
  for (const Bucket& bucket : buckets_) {
    if (bucket.family == Family::none || bucket.full_at <= now.ns) continue;
    const auto row = std::span(larger).subspan((bucket.hash & (rows - 1)) * kWays, kWays);
    *std::ranges::find(row, Family::none, &Bucket::family) = bucket;
  }
  buckets_.swap(larger);
}

size_t RateLimiter::active(BootTime now) const noexcept {
  return static_cast<size_t>(std::ranges::count_if(
      buckets_, [&](const Bucket& b) { return b.family != Family::none && b.full_at > now.ns; }));
}

void RateLimiter::collect(BootTime now) {
  if (active(now) == 0) std::vector<Bucket>().swap(buckets_);
}

}  // namespace hats::wg
