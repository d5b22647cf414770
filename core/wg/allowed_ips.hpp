// AllowedIPs: which peer owns a destination (outbound) or may use a source (inbound) by the longest prefix
// (WG 2, "cryptokey routing"). Owned by the device; one thread.
//
// A tree bitmap with strides of six bits: a node at bit offset d (a multiple of six) holds the prefixes of
// length d..d+5 under it and up to 64 longer subtrees, each found by counting bits in a bitmap. Chains are
// skipped: a node with one thing in it is replaced by that thing, so the shape depends on the set of prefixes
// alone. Both families share the pools; IPv4 lies in the top 32 bits of a key. About 50 bytes a prefix.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/address.hpp"
#include "core/wg/batch.hpp"

namespace hats::wg {

class AllowedIps {
 public:
  AllowedIps() { clear(); }

  /// Gives `prefix` (host bits are ignored) to `peer`, taking it from its owner if it has one. It becomes the
  /// last of the peer's list, also if it was the peer's already, as in the kernel. A prefix without family,
  /// or longer than its family allows, changes nothing.
  void insert(const Prefix& prefix, PeerId peer);
  /// Takes exactly `prefix` from `peer`. False, and nothing changed, if the peer does not own it.
  bool remove(const Prefix& prefix, PeerId peer);
  /// Takes all prefixes of `peer`; costs what the peer owns, not what the table holds.
  void remove_peer(PeerId peer);
  void clear();

  /// The peer's prefixes, masked, in the order in which they were given to it.
  [[nodiscard]] std::vector<Prefix> prefixes(PeerId peer) const;
  [[nodiscard]] size_t size() const noexcept { return size_; }
  /// Bytes of memory held.
  [[nodiscard]] size_t memory() const noexcept;

  /// Owner of the longest prefix that holds the 4 bytes at `address`, or kNoPeer.
  [[nodiscard]] PeerId lookup_v4(const uint8_t* address) const noexcept {
    return find(kRootV4, {uint64_t{load_be32(address)} << 32, 0});
  }
  /// The same for the 16 bytes at `address`.
  [[nodiscard]] PeerId lookup_v6(const uint8_t* address) const noexcept {
    return find(kRootV6, {load_be64(address), load_be64(address + 8)});
  }
  [[nodiscard]] PeerId lookup(const IpAddress& address) const noexcept;

 private:
  /// An address, first bit first.
  struct Key {
    uint64_t high = 0, low = 0;
    bool operator==(const Key&) const = default;
  };
  /// A prefix and its owner, linked into the owner's list.
  struct Entry {
    Key key;
    PeerId peer = kNoPeer;
    uint32_t previous = 0, next = 0;  // entries; kNone at the ends. next also links free entries
    uint8_t length = 0;
    Family family = Family::none;
  };
  struct Node {
    Key key;                // the `depth` bits that lead here; zeros behind them
    uint64_t children = 0;  // bit c: there is a ref for longer prefixes whose next six bits are c
    uint64_t values = 0;    // bit (1 << l | bits): there is a ref for the prefix with l < 6 more bits
    uint32_t refs = 0;      // first of this node's refs: children in order, then values; links free nodes
    uint8_t depth = 0;
  };
  struct PeerList {
    uint32_t first = kNone, last = kNone;
    uint32_t count = 0;
  };
  /// A ref is kNone, or the index of an entry, or the index of a node with kNodeBit.
  static constexpr uint32_t kNone = 0xffff'ffff;
  static constexpr uint32_t kNodeBit = 0x8000'0000;
  static constexpr uint32_t kRootV4 = 0, kRootV6 = 1;  // places of the two roots in refs_
  static constexpr size_t kBlockSizes = 8;             // blocks of 1, 2, 4 ... 128 refs

  static bool is_node(uint32_t ref) noexcept { return ref != kNone && (ref & kNodeBit) != 0; }
  static bool same_bits(const Key& a, const Key& b, unsigned length) noexcept;
  static unsigned common_bits(const Key& a, const Key& b, unsigned limit) noexcept;
  static unsigned six_bits(const Key& key, unsigned offset) noexcept;
  static Key key_of(const Prefix& masked) noexcept;

  [[nodiscard]] PeerId find(uint32_t root, Key key) const noexcept;
  uint32_t place(uint32_t root, const Key& key, uint8_t length, Family family);
  void join(uint32_t place, const Key& key, unsigned depth, uint32_t old_ref, uint32_t new_entry);
  void erase(uint32_t entry);
  void link(uint32_t entry, PeerId peer);
  void unlink(uint32_t entry) noexcept;

  uint32_t new_entry(const Key& key, uint8_t length, Family family);
  uint32_t new_node(const Key& key, unsigned depth);
  uint32_t take_block(unsigned size_class);
  void free_block(uint32_t first, unsigned size_class) noexcept;
  void insert_ref(uint32_t node, unsigned position, uint32_t ref);
  void remove_ref(uint32_t node, unsigned position);
  void add_to_node(uint32_t node, uint32_t ref);
  void resize_block(Node& node, unsigned old_count, unsigned new_count);

  std::vector<Node> nodes_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> refs_;
  std::vector<PeerList> peers_;
  uint32_t free_nodes_ = kNone, free_entries_ = kNone;
  std::array<uint32_t, kBlockSizes> free_blocks_{};
  size_t size_ = 0;
};

}  // namespace hats::wg
