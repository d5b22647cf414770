// The inside of Device. Its functions are grouped by what comes in: device_config.cpp (updates, up and down),
// device_outbound.cpp, device_inbound.cpp (batches), device_handshake.cpp (messages 1 to 3),
// device_timers.cpp, device_icmp.cpp. Private to core/wg.
#pragma once

#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/base/deadline_heap.hpp"
#include "core/base/fifo.hpp"
#include "core/packet/icmp_limit.hpp"
#include "core/wg/allowed_ips.hpp"
#include "core/wg/constants.hpp"
#include "core/wg/cookie.hpp"
#include "core/wg/device.hpp"
#include "core/wg/handshake_queue.hpp"
#include "core/wg/index_table.hpp"
#include "core/wg/peer.hpp"
#include "core/wg/rate_limiter.hpp"
#include "core/wg/staging.hpp"
#include "core/wg/token_bucket.hpp"

namespace hats::wg {

class RunWriter;

struct Device::Impl {
  Impl(crypto::Rng& random, uint32_t interface_mtu)
      : rng(random), mtu(interface_mtu), indices(random), limiter(random), unproven(random) {}

  // ---- peers (device_config.cpp) ----
  [[nodiscard]] Peer* find(PeerId id) const noexcept { return id < peers.size() ? peers[id].get() : nullptr; }
  /// The peer whose session this is, or nullptr if the peer or its keys are gone since.
  [[nodiscard]] Peer* owner_of(const Keypair& keypair) const noexcept {
    Peer* peer = find(keypair.identity().peer);
    const bool alive = peer && peer->serial == keypair.identity().peer_serial && !keypair.erased();
    return alive ? peer : nullptr;
  }
  [[nodiscard]] Peer* find(const crypto::PublicKey& key) const noexcept;
  Peer& create_peer(const crypto::PublicKey& key);
  void remove_peer(Peer& peer);
  void set_private_key(Now now, const crypto::PrivateKey& key);
  void apply_peer(Now now, const PeerUpdate& update);
  void forget_sessions(Peer& peer) noexcept;
  void forget_initiation(Peer& peer) noexcept;
  void drop_indices(const RetiredKeypairs& retired) noexcept;
  void precompute(Peer& peer) noexcept;
  /// After anything that may have moved a timer of the peer.
  void timers_changed(Peer& peer) { deadlines.update(peer); }

  // ---- sending (device_outbound.cpp) ----
  struct Route {
    Peer* peer = nullptr;
    uint32_t next = 0;  // next piece of the same peer
    uint8_t ds = 0;
    bool to_endpoint = false;  // inner destination is the peer's own endpoint: see loop_guard.hpp
    DropReason reason = DropReason::tx_malformed;  // if there is no peer
  };
  static constexpr size_t kLookAhead = 64;  // pieces whose destinations are looked up together
  struct Group {
    Peer* peer = nullptr;
    uint32_t first = 0, last = 0, count = 0;  // pieces, linked by Route::next
    uint64_t sendable = 0;                    // so many of them can be sealed, the others are staged
  };
  [[nodiscard]] size_t route(Now now, std::span<const packet::Piece> pieces, const OutboundBatch& batch);
  void find_routes(std::span<const packet::Piece> pieces, std::span<Route> found) const noexcept;
  [[nodiscard]] Route route_to(PeerId id, ByteView header) const noexcept;
  [[nodiscard]] Group& group_of(Peer& peer, Now now);
  void place_group(Now now, std::span<const packet::Piece> pieces, const Group& group, RunWriter& writer,
                   OutboundBatch& batch);
  void stage(Peer& peer, const packet::Piece& piece);
  /// Owes the peer a keepalive, unless data waits for it anyway; and sends.
  void send_keepalive(Peer& peer, Now now);
  /// Sends what is staged: through plan_pending if there is a session, else it asks for one.
  void send_staged(Peer& peer, Now now);
  [[nodiscard]] bool plan_staged(Peer& peer, Now now, RunWriter& writer, OutboundBatch& batch);
  /// Counts the datagrams of a run that its peer's path does not carry whole.
  void count_fragmented(const DatagramRun& run) noexcept;
  /// False if the peer or its keys are gone: nothing was counted, and nothing is to be sent.
  [[nodiscard]] bool count_sent(const OutboundBatch::KeyRun& run, Now now);

