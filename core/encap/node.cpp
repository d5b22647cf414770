// Configuration, outputs and time of Node.
#include "core/encap/node.hpp"

#include <algorithm>

#include "core/encap/node_impl.hpp"

namespace hats::encap {

Node::Node() : impl_(std::make_unique<Impl>()) {}
Node::~Node() = default;

// ---- Inside ----

void Node::Impl::enter(Tunnel& tunnel) {
  by_in_key.insert(tunnel.id, tunnel.config, tunnel.config.in_key);
  by_out_key.insert(tunnel.id, tunnel.config, tunnel.config.out_key);
  by_in_key.set_up(tunnel.id, tunnel.config, tunnel.config.in_key, tunnel.up);
}

void Node::Impl::leave(Tunnel& tunnel) {
  by_in_key.erase(tunnel.id, tunnel.config, tunnel.config.in_key);
  by_out_key.erase(tunnel.id, tunnel.config, tunnel.config.out_key);
}

void Node::Impl::drop(Tunnel& tunnel, DropReason reason, Now now, uint64_t packets) noexcept {
  if (packets == 0) return;
  tunnel.counters.drops[static_cast<size_t>(reason)] += packets;
  tunnel.last_drop = reason;
  tunnel.last_drop_at = now.boot;
}

uint32_t Node::Impl::path_mtu(BootTime now, const Tunnel& tunnel) const noexcept {
  const uint32_t route = tunnel.path.mtu;
  const auto learned = path_mtus.find(now, tunnel.config.remote);
  if (!learned) return route;
  return route == 0 ? *learned : std::min(route, *learned);
}

void Node::Impl::push_control(const Tunnel& tunnel, ControlPacket packet) {
  if (control.size() < kMaxQueuedControl) control.push({tunnel.id, tunnel.serial, std::move(packet)});
}

bool Node::Impl::may_owe(BootTime now, packet::IcmpLimit& limit, ByteView header,
                         const packet::IcmpMessage& message) noexcept {
  return packet::may_answer(header, message) && icmp.size() < packet::kMaxQueuedIcmp && limit.allow(now);
}

void Node::Impl::owe_icmp(BootTime now, Tunnel& tunnel, const packet::Piece& piece,
                          const packet::IcmpMessage& message) {
  if (!may_owe(now, tunnel.icmp_limit, piece.header(), message)) return;
  icmp.push({tunnel.id, tunnel.serial, packet::quote(piece, message)});
  ++tunnel.counters.icmp_sent;
}

void Node::Impl::owe_icmp(BootTime now, Tunnel& tunnel, ByteView beginning,
                          const packet::IcmpMessage& message, const IpAddress& source) {
  packet::IcmpLimit& limit = source.is_set() ? tunnel.relay_limit : tunnel.icmp_limit;
  if (!may_owe(now, limit, beginning, message)) return;
  packet::IcmpError error = packet::quote(beginning, message);
  error.source = source;
  icmp.push({tunnel.id, tunnel.serial, std::move(error)});
  ++tunnel.counters.icmp_sent;
}

// ---- Configuration ----

std::expected<TunnelId, TunnelId> Node::add(const TunnelConfig& config, uint32_t mtu) {
  Impl& d = *impl_;
  if (const TunnelId other = d.by_in_key.find_alike(config, kNoTunnel); other != kNoTunnel)
    return std::unexpected(other);
  TunnelId id = static_cast<TunnelId>(d.tunnels.size());
  if (d.free_ids.empty()) {
    d.tunnels.emplace_back();
    d.serials.push_back(0);
  } else {
    id = d.free_ids.back();
    d.free_ids.pop_back();
  }
  auto tunnel = std::make_unique<Tunnel>();
  tunnel->id = id;
  tunnel->serial = d.serials[id] = d.next_serial++;
  tunnel->config = config;
  tunnel->mtu = mtu;
  d.enter(*tunnel);
  d.tunnels[id] = std::move(tunnel);
  return id;
}

std::expected<void, TunnelId> Node::change(Now now, TunnelId id, const TunnelConfig& config) {
  Impl& d = *impl_;
  Tunnel* tunnel = d.find(id);
  if (!tunnel) return {};
  if (const TunnelId other = d.by_in_key.find_alike(config, id); other != kNoTunnel)
    return std::unexpected(other);
  d.leave(*tunnel);
  const TunnelConfig before = std::exchange(tunnel->config, config);
  d.enter(*tunnel);
  if (!config.out_sequence) tunnel->next_out_sequence = 0;
  if (!config.in_sequence) tunnel->next_in_sequence = 0;
  if (config.remote != before.remote || config.local != before.local) {
    tunnel->path = {};
    tunnel->link_errors = 0;
    tunnel->path_failed_at.reset();
  }
  d.keepalive_changed(now, *tunnel);
  d.deadline_changed(*tunnel);
  return {};
}

void Node::remove(TunnelId id) {
  Impl& d = *impl_;
  Tunnel* tunnel = d.find(id);
  if (!tunnel) return;
  d.leave(*tunnel);
  d.deadlines.remove(*tunnel);
  d.tunnels[id].reset();
  d.free_ids.push_back(id);
}

void Node::set_mtu(TunnelId id, uint32_t mtu) {
  if (Tunnel* tunnel = impl_->find(id)) tunnel->mtu = mtu;
}

void Node::set_up(Now now, TunnelId id, bool up) {
  Tunnel* tunnel = impl_->find(id);
  if (!tunnel || tunnel->up == up) return;
  tunnel->up = up;
  impl_->by_in_key.set_up(id, tunnel->config, tunnel->config.in_key, up);
  impl_->keepalive_changed(now, *tunnel);
  impl_->deadline_changed(*tunnel);
}

void Node::set_path(Now, TunnelId id, const PathInfo& path) {
  Tunnel* tunnel = impl_->find(id);
  if (!tunnel) return;
  // Another route: what was learned of the old one is void. The first one that is told of a new tunnel is
  // none: another tunnel to the same remote may have learned already.
  const PathInfo& before = tunnel->path;
  if (before.mtu != 0 && (path.mtu != before.mtu || path.source != before.source)) {
    impl_->path_mtus.forget(tunnel->config.remote);
  }
  tunnel->path = path;
}

TunnelStatus Node::status(Now now, TunnelId id) const {
  TunnelStatus out;
  const Tunnel* tunnel = impl_->find(id);
  if (!tunnel) return out;
  out.config = tunnel->config;
  out.counters = tunnel->counters;
  out.last_drop = tunnel->last_drop;
  out.last_drop_at = tunnel->last_drop_at;
  out.path_mtu = impl_->path_mtu(now.boot, *tunnel);
  out.path_mtu_learned = out.path_mtu != 0 && out.path_mtu != tunnel->path.mtu;
  out.source = tunnel->source();
  out.carrier = tunnel->keepalive.carrier;
  out.link_failing = tunnel->path_failing(now.boot);
  return out;
}

std::array<uint64_t, kStrayReasonTexts.size()> Node::strays() const {
  return impl_->strays;
}

// ---- Outputs, time ----

bool Node::poll_packet(ControlPacket& out) {
  TunnelId tunnel = kNoTunnel;
  return impl_->poll(impl_->control, tunnel, out);
}

bool Node::poll_icmp(TunnelId& tunnel, packet::IcmpError& out) {
  return impl_->poll(impl_->icmp, tunnel, out);
}

bool Node::poll_carrier(TunnelId& tunnel, bool& carrier) {
  return impl_->poll(impl_->carriers, tunnel, carrier);
}

void Node::handle_timeout(Now now) {
  Impl& d = *impl_;
  d.path_mtus.expire(now.boot);
  for (Tunnel* first = d.deadlines.first(); first && first->deadline() <= now.boot;
       first = d.deadlines.first()) {
    d.keepalive_timeout(now, *first);
    d.deadline_changed(*first);
  }
}

std::optional<BootTime> Node::next_deadline() const noexcept {
  std::optional<BootTime> out = impl_->path_mtus.next_deadline();
  const Tunnel* first = impl_->deadlines.first();
  if (first && (!out || first->deadline() < *out)) out = first->deadline();
  return out;
}

}  // namespace hats::encap
