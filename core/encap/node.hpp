// All unencrypted tunnels of a process: GRE over IPv4 and IPv6, SIT, IPIP (RFC 2784, 2890, 7676, 2473, 4213,
// 2003; formats.md 5), without I/O. It is given inner packets, outer packets, reports of the path and time,
// and gives outer packets, inner packets, ICMP errors, the carrier's state and a deadline. One owner, one
// thread, but for work().
//
// A packet finds its tunnel by (protocol, local, remote, key) in a hash table, so that its cost does not grow
// with their number. Key presence must match exactly (formats.md 5.1).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/base/time.hpp"
#include "core/encap/batch.hpp"
#include "core/encap/drop_reason.hpp"
#include "core/encap/tunnel_config.hpp"
#include "core/packet/icmp.hpp"
#include "core/packet/piece.hpp"

namespace hats::encap {

/// What the host's routing says of the way to a tunnel's remote.
struct PathInfo {
  uint32_t mtu = 0;  // bytes of the route or its link; 0: unknown
  IpAddress source;  // the address that the host would send from; unset: no route
};

/// An ICMP error about one of our outer packets, as it came from the network.
struct OuterError {
  Family family = Family::v4;
  uint8_t type = 0, code = 0;
  uint32_t mtu = 0;    // of fragmentation-needed and packet-too-big; 0 if the router gave none
  IpAddress reporter;  // the router or host that sent it
  ByteView quoted{};   // our outer packet from its IP header on, as much as was quoted
};

/// Reads an ICMPv4 packet (from its IP header on, as a raw socket gives it) or an ICMPv6 message (from its
/// ICMP header on; `reporter` is then its source). nullopt: no error about a packet of ours, or too short.
/// Checksums are the kernel's to check.
[[nodiscard]] std::optional<OuterError> parse_outer_error(Family family, ByteView message,
                                                          const IpAddress& reporter);

struct TunnelCounters {
  uint64_t rx_packets = 0, rx_bytes = 0;  // inner packets that were delivered, and their bytes
  uint64_t tx_packets = 0, tx_bytes = 0;  // inner packets that were encapsulated, and their bytes
  uint64_t merged = 0;                    // receives that GRO had merged
  uint64_t ecn_suspicious = 0;            // receives with ECN marks that no conforming path makes
  uint64_t keepalives_answered = 0, keepalives_sent = 0, keepalives_returned = 0;
  uint64_t icmp_sent = 0;      // errors to inner senders
  uint64_t icmp_received = 0;  // errors about our outer packets
  std::array<uint64_t, kDropReasonTexts.size()> drops{};
};

struct TunnelStatus {
  TunnelConfig config;
  TunnelCounters counters;
  std::optional<DropReason> last_drop;
  BootTime last_drop_at;
  uint32_t path_mtu = 0;          // bytes of an outer packet that fit, as believed now; 0: unknown
  bool path_mtu_learned = false;  // by an ICMP message, and it will expire
  IpAddress source;               // of outer packets, if known
  bool carrier = true;
  bool link_failing = false;  // outer packets drew ICMP errors in the last 30 s
};

class Node {
 public:
  Node();
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // ---- Configuration (control plane, between batches) ----
  /// `mtu`: of the interface, in bytes. The tunnel is down until set_up(). Error: the tunnel that is alike on
  /// the wire. An id is used again after remove(); batches in flight are told apart.
  std::expected<TunnelId, TunnelId> add(const TunnelConfig& config, uint32_t mtu);
  /// Counters, sequence numbers (if still used) and learned path MTU stay; with other ends the path is
  /// unknown until set_path(). Error: as add; nothing is changed then.
  std::expected<void, TunnelId> change(Now now, TunnelId tunnel, const TunnelConfig& config);
  void remove(TunnelId tunnel);
  void set_mtu(TunnelId tunnel, uint32_t mtu);
  /// Down: packets both ways are dropped and counted, keepalives stop.
  void set_up(Now now, TunnelId tunnel, bool up);
  void set_path(Now now, TunnelId tunnel, const PathInfo& path);
  [[nodiscard]] TunnelStatus status(Now now, TunnelId tunnel) const;
  [[nodiscard]] std::array<uint64_t, kStrayReasonTexts.size()> strays() const;

  // ---- Out: inner IP packets to outer packets ----
  /// Appends outer packets of one tunnel; what they point to stays in the pieces' memory. All pieces are
  /// taken: sent or dropped.
  void plan_outbound(Now now, TunnelId tunnel, std::span<const packet::Piece> pieces, OutboundBatch& batch);
  /// Fills in GRE checksums. Pure; any thread.
  static void work(OutboundBatch& batch) noexcept;
  void commit_outbound(Now now, OutboundBatch& batch) noexcept;
  /// The kernel refused an outer packet as larger than the route (EMSGSIZE). The inner sender is told the
  /// size that the path as set leaves, if the packet is larger than that and may not be fragmented. Where the
  /// path is narrower than what set_path() has said, the caller has yet to look it up: until it calls
  /// set_path(), such refusals are counted and nobody is told; the sender repeats the packet.
  /// `inner_headers`: as much of the inner packet as is at hand.
  void send_refused(Now now, TunnelId tunnel, ByteView inner_headers, uint32_t inner_size);

  /// The kernel did not send an outer packet for another reason (no route, a filter): it counts as sent no
  /// longer. `inner_size`: bytes of the inner packet.
  void send_failed(TunnelId tunnel, uint32_t inner_size) noexcept;

  // ---- In: outer packets to inner IP packets ----
  void plan_inbound(Now now, std::span<const Received> received, InboundBatch& batch) noexcept;
  /// Verifies GRE checksums and tells merged packets by their inner checksum. Pure; any thread.
  static void work(InboundBatch& batch) noexcept;
  /// In order: sequence check, ECN, inner checks, keepalives. Appends deliverable packets to `out`.
  void commit_inbound(Now now, InboundBatch& batch, std::vector<InnerPacket>& out) noexcept;
  void outer_error(Now now, const OuterError& error);

  // ---- Outputs, time ----
  [[nodiscard]] bool poll_packet(ControlPacket& out);
  /// An ICMP error owed to an inner sender; it concerns `tunnel`.
  [[nodiscard]] bool poll_icmp(TunnelId& tunnel, packet::IcmpError& out);
  /// The carrier of `tunnel` changed (GRE keepalive).
  [[nodiscard]] bool poll_carrier(TunnelId& tunnel, bool& carrier);
  void handle_timeout(Now now);
  [[nodiscard]] std::optional<BootTime> next_deadline() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hats::encap
