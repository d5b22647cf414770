// All unencrypted tunnels of a process come together here: the sans-I/O node that knows them, the raw sockets
// that they share, and the ICMP errors about their outer packets. One hub a process, on one worker; the
// tunnels (EncapTunnel) are members of the same worker and hold the TUN queues.
#pragma once

#include <array>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/encap/node.hpp"
#include "tools/hatsd-user/daemon/tunnel.hpp"
#include "transport/raw_socket.hpp"

namespace hats::app {

class EncapTunnel;

/// A protocol over a family: tunnels of one channel share raw sockets.
enum class Channel : uint8_t { gre_v4, sit_v4, ipip_v4, gre_v6 };
inline constexpr size_t kChannels = 4;
[[nodiscard]] Channel channel_of(encap::Kind kind, Family outer) noexcept;

/// The sockets of a channel. The silencer keeps the kernel from answering "protocol unreachable"
/// (transport/raw_socket.hpp).
struct RawChannel {
  transport::UniqueFd silencer, receiver, fragmentable, dont_fragment;
  transport::UniqueFd header_included;  // GRE over IPv4 alone: answers to keepalives
  /// Over IPv6 alone: packets that begin with the destination option of the encapsulation limit.
  transport::UniqueFd limited_fragmentable, limited_dont_fragment;

  /// Needs CAP_NET_RAW. Error: errno.
  static std::expected<RawChannel, int> open(Channel channel);
};

/// The kernel's word about outer packets: errors that routers and hosts send (RFC 792, RFC 4443).
struct IcmpListeners {
  transport::UniqueFd v4, v6;  // v6 is empty on a host without IPv6

  /// Needs CAP_NET_RAW. Error: errno.
  static std::expected<IcmpListeners, int> open();
};

class RawHub final : public LoopMember {
 public:
  RawHub(uint32_t slot, const WorkerParts& parts, IcmpListeners listeners);

  // ---- On the worker's thread ----
  void attach() override;
  void detach() override;
  /// Whether add() and change() to this channel need sockets.
  [[nodiscard]] bool has_channel(Channel channel) const { return channels_[index_of(channel)].tunnels > 0; }
  /// Adds a tunnel. `sockets` are for a channel that has none. What comes for the tunnel is lost until it has
  /// a queue. Error: the name of the tunnel that is alike on the wire.
  std::expected<encap::TunnelId, std::string> add(const encap::TunnelConfig& config, uint32_t mtu,
                                                  const std::string& name, RawChannel sockets);
  void set_queue(encap::TunnelId id, EncapTunnel& queue) { tunnels_[id].queue = &queue; }
  /// Error: as add; nothing is changed then.
  std::expected<void, std::string> change(Now now, encap::TunnelId id, const encap::TunnelConfig& config,
                                          RawChannel sockets);
  /// A channel closes with its last tunnel.
  void remove(encap::TunnelId id);
  [[nodiscard]] encap::Node& node() { return node_; }
  /// Outer packets of all tunnels that were lost because a receiver's buffer was full; nullopt before Linux
  /// 4.12.
  [[nodiscard]] std::optional<uint64_t> overflow() const;
  /// Encapsulates and sends the pieces in the worker's space. `reads` own their memory.
  void send_pieces(Now now, encap::TunnelId id, std::span<transport::TunRead> reads);

  // ---- Called by the worker's handler ----
  void on_raw(Part part, std::span<transport::RawReceived> received, Now now) override;
  void on_raw_send_failed(Part part, const transport::RawSend& send, int error, Now now) override;
  [[nodiscard]] bool wants_wake() const override { return true; }
  void on_wake(Now now) override;
  [[nodiscard]] std::optional<BootTime> next_deadline() const override { return node_.next_deadline(); }

 private:
  // Parts: of each channel its sockets, then the two listeners.
  enum class Socket : uint8_t {
    receiver,
    fragmentable,
    dont_fragment,
    header_included,
    limited_fragmentable,
    limited_dont_fragment,
  };
  static constexpr Part kSockets = 6;
  static constexpr Part kIcmpV4 = kChannels * kSockets, kIcmpV6 = kIcmpV4 + 1;
  static_assert(kIcmpV6 < kPartsOfMember);
  static constexpr size_t index_of(Channel channel) { return static_cast<size_t>(channel); }
  static constexpr Part part_of(Channel channel, Socket socket) {
    return static_cast<Part>(channel) * kSockets + static_cast<Part>(socket);
  }
  /// All sockets of a channel that the loop has.
  template <typename Call>
  static void for_each_socket(const RawChannel& channel, Call call);
  /// Sends with the fields of `packet`: `head` (its own or empty), then the data of `send`. `control`: it is
  /// not of a packet of the TUN, but a keepalive or the answer to one.
  void send(const encap::OutPacket& packet, ByteView head, transport::RawSend send, bool control = false);

  struct OpenChannel {
    RawChannel sockets;
    size_t tunnels = 0;
  };
  struct Entry {
    std::string name;         // empty: no tunnel has this id
    uint32_t generation = 0;  // counts the tunnels that have had this id
    EncapTunnel* queue = nullptr;
    Channel channel = Channel::gre_v4;
    IpAddress remote;
  };

  void enter_channel(Channel channel, RawChannel sockets);
  void leave_channel(Channel channel);
  void add_sockets(Channel channel);
  void remove_sockets(Channel channel);
  void update_filter(Channel channel);
  void send_control();
  void deliver();
  void deliver_to(EncapTunnel& queue, size_t first);
  void on_icmp(Family family, std::span<transport::RawReceived> received, Now now);
  [[nodiscard]] EncapTunnel* queue_of(encap::TunnelId id) const {
    return id < tunnels_.size() ? tunnels_[id].queue : nullptr;
  }

  encap::Node node_;
  std::array<OpenChannel, kChannels> channels_;
  IcmpListeners listeners_;
  std::vector<Entry> tunnels_;  // by id
  bool attached_ = false;

  // Batches, made once.
  encap::OutboundBatch out_;
  encap::InboundBatch in_;
  std::vector<encap::Received> received_;
  std::vector<encap::InnerPacket> inner_;
};

}  // namespace hats::app