  // ---- receiving (device_inbound.cpp) ----
  void plan_datagram(Now now, uint32_t received, ByteSpan datagram, InboundBatch& batch);
  void queue_handshake(Now now, MessageType type, ByteView datagram, const Received& received);
  void commit_run(Now now, InboundBatch& batch, const InboundBatch::KeyRun& run,
                  std::vector<InnerPacket>& out);
  void received_data(Peer& peer, Now now, const Keypair& keypair, bool data);
  /// The last source address looked up in a run: the next packet is often of the same flow.
  struct SourceCheck {
    const uint8_t* address = nullptr;
    size_t size = 0;
    bool allowed = false;
  };
  [[nodiscard]] bool deliver(Peer& peer, const Received& received, ByteSpan plaintext, SourceCheck& last,
                             std::vector<InnerPacket>& out);
  static void set_endpoint(Peer& peer, const Endpoint& from, const LocalSource& to) noexcept;

  // ---- handshakes (device_handshake.cpp) ----
  /// Asks for an initiation; does nothing if one was sent less than REKEY_TIMEOUT ago (then the retransmit
  /// timer sees to it). `retry`: asked for by that timer.
  void want_handshake(Peer& peer, Now now, bool retry = false);
  void make_initiation(Peer& peer, Now now);
  bool consume(Now now, const QueuedHandshake& queued);
  void consume_initiation(Now now, const QueuedHandshake& queued, const InitiationMessage& message);
  void respond(Peer& peer, Now now, ConsumedInitiation& consumed);
  bool consume_response(Now now, const QueuedHandshake& queued, const ResponseMessage& message);
  void consume_cookie_reply(Now now, const CookieReplyMessage& message);
  template <typename Message>
  [[nodiscard]] bool admit(Now now, const QueuedHandshake& queued, const Message& message);
  template <typename Message>
  [[nodiscard]] bool admit_unproven(Now now, const QueuedHandshake& queued, const Message& message);
  void begin_session(Peer& peer, Now now, SessionKeys keys, uint32_t local_index, bool initiator);
  void handshake_complete(Peer& peer, Now now) noexcept;
  void received_handshake(Peer& peer, Now now, size_t size);
  template <typename Message>
  void push_datagram(const Message& message, uint8_t ds, PeerId peer, const Endpoint& to,
                     const LocalSource& from);

  // ---- timers (device_timers.cpp) ----
  void run_timers(Peer& peer, Now now);

  // ---- ICMP (device_icmp.cpp) ----
  void owe_icmp(BootTime now, const packet::Piece& piece);

  crypto::Rng& rng;
  uint32_t mtu;
  bool up = false;
  uint16_t listen_port = 0;
  uint32_t fwmark = 0;

  bool has_identity = false;
  StaticIdentity self;
  CookieChecker checker;

  std::vector<std::unique_ptr<Peer>> peers;  // by PeerId; empty slots are in free_ids
  std::vector<PeerId> free_ids;
  std::unordered_map<crypto::PublicKey, Peer*, crypto::PublicKeyHash> by_key;
  uint64_t next_serial = 1;
  AllowedIps allowed_ips;
  IndexTable indices;    // local index -> PeerId, of initiations sent and of keypairs
  RateLimiter limiter;   // of sources that have shown a cookie
  RateLimiter unproven;  // of all others, while we are under load
  TokenBucket unproven_handshakes{kUnprovenHandshakesPerSecond, kUnprovenHandshakesBurst};
  TokenBucket cookie_replies{kCookieRepliesPerSecond, kCookieRepliesBurst};
  mutable DeadlineHeap<Peer> deadlines;
  Staging staging;

  HandshakeQueue handshakes;
  // Peers, by id; an entry counts only while the peer's flag (initiation_queued, in_pending) is set.
  Fifo<PeerId> initiations;
  Fifo<PeerId> pending;
  Fifo<ControlDatagram> outbox;
  Fifo<IcmpError> icmp;
  packet::IcmpLimit icmp_limit;
  DropCounters drops;

  // Scratch of plan_outbound, kept for its memory.
  std::vector<Route> routes;
  std::vector<Group> groups;
  uint64_t group_epoch = 0;
};

}  // namespace hats::wg
