#include "core/encap/tunnel_table.hpp"

#include <algorithm>
#include <utility>

namespace hats::encap {
namespace {

constexpr size_t kFirstSlots = 16;

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

// ---- Slots ----

size_t TunnelTable::slot_of(TunnelId tunnel, const Key& key) const noexcept {
  if (slots_.empty()) return 0;
  for (size_t at = home(key); slots_[at].tunnel != kNoTunnel; at = after(at)) {
    if (slots_[at].tunnel == tunnel) return at;
  }
  return slots_.size();
}

void TunnelTable::place(const Slot& slot) noexcept {
  size_t at = home(slot.key);
  while (slots_[at].tunnel != kNoTunnel) at = after(at);
  slots_[at] = slot;
}

void TunnelTable::grow() {
  const std::vector<Slot> old =
      std::exchange(slots_, std::vector<Slot>(std::max(kFirstSlots, slots_.size() * 2)));
  for (const Slot& slot : old) {
    if (slot.tunnel != kNoTunnel) place(slot);
  }
}

// ---- Tunnels ----

void TunnelTable::insert(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key) {
  const Ends ends{config.kind, config.local, config.remote};
  if (++used_ * 2 > slots_.size()) grow();
  place({.key = {ends, key}, .tunnel = tunnel, .underlay = config.underlay, .up = false});
  by_ends_[ends].push_back(tunnel);
  any_local_ += config.local.is_set() ? 0 : 1;
  bound_ += config.underlay != 0 ? 1 : 0;
}

void TunnelTable::erase(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key) {
  const Ends ends{config.kind, config.local, config.remote};
  size_t gap = slot_of(tunnel, {ends, key});
  if (gap == slots_.size()) return;
  --used_;
  // What follows moves up, unless that would be before its home: no look-up may meet the gap first.
  for (size_t at = after(gap); slots_[at].tunnel != kNoTunnel; at = after(at)) {
    const size_t mask = slots_.size() - 1;
    if (((at - home(slots_[at].key)) & mask) < ((at - gap) & mask)) continue;
    slots_[gap] = slots_[at];
    gap = at;
  }
  slots_[gap] = {};
  const auto others = by_ends_.find(ends);
  std::erase(others->second, tunnel);
  if (others->second.empty()) by_ends_.erase(others);
  any_local_ -= config.local.is_set() ? 0 : 1;
  bound_ -= config.underlay != 0 ? 1 : 0;
}

void TunnelTable::set_up(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key,
                         bool up) {
  const size_t at = slot_of(tunnel, {{config.kind, config.local, config.remote}, key});
  if (at != slots_.size()) slots_[at].up = up;
}

// ---- Look-ups ----

void TunnelTable::consider(const Key& key, uint32_t interface_index, bool local_named,
                           Best& best) const noexcept {
  if (slots_.empty()) return;
  for (size_t at = home(key); slots_[at].tunnel != kNoTunnel; at = after(at)) {
    const Slot& slot = slots_[at];
    if (slot.key != key) continue;
    const bool known = slot.underlay != 0 && interface_index != 0;
    const bool here = known && slot.underlay == interface_index;
    const bool elsewhere = known && !here;
    if (elsewhere && key.ends.kind == Kind::sit) continue;
    const uint32_t rank =
        1 + (elsewhere ? 0 : 1) + (local_named ? 2 : 0) + (here ? 4 : 0) + (slot.up ? 8 : 0);
    if (rank > best.rank) best = {slot.tunnel, rank};
    // Nothing ranks above a tunnel that is up, of one key, where none is bound to an interface.
    if (bound_ == 0 && slot.up) return;
  }
}

TunnelTable::Found TunnelTable::find(const TunnelQuery& query) const noexcept {
  const Key named{{query.kind, query.local, query.remote}, query.key};
  Best best;
  consider(named, query.interface_index, true, best);
  const bool exact_and_up = bound_ == 0 && best.rank >= 8;
  const Key any{{query.kind, {}, query.remote}, query.key};
  if (any_local_ != 0 && !exact_and_up) consider(any, query.interface_index, false, best);
  if (best.tunnel != kNoTunnel) return {best.tunnel, StrayReason::no_tunnel};
  const bool ends_known = by_ends_.contains(named.ends) || (any_local_ != 0 && by_ends_.contains(any.ends));
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

TunnelId TunnelTable::find_alike(const TunnelConfig& config, TunnelId except) const noexcept {
  if (slots_.empty()) return kNoTunnel;
  const Key key{{config.kind, config.local, config.remote}, config.in_key};
  for (size_t at = home(key); slots_[at].tunnel != kNoTunnel; at = after(at)) {
    const Slot& slot = slots_[at];
    if (slot.key == key && slot.underlay == config.underlay && slot.tunnel != except) return slot.tunnel;
  }
  return kNoTunnel;
}

}  // namespace hats::encap
