// Device: one WireGuard interface as a sans-I/O state machine (WG 2..6; reference: formats.md 6). It owns
// peers, the AllowedIPs trie, the index table, cookies and timers. One owner thread; not thread-safe; the
// static work functions alone may run elsewhere.
//
// Contract of use: after every input (plan_* and commit_*, handle_timeout, apply, set_up), drain the outputs:
// process_handshakes while has_handshakes() (it also makes the initiations that timers and packets have asked
// for, since X25519 is its budget), poll_datagram until empty, plan_pending until it returns false, poll_icmp
// until empty. What is put off for fairness is not lost: has_handshakes() and has_pending() say that there is
// a backlog. next_deadline() is exact after that. Early, late and repeated handle_timeout calls are safe.
// A new device is down, and has no key and no peers.
//
// Several batches of a direction may be planned before the first is committed. Packets are numbered when they
// are planned, so batches must be committed and sent, or delivered, in the order in which they were planned.
// What happens between is heeded at the commit: of a peer that was removed, of keys that were erased, and of
// an interface that went down, nothing is counted, sent or delivered any more; a batch under a keypair that a
// newer one has replaced still counts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/time.hpp"
#include "core/packet/icmp.hpp"
#include "core/packet/piece.hpp"
#include "core/wg/batch.hpp"
#include "core/wg/drop_reason.hpp"
#include "core/wg/update.hpp"
#include "crypto/aead.hpp"
#include "crypto/rng.hpp"

namespace hats::wg {

/// A handshake message or cookie reply to send; at most 148 bytes.
struct ControlDatagram {
  std::array<uint8_t, 148> bytes;
  uint8_t size = 0;
  uint8_t ds = 0;         // 0x88 (AF41) for initiation and response, 0 for a cookie reply (formats.md 6.6)
  PeerId peer = kNoPeer;  // kNoPeer for cookie replies
  Endpoint to;
  LocalSource from;
};

/// Owed to the sender of an inner packet that had no way out (no peer, no endpoint): ICMPv4 3/1 or ICMPv6
/// 1/3.
using packet::IcmpError;

/// Where a peer stands, for `show` and for the resolver (which looks a name up again when handshakes fail).
struct PeerStatus {
  crypto::PublicKey public_key;
  Endpoint endpoint;
  LocalSource source;
  bool handshake_failing = false;  // at least kAttemptsBeforeResolve initiations in a row unanswered
  uint32_t attempts = 0;           // unanswered initiations in a row
};

class Device {
 public:
  /// `rng` must outlive the device. mtu: of the interface, for the padding clamp.
  Device(crypto::Rng& rng, uint32_t mtu);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // ---- Configuration (control plane, between batches) ----
  /// Applies keys and peers; listen_port and fwmark are only remembered for snapshot().
  void apply(Now now, const DeviceUpdate& update);
  [[nodiscard]] DeviceSnapshot snapshot() const;
  [[nodiscard]] std::vector<PeerStatus> peer_status() const;
  void set_mtu(uint32_t mtu) noexcept;
  /// Interface up or down. Down erases all keys and staged packets and stops timers; up sends persistent
  /// keepalives.
  void set_up(Now now, bool up);
  void set_listen_port(uint16_t port) noexcept;  // the port really bound
  void set_fwmark(uint32_t mark) noexcept;
  /// Forgets the sticky source of a peer, because its address vanished or the route leaves another interface.
  void forget_source(PeerId peer) noexcept;
  void forget_source(const crypto::PublicKey& peer) noexcept;
  /// What the path to `endpoint` carries, in bytes of an outer packet; 0: not known. Larger datagrams to it
  /// are sent all the same, for the host to fragment, and counted, until the peer is elsewhere (formats.md
  /// 7).
  void set_path_mtu(const crypto::PublicKey& peer, const Endpoint& endpoint, uint32_t mtu) noexcept;
  /// The host refused datagrams that were counted as sent to a peer: `bytes` of UDP payload. They are taken
  /// off again, since the kernel counts what left.
  void send_failed(PeerId peer, uint64_t bytes) noexcept;

  // ---- Out: inner IP packets to datagrams ----
  /// Looks up peers, numbers packets, lays out datagrams. Returns how many of `pieces` were taken (sent,
  /// staged or dropped); fewer than all only if the lent slabs are full. Pieces of different peers may be
  /// mixed.
  size_t plan_outbound(Now now, std::span<const packet::Piece> pieces, OutboundBatch& batch);
  /// Plans staged packets whose peer has a session now, and keepalives that are due. Returns true if there is
  /// more to plan after this batch.
  bool plan_pending(Now now, OutboundBatch& batch);
  [[nodiscard]] bool has_pending() const noexcept;
  /// Seals. Pure; any thread.
  static void work(OutboundBatch& batch, crypto::Aead& aead) noexcept;
  /// Counts and starts timers. After it, batch.runs may be sent, in order; what is not to be sent any more
  /// has left them.
  void commit_outbound(Now now, OutboundBatch& batch) noexcept;

  // ---- In: datagrams to inner IP packets ----
  /// Cuts receives into datagrams. Handshake messages are queued, bounded (process_handshakes); data becomes
  /// jobs.
  void plan_inbound(Now now, std::span<const Received> received, InboundBatch& batch) noexcept;
  static void work(InboundBatch& batch, crypto::Aead& aead) noexcept;
  /// In order: replay check, keypair promotion, endpoint, timers, ECN, AllowedIPs. Appends deliverable
  /// packets to `out`.
  void commit_inbound(Now now, InboundBatch& batch, std::vector<InnerPacket>& out) noexcept;

  // ---- Handshakes, outputs, time ----
  [[nodiscard]] bool has_handshakes() const noexcept;
  /// Consumes queued handshake messages and makes initiations that are due, by turns, at most `max` of both.
  /// The caller bounds the time it gives to them: each costs some 100 us. What needs no X25519 (an answer by
  /// a cookie, a message over the rate limit) counts 1/kCheapPerHandshake of one.
  void process_handshakes(Now now, size_t max);
  [[nodiscard]] bool poll_datagram(ControlDatagram& out) noexcept;
  [[nodiscard]] bool poll_icmp(IcmpError& out);
  void handle_timeout(Now now);
  [[nodiscard]] std::optional<BootTime> next_deadline() const noexcept;

  // ---- Counters ----
  [[nodiscard]] const DropCounters& drops() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hats::wg
