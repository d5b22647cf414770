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

// A block holds the next power of two: the class of a block of `refs` refs.
unsigned class_of(unsigned refs) noexcept {
  return static_cast<unsigned>(std::bit_width(refs - 1));
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

PeerId AllowedIps::find(uint32_t root, Key key) const noexcept {
  uint32_t ref = refs_[root];
  const Node* best = nullptr;
  uint64_t best_values = 0;
  while (is_node(ref)) {
    const Node& node = nodes_[ref & ~kNodeBit];
    if (!same_bits(node.key, key, node.depth)) {
      ref = kNone;
      break;
    }
    const unsigned bits = six_bits(key, node.depth);
    if (const uint64_t values = node.values & kHolders[bits]; values != 0) {
      best = &node;
      best_values = values;
    }
    if ((node.children >> bits & 1) == 0) {
      ref = kNone;
      break;
    }
    ref = refs_[node.refs + rank(node.children, bits)];
  }
  if (ref != kNone && same_bits(entries_[ref].key, key, entries_[ref].length)) return entries_[ref].peer;
  if (best == nullptr) return kNoPeer;
  const auto longest = static_cast<unsigned>(std::bit_width(best_values)) - 1;
  return entries_[refs_[best->refs + count(best->children) + rank(best->values, longest)]].peer;
}

PeerId AllowedIps::lookup(const IpAddress& address) const noexcept {
  if (address.family == Family::v4) return lookup_v4(address.bytes.data());
  return address.family == Family::v6 ? lookup_v6(address.bytes.data()) : kNoPeer;
}

void AllowedIps::insert(const Prefix& prefix, PeerId peer) {
  if (!prefix.address.is_set() || prefix.length > prefix.address.bit_count() || peer == kNoPeer) return;
  const Prefix masked = prefix.masked();
  const uint32_t root = masked.address.family == Family::v4 ? kRootV4 : kRootV6;
  const uint32_t entry = place(root, key_of(masked), masked.length, masked.address.family);
  if (entries_[entry].peer != kNoPeer) unlink(entry);
  link(entry, peer);
}

// The entry of a prefix, made if need be (without owner then).
uint32_t AllowedIps::place(uint32_t root, const Key& key, uint8_t length, Family family) {
  uint32_t at = root;  // index in refs_ of the ref looked at
  for (;;) {
    const uint32_t ref = refs_[at];
    if (ref == kNone) {  // an empty root
      const uint32_t entry = new_entry(key, length, family);
      refs_[at] = entry;
      return entry;
    }
    if (!is_node(ref)) {
      const unsigned limit = std::min(length, entries_[ref].length);
      const unsigned common = common_bits(key, entries_[ref].key, limit);
      if (common == length && length == entries_[ref].length) return ref;
      const uint32_t entry = new_entry(key, length, family);
      join(at, key, common, ref, entry);
      return entry;
    }
    const uint32_t index = ref & ~kNodeBit;
    const Node& node = nodes_[index];
    const unsigned common = common_bits(key, node.key, std::min<unsigned>(length, node.depth));
    if (common < node.depth) {
      const uint32_t entry = new_entry(key, length, family);
      join(at, key, common, ref, entry);
      return entry;
    }
    const unsigned bits = six_bits(key, node.depth);
    if (length < node.depth + kStride) {
      const unsigned value = 1U << (length - node.depth) | bits >> (kStride - (length - node.depth));
      if ((node.values >> value & 1) != 0) {
        return refs_[node.refs + count(node.children) + rank(node.values, value)];
      }
    } else if ((node.children >> bits & 1) != 0) {
      at = node.refs + rank(node.children, bits);
      continue;
    }
    const uint32_t entry = new_entry(key, length, family);
    add_to_node(index, entry);
    return entry;
  }
}

// Puts a node in place of `old_ref` that holds it and the new entry; they part after `common` bits.
void AllowedIps::join(uint32_t place, const Key& key, unsigned common, uint32_t old_ref, uint32_t new_entry) {
  const uint32_t node = new_node(key, common / kStride * kStride);
  refs_[place] = node | kNodeBit;
  add_to_node(node, old_ref);
  add_to_node(node, new_entry);
}

// Adds a ref, to a node or an entry that lies under this node, at the place that its key says.
void AllowedIps::add_to_node(uint32_t index, uint32_t ref) {
  Node& node = nodes_[index];
  const Key& key = is_node(ref) ? nodes_[ref & ~kNodeBit].key : entries_[ref].key;
  const unsigned length = is_node(ref) ? nodes_[ref & ~kNodeBit].depth : entries_[ref].length;
  const unsigned bits = six_bits(key, node.depth);
  if (length >= node.depth + kStride) {
    insert_ref(index, rank(node.children, bits), ref);
    node.children |= uint64_t{1} << bits;
  } else {
    const unsigned value = 1U << (length - node.depth) | bits >> (kStride - (length - node.depth));
    insert_ref(index, count(node.children) + rank(node.values, value), ref);
    node.values |= uint64_t{1} << value;
  }
}

bool AllowedIps::remove(const Prefix& prefix, PeerId peer) {
  if (!prefix.address.is_set() || prefix.length > prefix.address.bit_count()) return false;
  const Prefix masked = prefix.masked();
  const Key key = key_of(masked);
  uint32_t ref = refs_[masked.address.family == Family::v4 ? kRootV4 : kRootV6];
  while (is_node(ref)) {
    const Node& node = nodes_[ref & ~kNodeBit];
    if (node.depth > masked.length || !same_bits(node.key, key, node.depth)) return false;
    const unsigned bits = six_bits(key, node.depth);
    const unsigned more = masked.length - node.depth;
    if (more < kStride) {
      const unsigned value = 1U << more | bits >> (kStride - more);
      if ((node.values >> value & 1) == 0) return false;
      ref = refs_[node.refs + count(node.children) + rank(node.values, value)];
    } else {
      if ((node.children >> bits & 1) == 0) return false;
      ref = refs_[node.refs + rank(node.children, bits)];
    }
  }
  if (ref == kNone) return false;
  const Entry& entry = entries_[ref];
  if (entry.peer != peer || entry.length != masked.length || entry.key != key) return false;
  erase(ref);
  return true;
}

// Takes a present entry out of the tree and its owner's list. A node left with one ref gives way to it.
void AllowedIps::erase(uint32_t index) {
  unlink(index);
  Entry& entry = entries_[index];
  uint32_t at = entry.family == Family::v4 ? kRootV4 : kRootV6;
  if (refs_[at] == index) {
    refs_[at] = kNone;
  } else {
    for (;;) {
      const uint32_t node_index = refs_[at] & ~kNodeBit;
      Node& node = nodes_[node_index];
      const unsigned bits = six_bits(entry.key, node.depth);
      const unsigned more = entry.length - node.depth;
      if (more >= kStride) {
        const unsigned position = rank(node.children, bits);
        if (refs_[node.refs + position] != index) {
          at = node.refs + position;
          continue;
        }
        remove_ref(node_index, position);
        node.children &= ~(uint64_t{1} << bits);
      } else {
        const unsigned value = 1U << more | bits >> (kStride - more);
        remove_ref(node_index, count(node.children) + rank(node.values, value));
        node.values &= ~(uint64_t{1} << value);
      }
      if (count(node.children) + count(node.values) == 1) {
        refs_[at] = refs_[node.refs];
        free_block(node.refs, 0);
        node.refs = free_nodes_;
        free_nodes_ = node_index;
      }
      break;
    }
  }
  entry.next = free_entries_;
  free_entries_ = index;
  if (--size_ == 0) clear();
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
  std::vector<uint32_t>(2, kNone).swap(refs_);
  free_nodes_ = free_entries_ = kNone;
  free_blocks_.fill(kNone);
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
  return nodes_.capacity() * sizeof(Node) + entries_.capacity() * sizeof(Entry) +
         refs_.capacity() * sizeof(uint32_t) + peers_.capacity() * sizeof(PeerList);
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

uint32_t AllowedIps::new_entry(const Key& key, uint8_t length, Family family) {
  uint32_t index = free_entries_;
  if (index != kNone) {
    free_entries_ = entries_[index].next;
  } else {
    index = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  }
  entries_[index] = {key, kNoPeer, kNone, kNone, length, family};
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
  nodes_[index] = {masked, 0, 0, take_block(0), static_cast<uint8_t>(depth)};
  return index;
}

uint32_t AllowedIps::take_block(unsigned size_class) {
  uint32_t first = free_blocks_[size_class];
  if (first != kNone) {
    free_blocks_[size_class] = refs_[first];
    return first;
  }
  first = static_cast<uint32_t>(refs_.size());
  refs_.resize(refs_.size() + (size_t{1} << size_class), kNone);
  return first;
}

void AllowedIps::free_block(uint32_t first, unsigned size_class) noexcept {
  refs_[first] = free_blocks_[size_class];
  free_blocks_[size_class] = first;
}

// Moves the node's refs to a block of another size if the new count asks for one.
void AllowedIps::resize_block(Node& node, unsigned old_count, unsigned new_count) {
  const unsigned old_class = class_of(std::max(old_count, 1U));
  const unsigned new_class = class_of(std::max(new_count, 1U));
  if (old_class == new_class) return;
  const uint32_t first = take_block(new_class);
  std::copy_n(refs_.begin() + node.refs, std::min(old_count, new_count), refs_.begin() + first);
  free_block(node.refs, old_class);
  node.refs = first;
}

void AllowedIps::insert_ref(uint32_t index, unsigned position, uint32_t ref) {
  Node& node = nodes_[index];
  const unsigned refs = count(node.children) + count(node.values);
  resize_block(node, refs, refs + 1);
  const auto first = refs_.begin() + node.refs;
  std::copy_backward(first + position, first + refs, first + refs + 1);
  first[position] = ref;
}

void AllowedIps::remove_ref(uint32_t index, unsigned position) {
  Node& node = nodes_[index];
  const unsigned refs = count(node.children) + count(node.values);
  const auto first = refs_.begin() + node.refs;
  std::copy(first + position + 1, first + refs, first + position);
  resize_block(node, refs, refs - 1);
}

}  // namespace hats::wg
