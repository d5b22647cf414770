// The inside of Node. Its functions are grouped by what comes in: node.cpp (configuration, outputs, time),
// node_outbound.cpp, node_inbound.cpp (batches), outer_error.cpp (ICMP about outer packets),
// node_keepalive.cpp. Private to core/encap.
#pragma once

#include <memory>
#include <vector>

#include "core/base/deadline_heap.hpp"
#include "core/base/fifo.hpp"
#include "core/encap/merged_packet.hpp"
#include "core/encap/node.hpp"
#include "core/encap/outer_error.hpp"
#include "core/encap/tunnel_table.hpp"
#include "core/packet/icmp_limit.hpp"
#include "core/packet/path_mtu.hpp"

namespace hats::encap {

/// Control packets waiting to be polled; the newest is dropped when full.
inline constexpr size_t kMaxQueuedControl = 64;
/// An ICMP error about an outer packet makes inner senders hear of it for so long (Linux IPTUNNEL_ERR_TIMEO).
inline constexpr Duration kLinkErrorLifetime = seconds(30);

/// Such errors that are remembered of a tunnel: a flood of forged ones is worth no more.
inline constexpr uint32_t kMaxLinkErrors = 16;

inline constexpr size_t kCacheLine = 64;  // bytes

/// GRE keepalive of one tunnel (node_keepalive.cpp).
struct KeepaliveState {
  BootTime due{INT64_MAX};  // next one is to be sent, or the last one is given up
  uint32_t unanswered = 0;
  BootTime answers_until;  // where the far end's would be due that we have answered, at the rate allowed
  bool carrier = true;
};

/// What every packet needs comes first, in as few cache lines as it fits: with thousands of tunnels each of
/// them is a miss.
struct alignas(kCacheLine) Tunnel {
  TunnelId id = kNoTunnel;
  uint32_t serial = 0;  // tells the tunnels apart that had the same id, one after the other
  uint32_t mtu = 0;     // of the interface
  uint32_t next_out_sequence = 0;
  uint32_t next_in_sequence = 0;  // what is expected; older ones are dropped
  bool up = false;
  TunnelConfig config;
  TunnelCounters counters;

  PathInfo path;

  // ICMP errors about outer packets: so many inner packets will draw one of ours (Linux err_count, err_time).
  uint32_t link_errors = 0;
  BootTime link_error_at;
  std::optional<BootTime> path_failed_at;  // the last of them, whoever has heard of it meanwhile
  packet::IcmpLimit icmp_limit;
  packet::IcmpLimit relay_limit{packet::kRelayedPerSecond, packet::kRelayedBurst};

  KeepaliveState keepalive;

  std::optional<DropReason> last_drop;
  BootTime last_drop_at;

  DeadlineSlot deadline_slot;
  [[nodiscard]] BootTime deadline() const noexcept { return keepalive.due; }

  [[nodiscard]] bool link_failing(BootTime now) const noexcept {
    return link_errors != 0 && now < link_error_at + kLinkErrorLifetime;
  }
  /// For the operator: an error stays true once an inner sender was told of it.
  [[nodiscard]] bool path_failing(BootTime now) const noexcept {
    return path_failed_at && now < *path_failed_at + kLinkErrorLifetime;
  }
  /// Of our outer packets; unset if nobody knows.
  [[nodiscard]] const IpAddress& source() const noexcept {
    return config.local.is_set() ? config.local : path.source;
  }
};

/// Of a Tunnel, what every packet touches: to the counters of packets and bytes.
inline constexpr size_t kHotPart = 3 * kCacheLine;
static_assert(6 * sizeof(uint32_t) + sizeof(TunnelConfig) + 5 * sizeof(uint64_t) <= kHotPart);

/// Something that is owed for a tunnel; void once the tunnel is gone.
template <typename T>
struct Owed {
  TunnelId tunnel = kNoTunnel;
  uint32_t serial = 0;
  T what{};
};

/// Packets of a tunnel arrive in bursts: the one before is often the answer.
struct LastLookUp {
  bool known = false;
  TunnelQuery query;
  TunnelTable::Found found;
};

struct Node::Impl {
  // ---- tunnels (node.cpp) ----
  [[nodiscard]] Tunnel* find(TunnelId id) const noexcept {
    return id < tunnels.size() ? tunnels[id].get() : nullptr;
  }
  /// nullptr if the tunnel that a batch speaks of has been removed since, even if another has its id now.
  [[nodiscard]] Tunnel* find(TunnelId id, uint32_t serial) const noexcept {
    Tunnel* tunnel = find(id);
    return tunnel && tunnel->serial == serial ? tunnel : nullptr;
  }
  void enter(Tunnel& tunnel);
  void leave(Tunnel& tunnel);
  static void drop(Tunnel& tunnel, DropReason reason, Now now, uint64_t packets = 1) noexcept;
  void stray(StrayReason reason) noexcept { ++strays[static_cast<size_t>(reason)]; }
  /// Bytes of an outer packet that fit, as believed now; 0: unknown.
  [[nodiscard]] uint32_t path_mtu(BootTime now, const Tunnel& tunnel) const noexcept;

