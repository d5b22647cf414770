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

bool RateLimiter::allow(BootTime now, const IpAddress& source) {
  if (!source.is_set()) return false;
  const bool v4 = source.family == Family::v4;
  const uint64_t id = v4 ? load_be32(source.bytes.data()) : load_be64(source.bytes.data());
  const auto family = static_cast<uint8_t>(source.family);
  const crypto::Mac digest =
      crypto::mac(key_, {ByteView{&family, 1}, ByteView{source.bytes.data(), v4 ? size_t{4} : size_t{8}}});
  Bucket* bucket = place(now, id, source.family, load_le32(digest.data()));
  if (bucket == nullptr) return false;
  // A bucket is kept as the time at which it will be full: each message moves that one token's time on, and
  // it may lie no further ahead than an empty bucket needs.
  const int64_t full_at = std::max(bucket->full_at, now.ns) + kTokenNs;
  if (full_at - now.ns > kBurst * kTokenNs) return false;
  bucket->full_at = full_at;
  return true;
}

RateLimiter::Bucket* RateLimiter::place(BootTime now, uint64_t source, Family family, uint32_t hash) {
  if (buckets_.empty()) buckets_.resize(kFirstRows * kWays);
  for (;;) {
    const size_t rows = buckets_.size() / kWays;
    const auto row = std::span(buckets_).subspan((hash & (rows - 1)) * kWays, kWays);
    Bucket* unused = nullptr;
    for (Bucket& bucket : row) {
      if (bucket.family == family && bucket.source == source) return &bucket;
      if (bucket.family == Family::none || bucket.full_at <= now.ns) unused = &bucket;
    }
    if (unused != nullptr) {
      *unused = {source, now.ns, hash, family};
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
