#include "core/packet/path_mtu.hpp"

#include <algorithm>

namespace hats::packet {

size_t PathMtuTable::Hash::operator()(const IpAddress& address) const noexcept {
  const uint64_t a = load_be64(address.bytes.data());
  const uint64_t b = load_be64(address.bytes.data() + 8);
  const uint64_t x = (a ^ (b * 0x9e37'79b9'7f4a'7c15ULL)) * 0xbf58'476d'1ce4'e5b9ULL;
  return static_cast<size_t>(x ^ (x >> 31));
}

bool PathMtuTable::learn(BootTime now, const IpAddress& to, uint32_t mtu) {
  if (!to.is_set()) return false;
  const uint32_t value = std::max(mtu, to.family == Family::v4 ? kMinMtuV4 : kMinMtuV6);
  const auto believed = find(now, to);
  if (believed && value > *believed) return false;
  if (!entries_.contains(to)) make_room();
  entries_[to] = {value, now + kPathMtuLifetime};
  soonest_.reset();
  return !believed || value != *believed;
}

std::optional<uint32_t> PathMtuTable::find(BootTime now, const IpAddress& to) const noexcept {
  const auto it = entries_.find(to);
  if (it == entries_.end() || it->second.expires <= now) return std::nullopt;
  return it->second.mtu;
}

void PathMtuTable::forget(const IpAddress& to) {
  if (entries_.erase(to) != 0) soonest_.reset();
}

void PathMtuTable::clear() {
  entries_.clear();
  soonest_.reset();
}

void PathMtuTable::expire(BootTime now) {
  const auto due = next_deadline();
  if (!due || *due > now) return;
  std::erase_if(entries_, [&](const auto& item) { return item.second.expires <= now; });
  soonest_.reset();
}

std::optional<BootTime> PathMtuTable::next_deadline() const noexcept {
  if (soonest_) return soonest_;
  for (const auto& [address, entry] : entries_) {
    if (!soonest_ || entry.expires < *soonest_) soonest_ = entry.expires;
  }
  return soonest_;
}

void PathMtuTable::make_room() {
  if (entries_.size() < kMaxPathMtus) return;
  const auto sooner = [](const auto& a, const auto& b) { return a.second.expires < b.second.expires; };
  entries_.erase(std::ranges::min_element(entries_, sooner));
}

}  // namespace hats::packet
