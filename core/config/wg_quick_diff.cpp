#include "core/config/wg_quick_diff.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "crypto/x25519.hpp"

namespace hats::config {
namespace {

/// A peer as the device has it once a file is applied: sections of one key merged, prefixes with their last
/// owner.
struct EffectivePeer {
  const crypto::PresharedKey* preshared_key = nullptr;
  const EndpointText* endpoint = nullptr;
  uint16_t keepalive_s = 0;
  std::vector<Prefix> allowed_ips;  // sorted
};

struct EffectivePeers {
  std::map<crypto::PublicKey, EffectivePeer> by_key;
  std::vector<crypto::PublicKey> order;  // of first appearance
};

EffectivePeers effective_peers(const InterfaceConfig& config) {
  EffectivePeers out;
  std::map<Prefix, crypto::PublicKey> owners;
  std::optional<crypto::PublicKey> own;
  if (config.private_key) own = crypto::public_key_of(*config.private_key);
  for (const WgPeer& peer : config.peers) {
    if (own == peer.public_key) continue;  // the device leaves it out, as the kernel does
    const auto [place, fresh] = out.by_key.try_emplace(peer.public_key);
    if (fresh) out.order.push_back(peer.public_key);
    EffectivePeer& merged = place->second;
    if (peer.preshared_key) merged.preshared_key = &*peer.preshared_key;
    if (peer.endpoint) merged.endpoint = &*peer.endpoint;
    if (peer.persistent_keepalive_s) merged.keepalive_s = *peer.persistent_keepalive_s;
    if (!fresh && peer.replace_allowed_ips) {
      std::erase_if(owners, [&](const auto& entry) { return entry.second == peer.public_key; });
    }
    for (const wg::AllowedIpChange& change : peer.allowed_ips) {
      const Prefix prefix = change.prefix.masked();
      if (!change.remove) {
        owners[prefix] = peer.public_key;
      } else if (const auto owned = owners.find(prefix);
                 owned != owners.end() && owned->second == peer.public_key) {
        owners.erase(owned);
      }
    }
  }
  for (const auto& [prefix, key] : owners) out.by_key.at(key).allowed_ips.push_back(prefix);
  return out;
}

crypto::PresharedKey preshared_key_of(const EffectivePeer& peer) {
  return peer.preshared_key != nullptr ? peer.preshared_key->copy() : crypto::PresharedKey{};
}

bool same_endpoint(const EndpointText* a, const EndpointText* b) {
  return a != nullptr && b != nullptr && a->host == b->host && a->port == b->port;
}

void set_endpoint(ConfigChanges& out, wg::PeerUpdate& update, const EndpointText& endpoint) {
  update.endpoint = endpoint.numeric();
  if (!update.endpoint) out.names.push_back({update.public_key, endpoint});
}

void add_peer(ConfigChanges& out, const crypto::PublicKey& key, const EffectivePeer& peer) {
  wg::PeerUpdate update;
  update.public_key = key;
  update.replace_allowed_ips = true;
  if (peer.preshared_key != nullptr) update.preshared_key = peer.preshared_key->copy();
  if (peer.endpoint != nullptr) set_endpoint(out, update, *peer.endpoint);
  if (peer.keepalive_s != 0) update.persistent_keepalive_s = peer.keepalive_s;
  for (const Prefix& prefix : peer.allowed_ips) update.allowed_ips.push_back({prefix});
  out.device.peers.push_back(std::move(update));
}

void change_peer(ConfigChanges& out, const crypto::PublicKey& key, const EffectivePeer& before,
                 const EffectivePeer& after) {
  wg::PeerUpdate update;
  update.public_key = key;
  bool changed = false;
  crypto::PresharedKey preshared_key = preshared_key_of(after);
  if (!preshared_key.equals(preshared_key_of(before))) {
    update.preshared_key = std::move(preshared_key);
    changed = true;
  }
  if (after.endpoint != nullptr && !same_endpoint(before.endpoint, after.endpoint)) {
    set_endpoint(out, update, *after.endpoint);
    changed = changed || update.endpoint.has_value();
  }
  if (after.keepalive_s != before.keepalive_s) {
    update.persistent_keepalive_s = after.keepalive_s;
    changed = true;
  }
  if (after.allowed_ips != before.allowed_ips) {
    update.replace_allowed_ips = true;
    for (const Prefix& prefix : after.allowed_ips) update.allowed_ips.push_back({prefix});
    changed = true;
  }
  if (changed) out.device.peers.push_back(std::move(update));
}

void diff_peers(ConfigChanges& out, const EffectivePeers& before, const EffectivePeers& after) {
  for (const crypto::PublicKey& key : before.order) {
    if (after.by_key.contains(key)) continue;
    wg::PeerUpdate& update = out.device.peers.emplace_back();
    update.public_key = key;
    update.remove = true;
  }
  for (const crypto::PublicKey& key : after.order) {
    const auto known = before.by_key.find(key);
    if (known == before.by_key.end()) {
      add_peer(out, key, after.by_key.at(key));
    } else {
      change_peer(out, key, known->second, after.by_key.at(key));
    }
  }
}

void diff_interface(ConfigChanges& out, const InterfaceConfig& before, const InterfaceConfig& after) {
  const bool same_key = before.private_key.has_value() == after.private_key.has_value() &&
                        (!before.private_key || before.private_key->equals(*after.private_key));
  if (!same_key)
    out.device.private_key = after.private_key ? after.private_key->copy() : crypto::PrivateKey{};
  if (after.listen_port != before.listen_port || after.listen_service != before.listen_service) {
    if (after.listen_service.empty()) {
      out.device.listen_port = after.listen_port.value_or(0);
    } else {
      out.listen_service = after.listen_service;
    }
  }
  if (after.fwmark.value_or(0) != before.fwmark.value_or(0)) out.device.fwmark = after.fwmark.value_or(0);
}

std::vector<Prefix> addresses_beyond(const InterfaceConfig& config, const InterfaceConfig& other) {
  std::vector<Prefix> out;
  for (const InterfaceAddress& address : config.addresses) {
    const auto same = [&](const InterfaceAddress& known) { return known.prefix == address.prefix; };
    if (std::ranges::none_of(other.addresses, same) && std::ranges::find(out, address.prefix) == out.end()) {
      out.push_back(address.prefix);
    }
  }
  return out;
}

std::set<Prefix> routes_of(const InterfaceConfig& config, const EffectivePeers& peers) {
  std::set<Prefix> out;
  if (config.table.kind == RouteTable::Kind::off) return out;
  for (const auto& [key, peer] : peers.by_key) out.insert(peer.allowed_ips.begin(), peer.allowed_ips.end());
  return out;
}

bool same_hooks(const std::vector<Hook>& a, const std::vector<Hook>& b) {
  return std::ranges::equal(a, b, {}, &Hook::command, &Hook::command);
}

void diff_routes(HostChanges& out, const std::set<Prefix>& before, const std::set<Prefix>& after) {
  if (out.routing_changed) {
    out.routes_removed.assign(before.begin(), before.end());
    out.routes_added.assign(after.begin(), after.end());
    return;
  }
  std::ranges::set_difference(before, after, std::back_inserter(out.routes_removed));
  std::ranges::set_difference(after, before, std::back_inserter(out.routes_added));
}

}  // namespace

bool HostChanges::is_empty() const {
  return addresses_added.empty() && addresses_removed.empty() && !mtu_changed && !dns_changed &&
         !routing_changed && routes_added.empty() && routes_removed.empty() && !hooks_changed;
}

ConfigChanges diff(const InterfaceConfig& old_config, const InterfaceConfig& new_config) {
  ConfigChanges out;
  const EffectivePeers before = effective_peers(old_config);
  const EffectivePeers after = effective_peers(new_config);
  diff_interface(out, old_config, new_config);
  diff_peers(out, before, after);
  HostChanges& host = out.host;
  host.addresses_added = addresses_beyond(new_config, old_config);
  host.addresses_removed = addresses_beyond(old_config, new_config);
  host.mtu_changed = old_config.mtu != new_config.mtu;
  host.dns_changed =
      old_config.dns_servers != new_config.dns_servers || old_config.dns_search != new_config.dns_search;
  host.routing_changed = old_config.table.kind != new_config.table.kind ||
                         old_config.table.table != new_config.table.table ||
                         old_config.fwmark.value_or(0) != new_config.fwmark.value_or(0);
  diff_routes(host, routes_of(old_config, before), routes_of(new_config, after));
  host.hooks_changed = !same_hooks(old_config.pre_up, new_config.pre_up) ||
                       !same_hooks(old_config.post_up, new_config.post_up) ||
                       !same_hooks(old_config.pre_down, new_config.pre_down) ||
                       !same_hooks(old_config.post_down, new_config.post_down);
  return out;
}

}  // namespace hats::config
