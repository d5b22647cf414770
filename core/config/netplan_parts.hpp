// The parts of a netplan tunnel that have a list of their own: routes, addresses, WireGuard's peers.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/netplan.hpp"
#include "core/config/netplan_values.hpp"

namespace hats::config::netplan {

/// An entry of `routes:` (formats.md 3.2). Refused: what netplan refuses, and what a route of ours cannot
/// have (type nat or xresolve, congestion-window, advertised-receive-window).
[[nodiscard]] ConfigResult<InterfaceRoute> read_route(Context& context, const Entry& entry);
/// gateway4 (`family` v4) or gateway6: a default route, with the warning that the key is deprecated.
[[nodiscard]] ConfigResult<InterfaceRoute> read_gateway(Context& context, const Entry& entry, Family family);

/// An item of `addresses:`. `with_options`: it is the form {"a/len": {...}}, which netplan puts after the
/// plain ones.
struct AddressItem {
  InterfaceAddress address;
  bool with_options = false;
};
[[nodiscard]] ConfigResult<AddressItem> read_address_item(Context& context, const Entry& entry);

/// 32 bytes of base64, or what the file named here holds: its text is a path if it begins with '/' and is no
/// key. A file that the context does not have leaves `out` as it is and is noted there.
[[nodiscard]] Done read_key(Context& context, const Entry& entry, std::span<uint8_t, crypto::kKeySize> out);

/// An item of `peers:`.
[[nodiscard]] ConfigResult<WgPeer> read_peer(Context& context, const Entry& entry);
/// Puts the peers, which are in the order of the files, in the order in which networkd hands them to the
/// kernel: last to first, so that a prefix of two peers ends with the first of them. Warns of such. `where`:
/// the item of each peer.
void settle_peers(Context& context, std::vector<WgPeer>& peers, const std::vector<Value>& where);

}  // namespace hats::config::netplan
