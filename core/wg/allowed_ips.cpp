#include "core/wg/allowed_ips.hpp"

#include <algorithm>
#include <bit>

namespace hats::wg {

namespace {

constexpr unsigned kStride = 6;

// The values of a node that hold six given bits: one for each length 0..5, as bits of Node::values, whose
// order is the order of length.
constexpr auto kHolders = [] {
  std::array<uint64_t, 64> table{};
  for (unsigned bits = 0; bits < 64; ++bits) {
    for (unsigned length = 0; length < kStride; ++length) {
      table[bits] |= uint64_t{1} << (1U << length | bits >> (kStride - length));
    }
  }
  return table;
}();

// The population count that every x86-64 has (the baseline has no POPCNT, and a call would cost more).
inline unsigned count(uint64_t x) noexcept {
#ifdef __POPCNT__
  return static_cast<unsigned>(std::popcount(x));
#else
  x -= x >> 1 & 0x5555'5555'5555'5555;
  x = (x & 0x3333'3333'3333'3333) + (x >> 2 & 0x3333'3333'3333'3333);
  x = (x + (x >> 4)) & 0x0f0f'0f0f'0f0f'0f0f;
  return static_cast<unsigned>((x * 0x0101'0101'0101'0101) >> 56);
#endif
}

// How many bits of `bitmap` lie below `bit`.
inline unsigned rank(uint64_t bitmap, unsigned bit) noexcept {
  return count(bitmap & ((uint64_t{1} << bit) - 1));
}

// The size class of a block of `count` > 0 cells: the next power of two.
unsigned class_of(unsigned cells) noexcept {
  return static_cast<unsigned>(std::bit_width(cells - 1));
}

// The bit of a value of `more` < 6 more bits than the node has, which are the first of `bits`.
inline unsigned value_bit(unsigned bits, unsigned more) noexcept {
  return 1U << more | bits >> (kStride - more);
}

}  // namespace

inline bool AllowedIps::same_bits(const Key& a, const Key& b, unsigned length) noexcept {
  const uint64_t high = a.high ^ b.high;
  if (length <= 64) return length == 0 || high >> (64 - length) == 0;
  return high == 0 && (a.low ^ b.low) >> (128 - length) == 0;
}

inline unsigned AllowedIps::common_bits(const Key& a, const Key& b, unsigned limit) noexcept {
  const uint64_t high = a.high ^ b.high;
  const int same = high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(a.low ^ b.low);
  return std::min(static_cast<unsigned>(same), limit);
}

// Six bits from bit `offset` on; zeros behind the end. `offset` is a multiple of six, at most 126.
inline unsigned AllowedIps::six_bits(const Key& key, unsigned offset) noexcept {
  if (offset < 60) return static_cast<unsigned>(key.high >> (58 - offset)) & 63;
  if (offset == 60) return static_cast<unsigned>(key.high << 2 | key.low >> 62) & 63;
  if (offset == 126) return static_cast<unsigned>(key.low << 4) & 63;
  return static_cast<unsigned>(key.low >> (122 - offset)) & 63;
}

AllowedIps::Key AllowedIps::key_of(const Prefix& masked) noexcept {
  return {load_be64(masked.address.bytes.data()), load_be64(masked.address.bytes.data() + 8)};
}

inline PeerId AllowedIps::find_in_bucket(uint32_t bucket, const Key& key) const noexcept {
  const Item* item = &items_[bucket];
  for (const Item* end = item + item->count; item != end; ++item) {
    if (same_bits(item->key, key, item->length)) return item->peer;
  }
  return kNoPeer;
}

// Where the ref of the longest of these values is.
inline uint32_t AllowedIps::value_place(const Node& node, uint64_t holders) const noexcept {
  const auto longest = static_cast<unsigned>(std::bit_width(holders)) - 1;
  return node.refs + count(node.children) + rank(node.values, longest);
}

PeerId AllowedIps::find(uint32_t root, Key key) const noexcept {
  uint32_t ref = refs_[root];
  const Node* best = nullptr;
  uint64_t best_values = 0;
  while (is_node(ref)) {
    const Node& node = nodes_[ref & ~kNodeBit];
    ref = kNone;
    if (!same_bits(node.key, key, node.depth)) break;
    const unsigned bits = six_bits(key, node.depth);
    if (const uint64_t values = node.values & kHolders[bits]; values != 0) {
      best = &node;
      best_values = values;
    }
    if ((node.children >> bits & 1) != 0) ref = refs_[node.refs + rank(node.children, bits)];
  }
  if (ref != kNone) {
    if (const PeerId owner = find_in_bucket(ref, key); owner != kNoPeer) return owner;
  }
  return best == nullptr ? kNoPeer : entries_[refs_[value_place(*best, best_values)]].peer;
}

inline bool AllowedIps::goes_on_to(Search& search, Search::At at, uint32_t place) const noexcept {
  search.at = at;
  search.place = place;
  if (at == Search::At::node) {
    __builtin_prefetch(&nodes_[place]);
  } else if (at == Search::At::entry) {
    __builtin_prefetch(&entries_[place]);
  } else if (at == Search::At::bucket) {
    __builtin_prefetch(&items_[place]);
    __builtin_prefetch(&items_[place] + 2);  // the next cache line
  } else {
    __builtin_prefetch(&refs_[place]);
  }
  return true;
}

// A step of find(), up to what may have to come from memory. False at the end. Nodes are few beside what
// hangs from them: they are taken to be in a cache.
inline bool AllowedIps::goes_on(Search& search) const noexcept {
  using At = Search::At;
  if (search.at == At::entry) {
    *search.owner = entries_[search.place].peer;
    return false;
  }
  if (search.at == At::bucket) {
    *search.owner = find_in_bucket(search.place, search.key);
    if (*search.owner != kNoPeer) return false;
  } else if (search.at == At::node) {
    const Node& node = nodes_[search.place];
    if (same_bits(node.key, search.key, node.depth)) {
      const unsigned bits = six_bits(search.key, node.depth);
      if (const uint64_t values = node.values & kHolders[bits]; values != 0) {
        search.best = &node;
        search.best_values = values;
      }
      if ((node.children >> bits & 1) != 0) {
        return goes_on_to(search, At::ref, node.refs + rank(node.children, bits));
      }
    }
  } else {
    const uint32_t ref = refs_[search.place];
    if (search.at == At::value) return goes_on_to(search, At::entry, ref);
    if (is_node(ref)) return goes_on_to(search, At::node, ref & ~kNodeBit);
    if (ref != kNone) return goes_on_to(search, At::bucket, ref);
  }
  // Nothing below: the best of the nodes passed, if any.
  if (search.best != nullptr) {
    return goes_on_to(search, At::value, value_place(*search.best, search.best_values));
  }
  *search.owner = kNoPeer;
  return false;
}

void AllowedIps::lookup_many(std::span<const Query> queries, std::span<PeerId> owners) const noexcept {
  const auto key = [](const Query& q) -> Key {
    if (q.family == Family::v4) return {uint64_t{load_be32(q.address)} << 32, 0};
    return {load_be64(q.address), load_be64(q.address + 8)};
  };
  if (size_ <= kCached || queries.size() == 1) {
    for (size_t i = 0; i < queries.size(); ++i) owners[i] = find(root_of(queries[i].family), key(queries[i]));
    return;
  }
  std::array<Search, kTogether> searches;
  size_t active = 0, next = 0;
  do {
    for (; active < kTogether && next < queries.size(); ++next, ++active) {
      searches[active] = {
          .key = key(queries[next]), .place = root_of(queries[next].family), .owner = &owners[next]};
    }
    for (size_t i = 0; i < active;) {
      if (goes_on(searches[i])) {
        ++i;
      } else {
        searches[i] = searches[--active];
      }
    }
  } while (active != 0 || next != queries.size());
}

PeerId AllowedIps::lookup(const IpAddress& address) const noexcept {
  if (address.family == Family::v4) return lookup_v4(address.bytes.data());
  return address.family == Family::v6 ? lookup_v6(address.bytes.data()) : kNoPeer;
}

void AllowedIps::insert(const Prefix& prefix, PeerId peer) {
  if (!prefix.address.is_set() || prefix.length > prefix.address.bit_count() || peer == kNoPeer) return;
  const uint32_t entry = place(prefix.masked(), peer);
  if (entries_[entry].peer != kNoPeer) unlink(entry);
  link(entry, peer);
}

// The entry of a prefix, made (without owner) if need be. If it is in a bucket, its item names `peer` from
// now on.
uint32_t AllowedIps::place(const Prefix& masked, PeerId peer) {
  Item item{.key = key_of(masked), .peer = peer, .length = masked.length};
  uint32_t at = root_of(masked.address.family);  // place in refs_ of the ref looked at
  for (;;) {
    const uint32_t ref = refs_[at];
    if (ref == kNone) {  // an empty root
      item.entry = new_entry(item, masked.address.family);
      refs_[at] = new_bucket(item);
      return item.entry;
    }
    if (!is_node(ref)) {
      for (unsigned i = 0; i < items_[ref].count; ++i) {
        Item& old = items_[ref + i];
        if (old.length != item.length || old.key != item.key) continue;
        old.peer = peer;
        return old.entry;
      }
      item.entry = new_entry(item, masked.address.family);
      add_to_bucket(at, item);
      return item.entry;
    }
    uint32_t index = ref & ~kNodeBit;
    const Node& node = nodes_[index];
    const unsigned common = common_bits(item.key, node.key, std::min(item.length, node.depth));
    if (common < node.depth) {
      // They part before this node: a new one above it.
      const uint32_t above = new_node(item.key, common / kStride * kStride);
      insert_child(above, nodes_[index].key, ref);
      refs_[at] = above | kNodeBit;
      index = above;
    } else {
      const unsigned bits = six_bits(item.key, node.depth), more = item.length - node.depth;
      if (more < kStride && (node.values >> value_bit(bits, more) & 1) != 0) {
        return refs_[node.refs + count(node.children) + rank(node.values, value_bit(bits, more))];
      }
      if (more >= kStride && (node.children >> bits & 1) != 0) {
        at = node.refs + rank(node.children, bits);
        continue;
      }
    }
    item.entry = new_entry(item, masked.address.family);
    add_to_node(index, item);
    return item.entry;
  }
}

// Adds an item that lies under the node, as a value or to the bucket of its next six bits.
void AllowedIps::add_to_node(uint32_t index, const Item& item) {
  Node& node = nodes_[index];
  const unsigned bits = six_bits(item.key, node.depth), more = item.length - node.depth;
  if (more < kStride) {
    insert_ref(node, count(node.children) + rank(node.values, value_bit(bits, more)), item.entry);
    node.values |= uint64_t{1} << value_bit(bits, more);
  } else if ((node.children >> bits & 1) != 0) {
    add_to_bucket(node.refs + rank(node.children, bits), item);
  } else {
    insert_child(index, item.key, new_bucket(item));
  }
}

void AllowedIps::insert_child(uint32_t index, const Key& key, uint32_t ref) {
  Node& node = nodes_[index];
  const unsigned bits = six_bits(key, node.depth);
  insert_ref(node, rank(node.children, bits), ref);
  node.children |= uint64_t{1} << bits;
}

void AllowedIps::add_to_bucket(uint32_t at, const Item& item) {
  uint32_t first = refs_[at];
  const unsigned old_count = items_[first].count;
  if (old_count == kBucket) return split(at, item);
  first = refs_[at] = items_.resize(first, old_count, old_count + 1);
  unsigned position = old_count;
  for (; position > 0 && items_[first + position - 1].length < item.length; --position) {
    items_[first + position] = items_[first + position - 1];
  }
  items_[first + position] = item;
  items_[first].count = static_cast<uint8_t>(old_count + 1);
}

// A full bucket gives way to a node at the last stride that all its items and the new one have in common.
void AllowedIps::split(uint32_t at, const Item& item) {
  std::array<Item, kBucket> old;
  std::copy_n(&items_[refs_[at]], kBucket, old.begin());
  items_.give_back(refs_[at], kBucket);
  unsigned common = item.length;
  for (const Item& each : old)
    common = common_bits(item.key, each.key, std::min<unsigned>(common, each.length));
  const uint32_t node = new_node(item.key, common / kStride * kStride);
  refs_[at] = node | kNodeBit;
  for (const Item& each : old) add_to_node(node, each);
  add_to_node(node, item);
}

uint32_t AllowedIps::find_entry(uint32_t root, const Key& key, uint8_t length) const noexcept {
  uint32_t ref = refs_[root];
  while (is_node(ref)) {
    const Node& node = nodes_[ref & ~kNodeBit];
    if (node.depth > length || !same_bits(node.key, key, node.depth)) return kNone;
    const unsigned bits = six_bits(key, node.depth), more = length - node.depth;
    if (more < kStride) {
      if ((node.values >> value_bit(bits, more) & 1) == 0) return kNone;
      return refs_[node.refs + count(node.children) + rank(node.values, value_bit(bits, more))];
    }
    if ((node.children >> bits & 1) == 0) return kNone;
    ref = refs_[node.refs + rank(node.children, bits)];
  }
  for (uint32_t i = 0; ref != kNone && i < items_[ref].count; ++i) {
    const Item& item = items_[ref + i];
    if (item.length == length && item.key == key) return item.entry;
  }
  return kNone;
}

bool AllowedIps::remove(const Prefix& prefix, PeerId peer) {
  if (!prefix.address.is_set() || prefix.length > prefix.address.bit_count()) return false;
  const Prefix masked = prefix.masked();
  const uint32_t entry = find_entry(root_of(masked.address.family), key_of(masked), masked.length);
  if (entry == kNone || entries_[entry].peer != peer) return false;
  erase(entry);
  return true;
}

// Takes a present entry out of the tree and its owner's list.
void AllowedIps::erase(uint32_t index) {
  unlink(index);
  Entry& entry = entries_[index];
  uint32_t at = root_of(entry.family), parent = kNone;
  while (is_node(refs_[at])) {
    Node& node = nodes_[refs_[at] & ~kNodeBit];
    const unsigned bits = six_bits(entry.key, node.depth), more = entry.length - node.depth;
    parent = at;
    if (more < kStride) {
      remove_ref(node, count(node.children) + rank(node.values, value_bit(bits, more)));
      node.values &= ~(uint64_t{1} << value_bit(bits, more));
      break;
    }
    at = node.refs + rank(node.children, bits);
  }
  if (!is_node(refs_[at]) && remove_from_bucket(at, index) == 0) {
    if (parent == kNone) {
      refs_[at] = kNone;
    } else {
      Node& node = nodes_[refs_[parent] & ~kNodeBit];
      remove_ref(node, at - node.refs);
      node.children &= ~(uint64_t{1} << six_bits(entry.key, node.depth));
    }
  }
  if (parent != kNone) collapse(parent);
  entry.next = free_entries_;
  free_entries_ = index;
  if (--size_ == 0) clear();
}

// Returns how many items are left; with none the bucket is gone.
unsigned AllowedIps::remove_from_bucket(uint32_t at, uint32_t entry) {
  const uint32_t first = refs_[at];
  const unsigned left = items_[first].count - 1U;
  if (left == 0) {
    items_.give_back(first, 1);
    return 0;
  }
  unsigned position = 0;
  while (items_[first + position].entry != entry) ++position;
  for (; position < left; ++position) items_[first + position] = items_[first + position + 1];
  items_[first].count = static_cast<uint8_t>(left);
  refs_[at] = items_.resize(first, left + 1, left);
  return left;
}

// A node left with one ref gives way to it.
void AllowedIps::collapse(uint32_t at) {
  const uint32_t index = refs_[at] & ~kNodeBit;
  Node& node = nodes_[index];
  if (count(node.children) + count(node.values) > 1) return;
  const uint32_t ref = refs_[node.refs];
  const bool child = node.children != 0;
  refs_.give_back(node.refs, 1);
  node.refs = free_nodes_;
  free_nodes_ = index;
  if (child) {
    refs_[at] = ref;
  } else {
    const Entry& entry = entries_[ref];
    refs_[at] = new_bucket({.key = entry.key, .entry = ref, .peer = entry.peer, .length = entry.length});
  }
}

void AllowedIps::remove_peer(PeerId peer) {
  if (peer >= peers_.size()) return;
  // clear() may take the list away with the last entry.
  for (uint32_t left = peers_[peer].count; left != 0; --left) erase(peers_[peer].first);
}

void AllowedIps::clear() {
  std::vector<Node>().swap(nodes_);
  std::vector<Entry>().swap(entries_);
  std::vector<PeerList>().swap(peers_);
  items_ = {};
  refs_ = {};
  refs_.cells.assign(2, kNone);
  free_nodes_ = free_entries_ = kNone;
  size_ = 0;
}

std::vector<Prefix> AllowedIps::prefixes(PeerId peer) const {
  std::vector<Prefix> out;
  if (peer >= peers_.size()) return out;
  out.reserve(peers_[peer].count);
  for (uint32_t i = peers_[peer].first; i != kNone; i = entries_[i].next) {
    const Entry& entry = entries_[i];
    Prefix prefix{{entry.family, {}}, entry.length};
    store_be64(prefix.address.bytes.data(), entry.key.high);
    store_be64(prefix.address.bytes.data() + 8, entry.key.low);
    out.push_back(prefix);
  }
  return out;
}

size_t AllowedIps::memory() const noexcept {
  return nodes_.capacity() * sizeof(Node) + entries_.capacity() * sizeof(Entry) + refs_.memory() +
         items_.memory() + peers_.capacity() * sizeof(PeerList);
}

void AllowedIps::link(uint32_t index, PeerId peer) {
  if (peer >= peers_.size()) peers_.resize(size_t{peer} + 1);
  PeerList& list = peers_[peer];
  Entry& entry = entries_[index];
  entry.peer = peer;
  entry.previous = list.last;
  entry.next = kNone;
  (list.last == kNone ? list.first : entries_[list.last].next) = index;
  list.last = index;
  ++list.count;
}

void AllowedIps::unlink(uint32_t index) noexcept {
  Entry& entry = entries_[index];
  PeerList& list = peers_[entry.peer];
  (entry.previous == kNone ? list.first : entries_[entry.previous].next) = entry.next;
  (entry.next == kNone ? list.last : entries_[entry.next].previous) = entry.previous;
  --list.count;
  entry.peer = kNoPeer;
}

uint32_t AllowedIps::new_entry(const Item& item, Family family) {
  uint32_t index = free_entries_;
  if (index != kNone) {
    free_entries_ = entries_[index].next;
  } else {
    index = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  }
  entries_[index] = {item.key, kNoPeer, kNone, kNone, item.length, family};
  ++size_;
  return index;
}

// A node without refs, owning a block of one.
uint32_t AllowedIps::new_node(const Key& key, unsigned depth) {
  uint32_t index = free_nodes_;
  if (index != kNone) {
    free_nodes_ = nodes_[index].refs;
  } else {
    index = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  Key masked = key;
  masked.high &= depth == 0 ? 0 : depth >= 64 ? ~uint64_t{0} : ~uint64_t{0} << (64 - depth);
  masked.low &= depth <= 64 ? 0 : ~uint64_t{0} << (128 - depth);
  nodes_[index] = {masked, 0, 0, refs_.take(1), static_cast<uint8_t>(depth)};
  return index;
}

uint32_t AllowedIps::new_bucket(const Item& item) {
  const uint32_t first = items_.take(1);
  items_[first] = item;
  items_[first].count = 1;
  return first;
}

void AllowedIps::insert_ref(Node& node, unsigned position, uint32_t ref) {
  const unsigned refs = count(node.children) + count(node.values);
  if (refs != 0) node.refs = refs_.resize(node.refs, refs, refs + 1);
  uint32_t* first = &refs_[node.refs];
  std::copy_backward(first + position, first + refs, first + refs + 1);
  first[position] = ref;
}

void AllowedIps::remove_ref(Node& node, unsigned position) {
  const unsigned refs = count(node.children) + count(node.values);
  uint32_t* first = &refs_[node.refs];
  std::copy(first + position + 1, first + refs, first + position);
  if (refs > 1) node.refs = refs_.resize(node.refs, refs, refs - 1);
}

template <typename T>
uint32_t AllowedIps::BlockPool<T>::take(unsigned count) {
  auto& freed = free[class_of(count)];
  if (!freed.empty()) {
    const uint32_t first = freed.back();
    freed.pop_back();
    return first;
  }
  const auto first = static_cast<uint32_t>(cells.size());
  cells.resize(cells.size() + (size_t{1} << class_of(count)));
  return first;
}

template <typename T>
void AllowedIps::BlockPool<T>::give_back(uint32_t first, unsigned count) {
  free[class_of(count)].push_back(first);
}

template <typename T>
uint32_t AllowedIps::BlockPool<T>::resize(uint32_t first, unsigned old_count, unsigned count) {
  if (class_of(old_count) == class_of(count)) return first;
  const uint32_t to = take(count);
  std::copy_n(cells.begin() + first, std::min(old_count, count), cells.begin() + to);
  give_back(first, old_count);
  return to;
}

template <typename T>
size_t AllowedIps::BlockPool<T>::memory() const noexcept {
  size_t out = cells.capacity() * sizeof(T);
  for (const auto& freed : free) out += freed.capacity() * sizeof(uint32_t);
  return out;
}

}  // namespace hats::wg
