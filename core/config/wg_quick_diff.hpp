// What `reload` has to do: from the file as it was applied to the file as it is now (peers.md 4, syncconf). A
// peer that did not change is not in the update at all, so its session and the address it roamed to stay.
#pragma once

#include <string>
#include <vector>

#include "core/config/wg_quick.hpp"
#include "core/wg/update.hpp"

namespace hats::config {

/// The host's side, for the owner of the interface's addresses and routes.
struct HostChanges {
  std::vector<Prefix> addresses_added;    // in the new file's order
  std::vector<Prefix> addresses_removed;  // in the old file's order
  bool mtu_changed = false;               // the new value, or none, is in the new config
  bool dns_changed = false;
  /// Table or FwMark: every route below moves, and the rules of a default route are made anew.
  bool routing_changed = false;
  /// Prefixes that Table routes into the interface, sorted; nothing under Table = off.
  std::vector<Prefix> routes_added;
  std::vector<Prefix> routes_removed;
  /// Hooks are not run by a reload; the new PreDown and PostDown count from now on.
  bool hooks_changed = false;
  [[nodiscard]] bool is_empty() const;
};

/// A peer whose endpoint must be looked up, because its name is new.
struct NamedEndpoint {
  crypto::PublicKey public_key;
  EndpointText endpoint;
};

struct ConfigChanges {
  /// Keys, port, mark and peers: removals first, then changes and new peers in the file's order. What is gone
  /// from the file goes back to its default (no key, port 0, mark 0, no preshared key, keepalive off); an
  /// endpoint stays, since the peer may have roamed.
  wg::DeviceUpdate device;
  std::string listen_service;  // not empty: ListenPort is this service's, and not in `device`
  std::vector<NamedEndpoint> names;
  HostChanges host;
};

/// Holds copies of the keys that change.
[[nodiscard]] ConfigChanges diff(const InterfaceConfig& old_config, const InterfaceConfig& new_config);

}  // namespace hats::config
