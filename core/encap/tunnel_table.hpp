// Tunnels by what their outer packets carry: protocol, ends, key (formats.md 5.1). Holds no tunnel, only
// numbers; grows with the configuration, never with traffic, so that strangers cost a look-up and no memory.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/encap/batch.hpp"
#include "core/encap/drop_reason.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::encap {

/// What is looked up of a packet that came from `remote` to `local`.
struct TunnelQuery {
  Kind kind = Kind::gre;
  IpAddress local, remote;
  std::optional<uint32_t> key{};
  uint32_t interface_index = 0;  // that it came by; 0: unknown
  bool operator==(const TunnelQuery&) const = default;
};

class TunnelTable {
 public:
  struct Found {
    TunnelId tunnel = kNoTunnel;
    StrayReason reason = StrayReason::no_tunnel;  // if there is none
  };

  /// Enters a tunnel under `key`: its in_key, or, in a table for errors about what we sent, its out_key. A
  /// new tunnel is down.
  void insert(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key);
  void erase(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key);
  void set_up(TunnelId tunnel, const TunnelConfig& config, const std::optional<uint32_t>& key, bool up);

  /// The tunnel that takes the packet, in this order: up before down (the kernel skips those that are down);
  /// bound to the interface that it came by; the local address named before any; not bound before bound to
  /// another interface. Of the last, SIT takes nothing, GRE and IPIP do, as Linux ip_tunnel_lookup and
  /// ipip6_tunnel_lookup.
  [[nodiscard]] Found find(const TunnelQuery& query) const noexcept;

  /// The tunnel between the query's ends, whatever its key, if there is exactly one: for quotes that end
  /// before the key.
  [[nodiscard]] TunnelId find_only(const TunnelQuery& query) const noexcept;

  /// A tunnel other than `except` that is alike_on_the_wire(), in a table of in_keys.
  [[nodiscard]] TunnelId find_alike(const TunnelConfig& config, TunnelId except) const noexcept;

 private:
  struct Ends {
    Kind kind;
    IpAddress local, remote;
    bool operator==(const Ends&) const = default;
  };
  struct Key {
    Ends ends;
    std::optional<uint32_t> key;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Ends& ends) const noexcept;
    size_t operator()(const Key& key) const noexcept;
  };
  // With thousands of tunnels a look-up costs what it reads from memory: one cache line, key and all.
  struct alignas(64) Slot {
    Key key;
    TunnelId tunnel = kNoTunnel;  // none: the slot is free
    uint32_t underlay = 0;
    bool up = false;
  };
  static_assert(sizeof(Slot) == 64);
  struct Best;

  /// Where the key's slots begin; they end before the next free one.
  [[nodiscard]] size_t home(const Key& key) const noexcept { return Hash()(key) & (slots_.size() - 1); }
  [[nodiscard]] size_t after(size_t at) const noexcept { return (at + 1) & (slots_.size() - 1); }
  /// The slot of a tunnel, or slots_.size().
  [[nodiscard]] size_t slot_of(TunnelId tunnel, const Key& key) const noexcept;
  void place(const Slot& slot) noexcept;
  void grow();
  void consider(const Key& key, uint32_t interface_index, bool local_named, Best& best) const noexcept;

  std::vector<Slot> slots_;  // open addressing, linear probing; a power of 2, at most half full
  size_t used_ = 0;
  std::unordered_map<Ends, std::vector<TunnelId>, Hash> by_ends_;
  size_t any_local_ = 0, bound_ = 0;  // tunnels with no local address; with an underlay interface
};

}  // namespace hats::encap
