// What "packet too big" messages have taught us about the paths to addresses (RFC 1191 6.3, RFC 8201 4, 5.3):
// a value by destination, lowered at once, forgotten after ten minutes. Bounded: whoever forges such messages
// makes us forget other paths, not grow.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "core/base/address.hpp"
#include "core/base/time.hpp"

namespace hats::packet {

/// The least MTU that a path may be said to have, in bytes (RFC 791 3.2; RFC 8200 5).
inline constexpr uint32_t kMinMtuV4 = 68;
inline constexpr uint32_t kMinMtuV6 = 1'280;
/// How long a value is believed after it was last reported (RFC 1191 6.3, RFC 8201 4: ten minutes).
inline constexpr Duration kPathMtuLifetime = seconds(600);
/// Destinations remembered; a new one makes the one that would expire first be forgotten.
inline constexpr size_t kMaxPathMtus = 1'024;

class PathMtuTable {
 public:
  /// A message says that `mtu` bytes fit to `to`. Values below the family's least are raised to it; larger
  /// ones than the one believed are ignored (a report never raises). Returns true if the value of find()
  /// changed.
  bool learn(BootTime now, const IpAddress& to, uint32_t mtu);
  /// The value believed now, if there is one.
  [[nodiscard]] std::optional<uint32_t> find(BootTime now, const IpAddress& to) const noexcept;
  /// The route changed: what was learned of this path is void.
  void forget(const IpAddress& to);
  void clear();
  /// Drops what has expired.
  void expire(BootTime now);
  /// When expire() has something to do next.
  [[nodiscard]] std::optional<BootTime> next_deadline() const noexcept;
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    uint32_t mtu = 0;
    BootTime expires;
  };
  struct Hash {
    size_t operator()(const IpAddress& address) const noexcept;
  };
  void make_room();
  std::unordered_map<IpAddress, Entry, Hash> entries_;
  // next_deadline() is asked at every wake-up, and seldom has changed.
  mutable std::optional<BootTime> soonest_;  // of all entries, if known
};

}  // namespace hats::packet