  // ---- what is owed (node.cpp) ----
  /// The newest is dropped when there are kMaxQueuedControl.
  void push_control(const Tunnel& tunnel, ControlPacket packet);
  /// An ICMP error about an inner packet, unless it may not be answered or the rate is exceeded.
  void owe_icmp(BootTime now, Tunnel& tunnel, const packet::Piece& piece, const packet::IcmpMessage& message);
  /// The same about a packet of which only the beginning is known. `source`: whom it is to come from, for one
  /// that is passed on; those have a limit of their own.
  void owe_icmp(BootTime now, Tunnel& tunnel, ByteView beginning, const packet::IcmpMessage& message,
                const IpAddress& source = {});
  [[nodiscard]] bool may_owe(BootTime now, packet::IcmpLimit& limit, ByteView header,
                             const packet::IcmpMessage& message) noexcept;
  void push_carrier(const Tunnel& tunnel, bool carrier) {
    carriers.push({tunnel.id, tunnel.serial, carrier});
  }
  /// The next thing that is owed for a tunnel which still exists.
  template <typename T>
  [[nodiscard]] bool poll(Fifo<Owed<T>>& queue, TunnelId& tunnel, T& out) const {
    while (!queue.empty()) {
      Owed<T> owed = std::move(queue.front());
      queue.pop();
      if (!find(owed.tunnel, owed.serial)) continue;
      tunnel = owed.tunnel;
      out = std::move(owed.what);
      return true;
    }
    return false;
  }
  /// The memory of a tunnel's that commit will touch is on its way meanwhile.
  void prefetch(TunnelId id) const noexcept {
    const auto* begin = reinterpret_cast<const uint8_t*>(tunnels[id].get());
    for (size_t at = 0; at < kHotPart; at += kCacheLine) __builtin_prefetch(begin + at, 1);
  }
  /// After anything that may have moved the tunnel's deadline().
  void deadline_changed(Tunnel& tunnel) { deadlines.update(tunnel); }

  // ---- in (node_inbound.cpp) ----
  void plan_received(Now now, uint32_t number, LastLookUp& last, InboundBatch& batch);
  /// Delivers the inner packet, or says why not.
  [[nodiscard]] std::optional<DropReason> receive(Now now, Tunnel& tunnel, const Received& received,
                                                  const InboundBatch::Job& job,
                                                  std::vector<InnerPacket>& out);
  [[nodiscard]] static std::optional<DropReason> check_header(const Tunnel& tunnel,
                                                              const InboundBatch::Job& job) noexcept;
  void finish_merged(Tunnel& tunnel, const packet::IpView& inner, bool merged, InnerPacket& out);

  // ---- sending (node_outbound.cpp) ----
  void plan_piece(Now now, Tunnel& tunnel, uint32_t path, const packet::Piece& piece, OutboundBatch& batch);
  /// After an ICMP error about an outer packet the senders of the next inner packets hear of it; they are
  /// sent all the same, as Linux does (dst_link_failure).
  void tell_of_link_errors(Now now, Tunnel& tunnel, const packet::Piece& piece, Family family);

  // ---- errors about what we sent (outer_error.cpp) ----
  [[nodiscard]] Tunnel* sender_of(const Quote& quote) const noexcept;
  void learn_path_mtu(Now now, const Tunnel& tunnel, const OuterError& error, const Quote& quote);
  /// True if the inner sender was, or must not be, told by an ICMPv6 error.
  bool relay(Now now, Tunnel& tunnel, const OuterError& error, const Quote& quote);

  // ---- keepalive (node_keepalive.cpp) ----
  /// Whether the inner packet of a GRE tunnel is a keepalive that the far end wants back.
  [[nodiscard]] static bool is_keepalive(const Tunnel& tunnel, const packet::IpView& inner,
                                         const Received& received) noexcept;
  /// Sends it back, if the rate allows.
  [[nodiscard]] std::optional<DropReason> answer_keepalive(Now now, Tunnel& tunnel,
                                                           const packet::IpView& inner,
                                                           const Received& received);
  /// A packet with the protocol type of an answer arrived.
  [[nodiscard]] std::optional<DropReason> keepalive_returned(Tunnel& tunnel);
  void set_carrier(Tunnel& tunnel, bool carrier);
  /// The tunnel's configuration, or whether it is up, has changed.
  void keepalive_changed(Now now, Tunnel& tunnel);
  /// keepalive.due has passed; moves it.
  void keepalive_timeout(Now now, Tunnel& tunnel);

  std::vector<std::unique_ptr<Tunnel>> tunnels;  // by id; empty slots are in free_ids
  std::vector<uint32_t> serials;                 // by id, of the same: plan needs no more of a tunnel
  std::vector<TunnelId> free_ids;
  uint32_t next_serial = 1;
  TunnelTable by_in_key;           // for packets received
  TunnelTable by_out_key;          // for errors about packets sent
  packet::PathMtuTable path_mtus;  // learned, by the remote
  mutable DeadlineHeap<Tunnel> deadlines;
  SegmentSizes segment_sizes;
  std::array<uint64_t, kStrayReasonTexts.size()> strays{};

  Fifo<Owed<ControlPacket>> control;
  Fifo<Owed<packet::IcmpError>> icmp;
  Fifo<Owed<bool>> carriers;
};

}  // namespace hats::encap
