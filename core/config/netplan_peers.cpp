// `key:` and `peers:` of a netplan tunnel of mode wireguard.
#include <algorithm>
#include <map>
#include <set>

#include "core/config/netplan_parts.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

/// A peer while it is read.
struct PeerText {
  WgPeer peer;
  bool has_key = false;
  std::set<Prefix> allowed;
};

constexpr auto kPeerKeyKeys = std::to_array<MapKey<PeerText>>({
    {"public",
     [](Context&, const Entry& e, PeerText& p) -> Done {
       const auto text = read_text(e);
       if (!text) return std::unexpected(text.error());
       if (const auto done = parse_key(*text, p.peer.public_key.bytes); !done) return fail(e, done.error());
       p.has_key = true;
       return {};
     }},
    {"shared",
     [](Context& c, const Entry& e, PeerText& p) -> Done {
       crypto::PresharedKey key;
       if (auto done = read_key(c, e, key.span()); !done) return done;
       p.peer.preshared_key = std::move(key);
       return {};
     }},
});

Done read_endpoint(Context& context, const Entry& entry, PeerText& peer) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) {
    context.warn(entry, "the value is empty; the peer has no endpoint");
    peer.peer.endpoint.reset();
    return {};
  }
  auto endpoint = parse_endpoint(*text);
  if (!endpoint) return fail(entry, endpoint.error());
  endpoint->line = entry.value.line();
  peer.peer.endpoint = std::move(*endpoint);
  return {};
}

constexpr auto kPeerKeys = std::to_array<MapKey<PeerText>>({
    {"keys", [](Context& c, const Entry& e,
                PeerText& p) { return read_mapping(c, e.value, e.key, "a peer's keys", kPeerKeyKeys, p); }},
    {"endpoint", read_endpoint},
    {"keepalive",
     [](Context& c, const Entry& e, PeerText& p) -> Done {
       const auto seconds = read_number(c, e, 65'535);
       if (!seconds) return std::unexpected(seconds.error());
       p.peer.persistent_keepalive_s = static_cast<uint16_t>(*seconds);
       return {};
     }},
    {"allowed-ips",
     [](Context& c, const Entry& e, PeerText& p) {
       return each_item(c, e, [&](const Entry& item) -> Done {
         const auto text = read_text(item);
         if (!text) return std::unexpected(text.error());
         const auto prefix = read_prefix(item, *text, true);
         if (!prefix) return std::unexpected(prefix.error());
         const Prefix masked = prefix->masked();
         if (masked != *prefix) c.warn(item, quoted(*text) + " has host bits; taken as " + masked.text());
         if (p.allowed.insert(masked).second) p.peer.allowed_ips.push_back({masked});
         return {};
       });
     }},
});

}  // namespace

Done read_key(Context& context, const Entry& entry, std::span<uint8_t, crypto::kKeySize> out) {
  const auto text = read_text(entry, true);
  if (!text) return std::unexpected(text.error());
  // A key may begin with '/' as well.
  const auto key = parse_key(*text, out);
  if (key) return {};
  if (!text->starts_with('/')) return fail(entry, key.error());
  const SourceText* file = context.key_file(entry, *text);
  if (file == nullptr) return {};
  if (const auto done = parse_key(trim(file->text), out); !done) {
    return fail(entry, "the file " + quoted(*text) + ": " + done.error());
  }
  return {};
}

ConfigResult<WgPeer> read_peer(Context& context, const Entry& entry) {
  PeerText peer;
  peer.peer.line = entry.value.line();
  const size_t before = context.faults().count();
  if (auto done = read_mapping(context, entry.value, entry.key, "a peer", kPeerKeys, peer); !done) {
    return std::unexpected(done.error());
  }
  if (!peer.has_key && context.faults().count() == before)
    return fail(entry, "a peer needs keys: {public: KEY}");
  return std::move(peer.peer);
}

void settle_peers(Context& context, std::vector<WgPeer>& peers, const std::vector<Value>& where) {
  std::map<crypto::PublicKey, int> keys;
  std::map<Prefix, crypto::PublicKey> owners;
  for (size_t i = 0; i < peers.size(); ++i) {
    const WgPeer& peer = peers[i];
    const auto [seen, fresh] = keys.emplace(peer.public_key, peer.line);
    if (!fresh) {
      context.warn(where[i], "public",
                   "the same key is in the peer of line " + std::to_string(seen->second) +
                       " already; the allowed-ips of that one count");
    }
    for (const wg::AllowedIpChange& entry : peer.allowed_ips) {
      const auto [owner, first] = owners.emplace(entry.prefix, peer.public_key);
      if (first || owner->second == peer.public_key) continue;
      context.warn(where[i], "allowed-ips",
                   entry.prefix.text() + " is given to two peers; the earlier one has it");
    }
    if (peer.allowed_ips.empty()) {
      context.warn(where[i], "allowed-ips", "the peer has none; nothing is sent to it or taken from it");
    }
  }
  std::ranges::reverse(peers);
}

}  // namespace hats::config::netplan
