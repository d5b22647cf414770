#include "tools/hatsd-user/daemon/raw_hub.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tools/hatsd-user/daemon/encap_tunnel.hpp"

namespace hats::app {

using transport::RawReceived;
using transport::RawSend;
using transport::TunRead;

static_assert(encap::kMaxOutHead + 8 <= transport::kRawHeadSize);  // and an encapsulation limit

namespace {

constexpr encap::Kind kind_of(Channel channel) {
  return channel == Channel::sit_v4    ? encap::Kind::sit
         : channel == Channel::ipip_v4 ? encap::Kind::ipip
                                       : encap::Kind::gre;
}

constexpr Family family_of(Channel channel) {
  return channel == Channel::gre_v6 ? Family::v6 : Family::v4;
}

// What a failed send brings back: whose packet it was, and where the inner packet begins in its head.
struct Cookie {
  encap::TunnelId tunnel = 0;
  uint32_t generation = 0;    // 24 bits of it
  uint32_t inner_offset = 0;  // at most that of a whole GRE header behind an encapsulation limit: 7 bits
  bool control = false;       // not of a packet of the TUN: a keepalive, or the answer to one
};
constexpr uint64_t pack(const Cookie& cookie) {
  return cookie.tunnel | uint64_t{cookie.generation & 0xff'ffff} << 32 | uint64_t{cookie.inner_offset} << 56 |
         uint64_t{cookie.control} << 63;
}
constexpr Cookie unpack(uint64_t cookie) {
  return {.tunnel = static_cast<encap::TunnelId>(cookie),
          .generation = static_cast<uint32_t>(cookie >> 32) & 0xff'ffff,
          .inner_offset = static_cast<uint32_t>(cookie >> 56) & 0x7f,
          .control = (cookie >> 63) != 0};
}

/// The destination options header with an encapsulation limit (RFC 2473 4.1.1), as the kernel writes it. It
/// is part of what a socket of protocol 60 sends, because with an option of the socket (IPV6_DSTOPTS) the
/// kernel counts its bytes twice when it compares with the MTU, and refuses the largest packets.
constexpr uint8_t kDestinationOptions = 60;
constexpr std::array<uint8_t, 8> limit_header(uint8_t protocol, uint8_t limit) {
  constexpr uint8_t kLimitOption = 4, kPadN = 1;
  return {protocol, 0, kLimitOption, 1, limit, kPadN, 1, 0};
}

}  // namespace

Channel channel_of(encap::Kind kind, Family outer) noexcept {
  if (kind == encap::Kind::sit) return Channel::sit_v4;
  if (kind == encap::Kind::ipip) return Channel::ipip_v4;
  return outer == Family::v6 ? Channel::gre_v6 : Channel::gre_v4;
}

std::expected<RawChannel, int> RawChannel::open(Channel channel) {
  using transport::RawMode;
  const Family family = family_of(channel);
  const uint8_t protocol = encap::protocol_of(kind_of(channel));
  RawChannel out;
  int error = 0;
  const auto take = [&](transport::UniqueFd& to, std::expected<transport::UniqueFd, int> opened) {
    if (opened) {
      to = std::move(*opened);
    } else if (error == 0) {
      error = opened.error();
    }
  };
  // First what keeps the kernel silent, last what receives.
  take(out.silencer, transport::open_silencer(family, protocol));
  take(out.fragmentable, transport::open_raw_sender(family, protocol, RawMode::fragmentable));
  take(out.dont_fragment, transport::open_raw_sender(family, protocol, RawMode::dont_fragment));
  if (channel == Channel::gre_v4) {
    take(out.header_included, transport::open_raw_sender(family, protocol, RawMode::header_included));
  }
  if (family == Family::v6) {
    take(out.limited_fragmentable,
         transport::open_raw_sender(family, kDestinationOptions, RawMode::fragmentable));
    take(out.limited_dont_fragment,
         transport::open_raw_sender(family, kDestinationOptions, RawMode::dont_fragment));
  }
  take(out.receiver, transport::open_raw_receiver(family, protocol));
  if (error != 0) return std::unexpected(error);
  return out;
}

std::expected<IcmpListeners, int> IcmpListeners::open() {
  auto v4 = transport::open_icmp_listener(Family::v4);
  if (!v4) return std::unexpected(v4.error());
  IcmpListeners out{.v4 = std::move(*v4), .v6 = {}};
  if (auto v6 = transport::open_icmp_listener(Family::v6)) out.v6 = std::move(*v6);
  return out;
}

RawHub::RawHub(uint32_t slot, const WorkerParts& parts, IcmpListeners listeners)
    : LoopMember(slot, parts), listeners_(std::move(listeners)) {}

// ---- Tunnels and sockets ----

void RawHub::attach() {
  attached_ = true;
  if (listeners_.v4) parts_.loop.add_raw(tag(kIcmpV4), listeners_.v4.get());
  if (listeners_.v6) parts_.loop.add_raw(tag(kIcmpV6), listeners_.v6.get());
  for (size_t i = 0; i < kChannels; ++i) add_sockets(static_cast<Channel>(i));
}

void RawHub::detach() {
  if (!attached_) return;
  for (size_t i = 0; i < kChannels; ++i) remove_sockets(static_cast<Channel>(i));
  if (listeners_.v4) parts_.loop.remove(tag(kIcmpV4));
  if (listeners_.v6) parts_.loop.remove(tag(kIcmpV6));
  attached_ = false;
}

template <typename Call>
void RawHub::for_each_socket(const RawChannel& channel, Call call) {
  const std::array<std::pair<Socket, const transport::UniqueFd*>, kSockets> all = {
      {{Socket::fragmentable, &channel.fragmentable},
       {Socket::dont_fragment, &channel.dont_fragment},
       {Socket::header_included, &channel.header_included},
       {Socket::limited_fragmentable, &channel.limited_fragmentable},
       {Socket::limited_dont_fragment, &channel.limited_dont_fragment},
       {Socket::receiver, &channel.receiver}}};
  for (const auto& [socket, fd] : all) {
    if (*fd) call(socket, fd->get());
  }
}

void RawHub::add_sockets(Channel channel) {
  for_each_socket(channels_[index_of(channel)].sockets,
                  [&](Socket socket, int fd) { parts_.loop.add_raw(tag(part_of(channel, socket)), fd); });
}

void RawHub::remove_sockets(Channel channel) {
  for_each_socket(channels_[index_of(channel)].sockets,
                  [&](Socket socket, int) { parts_.loop.remove(tag(part_of(channel, socket))); });
}

void RawHub::enter_channel(Channel channel, RawChannel sockets) {
  OpenChannel& open = channels_[index_of(channel)];
  if (open.tunnels++ > 0) return;
  open.sockets = std::move(sockets);
  if (attached_) add_sockets(channel);
}

void RawHub::leave_channel(Channel channel) {
  OpenChannel& open = channels_[index_of(channel)];
  if (--open.tunnels > 0) {
    update_filter(channel);
    return;
  }
  if (attached_) remove_sockets(channel);
  open.sockets = {};
}

void RawHub::update_filter(Channel channel) {
  std::vector<IpAddress> remotes;
  for (const Entry& entry : tunnels_) {
    if (!entry.name.empty() && entry.channel == channel) remotes.push_back(entry.remote);
  }
  // The old filter would keep out a new remote; where the new one is refused, the node sorts out strangers.
  (void)transport::set_remotes_filter(channels_[index_of(channel)].sockets.receiver.get(), family_of(channel),
                                      remotes);
}

std::expected<encap::TunnelId, std::string> RawHub::add(const encap::TunnelConfig& config, uint32_t mtu,
                                                        const std::string& name, RawChannel sockets) {
  const auto id = node_.add(config, mtu);
  if (!id) return std::unexpected(tunnels_[id.error()].name);
  if (*id >= tunnels_.size()) tunnels_.resize(*id + 1);
  Entry& entry = tunnels_[*id];
  entry.name = name;
  ++entry.generation;
  entry.channel = channel_of(config.kind, config.outer());
  entry.remote = config.remote;
  enter_channel(entry.channel, std::move(sockets));
  update_filter(entry.channel);
  return *id;
}

std::expected<void, std::string> RawHub::change(Now now, encap::TunnelId id,
                                                const encap::TunnelConfig& config, RawChannel sockets) {
  if (const auto done = node_.change(now, id, config); !done) {
    return std::unexpected(tunnels_[done.error()].name);
  }
  Entry& entry = tunnels_[id];
  const Channel old = std::exchange(entry.channel, channel_of(config.kind, config.outer()));
  entry.remote = config.remote;
  if (old != entry.channel) {
    enter_channel(entry.channel, std::move(sockets));
    leave_channel(old);
  }
  update_filter(entry.channel);
  return {};
}

void RawHub::remove(encap::TunnelId id) {
  node_.remove(id);
  Entry& entry = tunnels_[id];
  entry.name.clear();
  entry.queue = nullptr;
  leave_channel(entry.channel);
}

std::optional<uint64_t> RawHub::overflow() const {
  std::optional<uint64_t> sum;
  for (const OpenChannel& channel : channels_) {
    const auto lost =
        channel.tunnels == 0 ? std::nullopt : transport::count_overflow(channel.sockets.receiver.get());
    if (lost) sum = sum.value_or(0) + *lost;
  }
  return sum;
}

// ---- Out ----

void RawHub::send(const encap::OutPacket& packet, ByteView head, RawSend send, bool control) {
  const Channel channel = channel_of(packet.kind, packet.to.family);
  Socket socket = packet.mode == encap::SendMode::fragmentable    ? Socket::fragmentable
                  : packet.mode == encap::SendMode::dont_fragment ? Socket::dont_fragment
                                                                  : Socket::header_included;
  if (packet.encapsulation_limit) {
    const auto option = limit_header(encap::protocol_of(packet.kind), *packet.encapsulation_limit);
    std::memcpy(send.head.data(), option.data(), option.size());
    send.head_size = option.size();
    socket = socket == Socket::fragmentable ? Socket::limited_fragmentable : Socket::limited_dont_fragment;
  }
  if (!head.empty()) std::memcpy(&send.head[send.head_size], head.data(), head.size());
  send.cookie = pack({.tunnel = packet.tunnel,
                      .generation = tunnels_[packet.tunnel].generation,
                      .inner_offset = send.head_size + packet.inner_offset,
                      .control = control});
  send.head_size += static_cast<uint32_t>(head.size());
  send.to = packet.to;
  send.from = packet.from;
  send.ttl = packet.ttl;
  send.ds = packet.ds;
  send.flow_label = packet.flow_label;
  parts_.loop.send_raw(tag(part_of(channel, socket)), std::move(send));
}

void RawHub::send_pieces(Now now, encap::TunnelId id, std::span<TunRead> reads) {
  BatchSpace& space = parts_.space;
  node_.plan_outbound(now, id, space.pieces, out_);
  encap::Node::work(out_);
  node_.commit_outbound(now, out_);
  for (const encap::OutPacket& packet : out_.packets) {
    RawSend one{};
    one.slab = reads[space.piece_reads[packet.piece]].slab;
    one.data = packet.data;
    one.size = packet.size;
    send(packet, ByteView(packet.head).first(packet.head_size), std::move(one));
  }
  out_.clear();
}

void RawHub::on_raw_send_failed(Part /*part*/, const RawSend& send, int error, Now now) {
  const Cookie cookie = unpack(send.cookie);
  EncapTunnel* queue = queue_of(cookie.tunnel);
  if (queue == nullptr || (tunnels_[cookie.tunnel].generation & 0xff'ffff) != cookie.generation) return;
  queue->send_failed(error);
  if (cookie.control) return;  // the node has not counted it
  const ByteView head = ByteView(send.head).first(send.head_size).subspan(cookie.inner_offset);
  const ByteView data{send.data, send.size};
  const auto inner_size = static_cast<uint32_t>(head.size() + data.size());
  if (error != EMSGSIZE) return node_.send_failed(cookie.tunnel, inner_size);
  node_.send_refused(now, cookie.tunnel, head.empty() ? data : head, inner_size);
}

// ---- In ----

void RawHub::on_raw(Part part, std::span<RawReceived> received, Now now) {
  if (part == kIcmpV4 || part == kIcmpV6) {
    on_icmp(part == kIcmpV4 ? Family::v4 : Family::v6, received, now);
    return;
  }
  const auto channel = static_cast<Channel>(part / kSockets);
  received_.clear();
  for (const RawReceived& one : received) {
    received_.push_back({.bytes = {one.data, one.size},
                         .kind = kind_of(channel),
                         .from = one.from,
                         .to = one.to.address,
                         .interface_index = one.to.interface_index,
                         .ds = one.ds,
                         .hop_limit = one.hop_limit,
                         .family = family_of(channel)});
  }
  node_.plan_inbound(now, received_, in_);
  encap::Node::work(in_);
  node_.commit_inbound(now, in_, inner_);
  parts_.space.lend_from(std::span<const RawReceived>(received));
  deliver();
  inner_.clear();
  in_.clear();
}

void RawHub::deliver() {
  // Tunnel by tunnel, in the order of their first packets. A receive gives one packet at the most, so there
  // are few.
  for (size_t i = 0; i < inner_.size(); ++i) {
    if (inner_[i].tunnel == encap::kNoTunnel) continue;
    EncapTunnel* queue = queue_of(inner_[i].tunnel);
    if (queue != nullptr) deliver_to(*queue, i);
  }
}

void RawHub::deliver_to(EncapTunnel& queue, size_t first) {
  std::vector<ByteSpan>& packets = parts_.space.packets;
  packets.clear();
  const encap::TunnelId id = inner_[first].tunnel;
  for (size_t i = first; i < inner_.size(); ++i) {
    encap::InnerPacket& packet = inner_[i];
    if (packet.tunnel != id) continue;
    packet.tunnel = encap::kNoTunnel;
    const ByteSpan bytes{packet.data, packet.size};
    if (packet.offload.kind == packet::Offload::Kind::none) {
      packets.push_back(bytes);
      continue;
    }
    queue.write(packets);
    packets.clear();
    queue.write_merged(bytes, packet.offload);
  }
  queue.write(packets);
}

void RawHub::on_icmp(Family family, std::span<RawReceived> received, Now now) {
  for (const RawReceived& one : received) {
    const auto error = encap::parse_outer_error(family, {one.data, one.size}, one.from);
    if (error) node_.outer_error(now, *error);
  }
}

// ---- Timers, outputs ----

void RawHub::on_wake(Now now) {
  const auto deadline = node_.next_deadline();
  if (deadline && *deadline <= now.boot) node_.handle_timeout(now);
  send_control();
  encap::TunnelId id = encap::kNoTunnel;
  packet::IcmpError icmp;
  while (node_.poll_icmp(id, icmp)) {
    if (EncapTunnel* queue = queue_of(id)) queue->send_icmp(icmp);
  }
  bool carrier = false;
  while (node_.poll_carrier(id, carrier)) {
    if (const EncapTunnel* queue = queue_of(id)) queue->tell_carrier(carrier);
  }
}

void RawHub::send_control() {
  encap::ControlPacket packet;
  while (node_.poll_packet(packet)) {
    RawSend one{};  // without a slab: the loop copies
    one.data = packet.bytes.data();
    one.size = static_cast<uint32_t>(packet.bytes.size());
    send(packet.out, {}, std::move(one), /*control=*/true);
  }
}

}  // namespace hats::app
