// Two or more WireGuard devices on a virtual clock and a network that loses, delays, repeats and reorders
// datagrams, and moves hosts to other addresses. Nothing sleeps; the same seed gives the same trace.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/wg/device.hpp"
#include "crypto/aead.hpp"
#include "crypto/x25519.hpp"
#include "tests/support/seeded_rng.hpp"

namespace hats::sim {

using Bytes = std::vector<uint8_t>;

enum class Kind : uint8_t { initiation, response, cookie_reply, keepalive, data, other };
[[nodiscard]] Kind kind_of(ByteView datagram);
[[nodiscard]] const char* name_of(Kind kind);

/// A datagram under way.
struct Datagram {
  Endpoint from, to;
  uint8_t ds = 0;
  Bytes bytes;
  LocalSource source;  // that the sender asked for
};

/// One line of the trace: what left a host, and when.
struct Sent {
  BootTime at;
  size_t node = 0;
  Kind kind = Kind::other;
  Datagram datagram;
};

struct Conditions {
  double loss = 0, duplication = 0;
  Duration delay = milliseconds(10);
  Duration jitter{0};     // added, evenly distributed: reorders
  uint32_t mtu = 65'507;  // larger UDP payloads are lost
};

/// A host with one device.
class Node {
 public:
  Node(uint64_t seed, uint32_t mtu, Endpoint where);

  crypto::PrivateKey private_key;
  crypto::PublicKey public_key;
  Endpoint address;  // where its datagrams come from, and where it is reached
  std::vector<Bytes> delivered;
  std::vector<wg::IcmpError> icmp;

 private:
  test::SeededRng rng_;

 public:
  wg::Device device;
};

class World {
 public:
  explicit World(uint64_t seed, size_t nodes = 2, uint32_t mtu = 1'420);

  Conditions network;
  /// Sees each datagram as it leaves; false: it is lost. May change it.
  std::function<bool(Datagram&)> filter;
  /// Also calls handle_timeout this often, which must change nothing. 0: at deadlines alone.
  Duration extra_poll{0};

  [[nodiscard]] Node& node(size_t i) { return *nodes_[i]; }
  [[nodiscard]] wg::Device& device(size_t i) { return nodes_[i]->device; }
  [[nodiscard]] size_t size() const { return nodes_.size(); }
  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] BootTime time() const { return now_.boot; }
  /// Moves the wall clock alone.
  void shift_wall(int64_t seconds) { now_.wall.seconds += seconds; }

  /// Tells node a of node b: key, endpoint (if `reachable`), 10.0.0.b/32 and fd00::b/128.
  void introduce(size_t a, size_t b, bool reachable = true);
  /// Introduces all to all and turns them up.
  void connect_all();
  [[nodiscard]] wg::PeerUpdate peer_update(size_t b) const;

  /// An IPv4 packet of `size` bytes from node a to node b, marked with `mark`.
  [[nodiscard]] static Bytes packet(size_t a, size_t b, uint32_t mark = 0, size_t size = 84, uint8_t tos = 0);
  [[nodiscard]] static Bytes packet6(size_t a, size_t b, uint32_t mark = 0, size_t size = 84,
                                     uint8_t tos = 0);
  /// The mark of such a packet.
  [[nodiscard]] static uint32_t mark_of(const Bytes& packet);

  /// Gives packets to the device as one batch of pieces, and sends what comes of it.
  void send(size_t from, std::vector<Bytes> packets);
  void send(size_t from, size_t to, uint32_t mark = 0) { send(from, {packet(from, to, mark)}); }
  /// Hands a datagram to a node now, as if it came from the network.
  void inject(size_t node, Datagram datagram);
  void inject(size_t node, const std::vector<Datagram>& datagrams);
  void apply(size_t node, const wg::DeviceUpdate& update);
  void set_up(size_t node, bool up);
  /// Node a's persistent keepalive to node b.
  void set_keepalive(size_t a, size_t b, uint16_t interval_s);

  /// Lets time pass: every datagram and deadline at its time.
  void advance(Duration duration);
  /// To the next deadline or arrival, at most `limit` from now; false if there was none.
  bool step(Duration limit);
  /// Drains the outputs of a device onto the network.
  void drain(size_t node);

  std::vector<Sent> trace;
  [[nodiscard]] size_t count(size_t node, Kind kind) const;
  /// The last datagram of this kind that left the node; there must be one.
  [[nodiscard]] const Datagram& last(size_t node, Kind kind) const;
  [[nodiscard]] std::vector<BootTime> times(size_t node, Kind kind) const;
  [[nodiscard]] std::string trace_text() const;

  /// Peer b as node a's snapshot tells it.
  [[nodiscard]] wg::PeerSnapshot peer(size_t a, size_t b) const;

 private:
  void set_time(BootTime time);
  void transmit(size_t node, Datagram datagram);
  [[nodiscard]] bool chance(double probability);
  [[nodiscard]] size_t node_at(const Endpoint& endpoint) const;
  [[nodiscard]] BootTime next_event() const;
  void send_batch(size_t node, wg::OutboundBatch& batch);
  void lend_slabs(wg::OutboundBatch& batch);

  Now now_;
  test::SeededRng rng_;
  std::unique_ptr<crypto::Aead> aead_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<BootTime, Datagram> under_way_;  // equal times keep their order
  std::vector<Bytes> slabs_;
  wg::OutboundBatch outbound_;
  wg::InboundBatch inbound_;
  std::vector<wg::InnerPacket> inner_;
};

}  // namespace hats::sim
