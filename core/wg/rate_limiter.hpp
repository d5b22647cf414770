// Rate limit of handshake messages by source while under load (WG 5.3, formats.md 6.4): a token bucket for
// each IPv4 address or IPv6 /64. One limiter is asked after mac1 and mac2 have been found valid, so that its
// sources are not forged; another, by address and port, where mac1 alone is.
//
// A bucket that has had time to fill up again says nothing that an absent one would not, so its place is free
// for others: nothing need be swept. Places are found by a keyed hash, so that nobody can aim at the bucket
// of another.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/time.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

class RateLimiter {
 public:
  static constexpr int64_t kPerSecond = 20;  // handshake messages a second of one source in the long run
  static constexpr int64_t kBurst = 5;       // messages at once after silence
  /// Sources held at once, at most. When the ways of its row are all in use, a new source is refused, not an
  /// old one forgotten: else whoever owns many addresses could flush the table and with it the limit.
  static constexpr size_t kMaxSources = 65'536;

  /// Draws the key of the hash.
  explicit RateLimiter(crypto::Rng& rng);

  enum class Verdict : uint8_t {
    refused,
    allowed,  // and one token less
    fresh,    // the same, of a source that was silent until now: its bucket was full
  };
  /// Whether `source` may have a message processed at `now`. An unset address is refused. Sources whose
  /// addresses may be forged are told apart by their port as well (0 otherwise), so that nobody uses up what
  /// another one behind the same address needs.
  [[nodiscard]] Verdict judge(BootTime now, const IpAddress& source, uint16_t port);
  [[nodiscard]] bool allow(BootTime now, const IpAddress& source) {
    return judge(now, source, 0) != Verdict::refused;
  }
  /// Gives the memory back if every bucket is full again. Call it now and then while sources are held.
  void collect(BootTime now);
  /// Sources whose buckets are not full at `now`.
  [[nodiscard]] size_t active(BootTime now) const noexcept;
  /// True if memory is held, that is, if collect() is worth calling.
  [[nodiscard]] bool holds_memory() const noexcept { return !buckets_.empty(); }

 private:
  struct Bucket {
    uint64_t source = 0;  // IPv4 address, or the first 64 bits of an IPv6 address
    int64_t full_at = 0;  // boot time in ns at which the bucket is full (and may be forgotten)
    uint32_t hash = 0;
    uint16_t port = 0;
    Family family = Family::none;  // none: never used
  };
  static constexpr size_t kWays = 8;        // buckets in a row; a source belongs to one row
  static constexpr size_t kFirstRows = 64;  // rows when memory is first taken; doubled when a row is full

  Bucket* place(BootTime now, const Bucket& wanted);
  void grow(BootTime now);

  std::array<uint8_t, 32> key_;
  std::vector<Bucket> buckets_;  // rows of kWays
};

}  // namespace hats::wg
