#include "core/encap/tunnel_table.hpp"

#include <algorithm>

namespace hats::encap {
namespace {

uint64_t mix(uint64_t x) noexcept {
  x *= 0x9e37'79b9'7f4a'7c15ULL;
  return x ^ (x >> 29);
}

uint64_t mix(uint64_t seed, const IpAddress& address) noexcept {
  const uint64_t high = load_be64(address.bytes.data()), low = load_be64(address.bytes.data() + 8);
  return mix(mix(seed ^ high) ^ low ^ static_cast<uint64_t>(address.family));
}

}  // namespace

size_t TunnelTable::Hash::operator()(const Ends& ends) const noexcept {
  return mix(mix(static_cast<uint64_t>(ends.kind), ends.local), ends.remote);
}

size_t TunnelTable::Hash::operator()(const Key& key) const noexcept {
  const uint64_t number = key.key ? uint64_t{*key.key} + 1 : 0;
  return mix(operator()(key.ends) ^ number);
}

struct TunnelTable::Best {
  TunnelId tunnel = kNoTunnel;
  uint32_t rank = 0;
};

void TunnelTable::insert(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key) {
  const Ends ends{config.kind, config.local, config.remote};
  by_key_[{ends, key}].push_back({tunnel, config.underlay, false});
  by_ends_[ends].push_back(tunnel);
  any_local_ += config.local.is_set() ? 0 : 1;
  bound_ += config.underlay != 0 ? 1 : 0;
}

void TunnelTable::erase(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key) {
  const Ends ends{config.kind, config.local, config.remote};
  const auto entries = by_key_.find({ends, key});
  if (entries == by_key_.end()) return;
  if (std::erase_if(entries->second, [&](const Entry& e) { return e.tunnel == tunnel; }) == 0) return;
  if (entries->second.empty()) by_key_.erase(entries);
  const auto others = by_ends_.find(ends);
  std::erase(others->second, tunnel);
  if (others->second.empty()) by_ends_.erase(others);
  any_local_ -= config.local.is_set() ? 0 : 1;
  bound_ -= config.underlay != 0 ? 1 : 0;
}

void TunnelTable::set_up(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key,
                         bool up) {
  const auto entries = by_key_.find({{config.kind, config.local, config.remote}, key});
  if (entries == by_key_.end()) return;
  for (Entry& entry : entries->second) {
    if (entry.tunnel == tunnel) entry.up = up;
  }
}

void TunnelTable::consider(const std::vector<Entry>& entries, const TunnelQuery& query, bool local_named,
                           Best& best) noexcept {
  for (const Entry& entry : entries) {
    const bool known = entry.underlay != 0 && query.interface_index != 0;
    const bool here = known && entry.underlay == query.interface_index;
    const bool elsewhere = known && !here;
    if (elsewhere && query.kind == Kind::sit) continue;
    const uint32_t rank =
        1 + (elsewhere ? 0 : 1) + (local_named ? 2 : 0) + (here ? 4 : 0) + (entry.up ? 8 : 0);
    if (rank > best.rank) best = {entry.tunnel, rank};
  }
}

TunnelTable::Found TunnelTable::find(const TunnelQuery& query) const noexcept {
  const Ends named{query.kind, query.local, query.remote}, any{query.kind, {}, query.remote};
  Best best;
  if (const auto it = by_key_.find({named, query.key}); it != by_key_.end()) {
    consider(it->second, query, true, best);
    // Nothing ranks above an exact match that is up, where no tunnel is bound to an interface.
    if (any_local_ == 0 || (bound_ == 0 && best.rank >= 8)) return {best.tunnel, StrayReason::no_tunnel};
  }
  if (any_local_ != 0) {
    if (const auto it = by_key_.find({any, query.key}); it != by_key_.end()) {
      consider(it->second, query, false, best);
    }
  }
  if (best.tunnel != kNoTunnel) return {best.tunnel, StrayReason::no_tunnel};
  const bool ends_known = by_ends_.contains(named) || (any_local_ != 0 && by_ends_.contains(any));
  const bool keyed = query.kind == Kind::gre && ends_known;
  return {kNoTunnel, keyed ? StrayReason::wrong_key : StrayReason::no_tunnel};
}

TunnelId TunnelTable::find_only(const TunnelQuery& query) const noexcept {
  TunnelId found = kNoTunnel;
  size_t count = 0;
  for (const IpAddress& local : {query.local, IpAddress{}}) {
    const auto it = by_ends_.find({query.kind, local, query.remote});
    if (it == by_ends_.end()) continue;
    count += it->second.size();
    found = it->second.front();
  }
  return count == 1 ? found : kNoTunnel;
}

}  // namespace hats::encap
