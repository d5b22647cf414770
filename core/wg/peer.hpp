// One peer: its identity, sessions, timers and staged packets (WG 2, 5, 6). Plain state; the rules are in the
// files device_*.cpp. Owned by its device; its address does not change.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/address.hpp"
#include "core/base/deadline_heap.hpp"
#include "core/base/time.hpp"
#include "core/wg/batch.hpp"
#include "core/wg/cookie.hpp"
#include "core/wg/handshake.hpp"
#include "core/wg/keypair.hpp"
#include "core/wg/staging.hpp"
#include "core/wg/timers.hpp"

namespace hats::wg {

struct Peer {
  Peer(PeerId slot, uint64_t number, const crypto::PublicKey& key) : id(slot), serial(number), cookies(key) {
    remote.public_key = key;
  }

  const PeerId id;
  const uint64_t serial;  // never used twice, and the order of creation

  // Identity and path.
  RemoteIdentity remote;
  bool precomputed = false;  // remote.static_static is that of our present private key
  Endpoint endpoint;         // WG 2.1: roams with authenticated messages
  LocalSource source;
  Endpoint measured;      // the endpoint to which path_mtu belongs
  uint32_t path_mtu = 0;  // bytes of an outer packet; 0: not known

  // Handshake.
  std::optional<PendingInitiation> initiation;       // state "initiation sent"
  Tai64n latest_timestamp;                           // greatest ever received, across handshakes
  std::optional<BootTime> last_initiation_received;  // for kMinInitiationInterval
  std::optional<BootTime> last_handshake_sent;       // initiation or response; at most one initiation per 5 s
  uint32_t attempts = 0;    // retries since an initiation was last asked for by something else than the timer
  uint32_t unanswered = 0;  // initiations in a row that nothing has answered
  bool rekeyed_at_receive = false;  // WG 6.2: once a session
  CookieGenerator cookies;

  // Sessions.
  Keypairs keypairs;
  Timers timers;
  DeadlineSlot deadline_slot;
  [[nodiscard]] BootTime deadline() const noexcept { return timers.next(); }

  // Out.
  Staging::Queue staged;
  bool keepalive_owed = false;     // an empty packet waits with, or in place of, the staged ones
  bool in_pending = false;         // in the device's list of peers to be planned by plan_pending
  bool initiation_queued = false;  // in the device's list of initiations to be made
  uint32_t group = 0;              // scratch of plan_outbound
  uint64_t group_epoch = 0;

  // Counters as the kernel's (formats.md 6, peers.md 4).
  uint64_t tx_bytes = 0, rx_bytes = 0;
  uint64_t tx_fragmented = 0;   // data datagrams larger than the path (formats.md 7)
  uint64_t ecn_suspicious = 0;  // received, with marks that no conforming path makes (RFC 6040 4.2)
  WallTime last_handshake;      // {0, 0}: never
};

}  // namespace hats::wg
