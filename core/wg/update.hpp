// A change to a WireGuard device as a value. The configuration file, the UAPI text and `reload` all end here,
// and the device applies it between batches (peers.md 4, "set").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/address.hpp"
#include "crypto/keys.hpp"

namespace hats::wg {

struct AllowedIpChange {
  Prefix prefix;  // host bits are masked when applied
  bool remove =
      false;  // "-a/len": removes it only if this peer owns it; else adds, moving it from another peer
};

struct PeerUpdate {
  crypto::PublicKey public_key;
  bool remove = false;
  bool update_only = false;  // do nothing if there is no such peer
  bool replace_allowed_ips = false;
  std::optional<crypto::PresharedKey> preshared_key;  // all zeros: none
  std::optional<Endpoint> endpoint;
  std::optional<uint16_t> persistent_keepalive_s;  // 0: off
  std::vector<AllowedIpChange> allowed_ips;        // in order
};

struct DeviceUpdate {
  std::optional<crypto::PrivateKey> private_key;  // all zeros: remove
  std::optional<uint16_t> listen_port;            // 0: any; carried out by whoever owns the sockets
  std::optional<uint32_t> fwmark;                 // 0: off; likewise
  bool replace_peers = false;                     // before the peers below
  std::vector<PeerUpdate> peers;                  // in order; the same key may come again
};

/// What `get=1` and `show` tell, copied out of the device on its own thread, formatted elsewhere.
struct PeerSnapshot {
  crypto::PublicKey public_key;
  crypto::PresharedKey preshared_key;
  Endpoint endpoint;
  int64_t last_handshake_s = 0;  // wall clock; 0: never
  uint32_t last_handshake_ns = 0;
  uint64_t tx_bytes = 0;  // UDP payload bytes as the kernel counts them
  uint64_t rx_bytes = 0;
  uint64_t tx_fragmented = 0;   // datagrams that were larger than the path, and left in fragments
  uint64_t ecn_suspicious = 0;  // packets received with ECN marks that no conforming path makes
  uint16_t persistent_keepalive_s = 0;
  std::vector<Prefix> allowed_ips;
};
struct DeviceSnapshot {
  std::optional<crypto::PrivateKey> private_key;
  crypto::PublicKey public_key;
  uint16_t listen_port = 0;
  uint32_t fwmark = 0;
  std::vector<PeerSnapshot> peers;
};

}  // namespace hats::wg
