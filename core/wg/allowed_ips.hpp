// AllowedIPs: which peer owns a destination (outbound) or may use a source (inbound) by the longest prefix
// (WG 2, "cryptokey routing"). Owned by the device; one thread.
//
// A tree bitmap with strides of six bits: a node at bit offset d (a multiple of six) holds the prefixes of
// length d..d+5 under it and up to 64 subtrees of longer ones, each found by counting bits in a bitmap.
// Chains are skipped. A subtree of a few prefixes is a bucket, whose items lie side by side and tell all that
// a look-up wants: in a table that no cache holds, memory is waited for once or twice. Both families share
// the pools; IPv4 lies in the top 32 bits of a key. About 80 bytes a prefix.
#pragma once

#include <array>
#include <cstdint>
#include <span>
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

  /// An address to look up: 4 or 16 bytes. Without initialisers, so that an array of them costs nothing.
  struct Query {
    const uint8_t* address;
    Family family;  // not none
  };
  /// owners[i] = owner of queries[i], for all of them. In a table that no cache holds the searches go in
  /// step, so that while one waits for memory others go on.
  void lookup_many(std::span<const Query> queries, std::span<PeerId> owners) const noexcept;

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
  /// A prefix in a bucket; longer ones come first.
  struct Item {
    Key key;
    uint32_t entry = 0;
    PeerId peer = kNoPeer;  // as in the entry
    uint8_t length = 0;
    uint8_t count = 0;  // items in the bucket, told by the first one
  };
  /// Blocks of 1, 2, 4 ... 128 cells in one vector; what is freed is used again for its size.
  template <typename T>
  struct BlockPool {
    static constexpr size_t kSizes = 8;
    std::vector<T> cells;
    std::array<std::vector<uint32_t>, kSizes> free;

    T& operator[](uint32_t index) noexcept { return cells[index]; }
    const T& operator[](uint32_t index) const noexcept { return cells[index]; }
    /// A block for `count` > 0 cells.
    [[nodiscard]] uint32_t take(unsigned count);
    void give_back(uint32_t first, unsigned count);
    /// The block's first cell when it is to hold `count` cells: the same, or that of a copy.
    [[nodiscard]] uint32_t resize(uint32_t first, unsigned old_count, unsigned count);
    [[nodiscard]] size_t memory() const noexcept;
  };
  struct PeerList {
    uint32_t first = kNone, last = kNone;
    uint32_t count = 0;
  };
  /// A ref of a child is the index of a bucket, or with kNodeBit of a node; a ref of a value that of an
  /// entry.
  static constexpr uint32_t kNone = 0xffff'ffff;
  static constexpr uint32_t kNodeBit = 0x8000'0000;
  static constexpr uint32_t kRootV4 = 0, kRootV6 = 1;  // places of the two roots in refs_
  static constexpr unsigned kBucket = 8;               // items in a bucket, at most
  static constexpr size_t kTogether = 16;              // searches in step
  static constexpr size_t kCached = 20'000;            // prefixes that a CPU's own cache may hold

  static bool is_node(uint32_t ref) noexcept { return ref != kNone && (ref & kNodeBit) != 0; }
  static bool same_bits(const Key& a, const Key& b, unsigned length) noexcept;
  static unsigned common_bits(const Key& a, const Key& b, unsigned limit) noexcept;
  static unsigned six_bits(const Key& key, unsigned offset) noexcept;
  static Key key_of(const Prefix& masked) noexcept;
  static uint32_t root_of(Family family) noexcept { return family == Family::v4 ? kRootV4 : kRootV6; }

  /// A search that goes on at `place`, which is asked for from memory, when the others have had their turn.
  struct Search {
    enum class At : uint8_t { ref, node, bucket, value, entry };
    Key key;
    At at = At::ref;
    uint32_t place = 0;  // in refs_, nodes_, items_, refs_, entries_
    const Node* best = nullptr;
    uint64_t best_values = 0;
    PeerId* owner = nullptr;  // where the answer goes
  };
  [[nodiscard]] bool goes_on(Search& search) const noexcept;
  [[nodiscard]] bool goes_on_to(Search& search, Search::At at, uint32_t place) const noexcept;
  [[nodiscard]] PeerId find_in_bucket(uint32_t bucket, const Key& key) const noexcept;
  [[nodiscard]] uint32_t value_place(const Node& node, uint64_t holders) const noexcept;
  [[nodiscard]] PeerId find(uint32_t root, Key key) const noexcept;
  [[nodiscard]] uint32_t find_entry(uint32_t root, const Key& key, uint8_t length) const noexcept;
  uint32_t place(const Prefix& masked, PeerId peer);
  void erase(uint32_t entry);
  void link(uint32_t entry, PeerId peer);
  void unlink(uint32_t entry) noexcept;

  uint32_t new_entry(const Item& item, Family family);
  uint32_t new_node(const Key& key, unsigned depth);
  uint32_t new_bucket(const Item& item);
  void collapse(uint32_t place);
  void add_to_bucket(uint32_t place, const Item& item);
  void split(uint32_t place, const Item& item);
  [[nodiscard]] unsigned remove_from_bucket(uint32_t place, uint32_t entry);
  void add_to_node(uint32_t node, const Item& item);
  void insert_child(uint32_t node, const Key& key, uint32_t ref);
  void insert_ref(Node& node, unsigned position, uint32_t ref);
  void remove_ref(Node& node, unsigned position);

  std::vector<Node> nodes_;
  std::vector<Entry> entries_;
  BlockPool<uint32_t> refs_;
  BlockPool<Item> items_;
  std::vector<PeerList> peers_;
  uint32_t free_nodes_ = kNone, free_entries_ = kNone;
  size_t size_ = 0;
};

}  // namespace hats::wg
