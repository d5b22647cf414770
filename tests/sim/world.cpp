#include "tests/sim/world.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "core/packet/checksum.hpp"

namespace hats::sim {
namespace {

constexpr size_t kSlabs = 4;
constexpr size_t kSlabBytes = 66'000;

Endpoint endpoint_of(size_t node) {
  const std::array<uint8_t, 4> address{192, 0, 2, static_cast<uint8_t>(node + 1)};
  return {IpAddress::v4(address.data()), static_cast<uint16_t>(51'820 + node), 0};
}

std::array<uint8_t, 4> inner_v4(size_t node) {
  return {10, 0, 0, static_cast<uint8_t>(node + 1)};
}
std::array<uint8_t, 16> inner_v6(size_t node) {
  std::array<uint8_t, 16> out{0xfd};
  out[15] = static_cast<uint8_t>(node + 1);
  return out;
}

}  // namespace

Kind kind_of(ByteView datagram) {
  if (datagram.size() < 4) return Kind::other;
  switch (load_le32(datagram.data())) {
    case 1:
      return datagram.size() == 148 ? Kind::initiation : Kind::other;
    case 2:
      return datagram.size() == 92 ? Kind::response : Kind::other;
    case 3:
      return datagram.size() == 64 ? Kind::cookie_reply : Kind::other;
    case 4:
      return datagram.size() == 32 ? Kind::keepalive : Kind::data;
    default:
      return Kind::other;
  }
}

const char* name_of(Kind kind) {
  static constexpr const char* kNames[] = {"initiation", "response", "cookie", "keepalive", "data", "other"};
  return kNames[static_cast<size_t>(kind)];
}

Node::Node(uint64_t seed, uint32_t mtu, Endpoint where) : address(where), rng_(seed), device(rng_, mtu) {
  private_key = crypto::generate_private_key(rng_);
  public_key = crypto::public_key_of(private_key);
}

World::World(uint64_t seed, size_t nodes, uint32_t mtu)
    : now_{BootTime{seconds(1'000).ns}, WallTime{1'700'000'000, 0}},
      rng_(seed),
      aead_(crypto::make_aead(crypto::AeadChoice::sodium)),
      slabs_(kSlabs, Bytes(kSlabBytes)) {
  for (size_t i = 0; i < nodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(seed * 1'000 + i + 1, mtu, endpoint_of(i)));
    wg::DeviceUpdate update;
    update.private_key = nodes_[i]->private_key.copy();
    nodes_[i]->device.apply(now_, update);
  }
}

wg::PeerUpdate World::peer_update(size_t b) const {
  wg::PeerUpdate out;
  out.public_key = nodes_[b]->public_key;
  out.allowed_ips = {{{IpAddress::v4(inner_v4(b).data()), 32}}, {{IpAddress::v6(inner_v6(b).data()), 128}}};
  return out;
}

void World::introduce(size_t a, size_t b, bool reachable) {
  wg::DeviceUpdate update;
  update.peers.push_back(peer_update(b));
  if (reachable) update.peers.back().endpoint = nodes_[b]->address;
  apply(a, update);
}

void World::connect_all() {
  for (size_t a = 0; a < size(); ++a) {
    for (size_t b = 0; b < size(); ++b) {
      if (a != b) introduce(a, b);
    }
    set_up(a, true);
  }
}

Bytes World::packet(size_t a, size_t b, uint32_t mark, size_t size, uint8_t tos) {
  Bytes out(20);
  out.resize(size, 0x5a);
  out[0] = 0x45;
  out[1] = tos;
  store_be16(&out[2], static_cast<uint16_t>(size));
  out[8] = 64;
  out[9] = 253;  // for experiments, RFC 3692
  std::ranges::copy(inner_v4(a), &out[12]);
  std::ranges::copy(inner_v4(b), &out[16]);
  store_be16(&out[10], packet::finish(packet::sum_of(ByteView(out).first(20))));
  if (size >= 24) store_be32(&out[20], mark);
  return out;
}

Bytes World::packet6(size_t a, size_t b, uint32_t mark, size_t size, uint8_t tos) {
  Bytes out(40);
  out.resize(size, 0xa5);
  store_be32(out.data(), 0x6000'0000U | uint32_t{tos} << 20);
  store_be16(&out[4], static_cast<uint16_t>(size - 40));
  out[6] = 253;
  out[7] = 64;
  std::ranges::copy(inner_v6(a), &out[8]);
  std::ranges::copy(inner_v6(b), &out[24]);
  if (size >= 44) store_be32(&out[40], mark);
  return out;
}

uint32_t World::mark_of(const Bytes& packet) {
  return load_be32(&packet[(packet[0] >> 4) == 4 ? 20 : 40]);
}

void World::set_time(BootTime time) {
  const int64_t ns = now_.wall.nanoseconds + (time - now_.boot).ns;
  now_.wall.seconds += ns / 1'000'000'000;
  now_.wall.nanoseconds = static_cast<uint32_t>(ns % 1'000'000'000);
  now_.boot = time;
}

size_t World::node_at(const Endpoint& endpoint) const {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->address == endpoint) return i;
  }
  return nodes_.size();
}

bool World::chance(double probability) {
  constexpr uint64_t kSteps = 1'000'000;
  return static_cast<double>(rng_.below(kSteps)) < probability * kSteps;
}

void World::transmit(size_t node, Datagram datagram) {
  datagram.from = nodes_[node]->address;
  trace.push_back({now_.boot, node, kind_of(datagram.bytes), datagram});
  if (filter && !filter(datagram)) return;
  if (datagram.bytes.size() > network.mtu || chance(network.loss)) return;
  const auto arrival = [&] {
    const int64_t jitter = network.jitter.ns > 0
                               ? static_cast<int64_t>(rng_.below(static_cast<uint64_t>(network.jitter.ns)))
                               : 0;
    return now_.boot + network.delay + Duration{jitter};
  };
  if (chance(network.duplication)) under_way_.emplace(arrival(), datagram);
  under_way_.emplace(arrival(), std::move(datagram));
}

void World::lend_slabs(wg::OutboundBatch& batch) {
  for (Bytes& slab : slabs_) batch.lend(slab);
}

void World::send_batch(size_t node, wg::OutboundBatch& batch) {
  wg::Device::work(batch, *aead_);
  device(node).commit_outbound(now_, batch);
  for (const wg::DatagramRun& run : batch.runs) {
    for (uint32_t at = 0; at < run.size; at += run.segment_size) {
      const uint32_t size = std::min(run.segment_size, run.size - at);
      transmit(node, {{}, run.to, run.ds, Bytes(run.data + at, run.data + at + size), run.from});
    }
  }
  batch.clear();
}

void World::drain(size_t node) {
  wg::Device& device = nodes_[node]->device;
  while (device.has_handshakes() || device.has_pending()) {
    device.process_handshakes(now_, 16);
    lend_slabs(outbound_);
    (void)device.plan_pending(now_, outbound_);
    send_batch(node, outbound_);
  }
  wg::ControlDatagram control;
  while (device.poll_datagram(control)) {
    const auto end = control.bytes.begin() + control.size;
    transmit(node, {{}, control.to, control.ds, Bytes(control.bytes.begin(), end), control.from});
  }
  wg::IcmpError error;
  while (device.poll_icmp(error)) nodes_[node]->icmp.push_back(std::move(error));
}

void World::send(size_t from, std::vector<Bytes> packets) {
  std::vector<packet::Piece> pieces;
  for (Bytes& bytes : packets) {
    const auto size = static_cast<uint32_t>(bytes.size());
    // Half of them without room behind them: both ways to pad.
    const uint32_t room = pieces.size() % 2 == 0 ? 16 : 0;
    bytes.resize(size + room);
    pieces.push_back({.data = bytes.data(), .size = size, .room = room});
  }
  std::span<const packet::Piece> rest(pieces);
  while (!rest.empty()) {
    lend_slabs(outbound_);
    rest = rest.subspan(device(from).plan_outbound(now_, rest, outbound_));
    send_batch(from, outbound_);
  }
  drain(from);
}

void World::inject(size_t node, Datagram datagram) {
  inject(node, std::vector<Datagram>{std::move(datagram)});
}

void World::inject(size_t node, const std::vector<Datagram>& datagrams) {
  std::vector<Bytes> memory;
  memory.reserve(datagrams.size());
  for (const Datagram& datagram : datagrams) memory.push_back(datagram.bytes);
  std::vector<wg::Received> received;
  received.reserve(datagrams.size());
  for (size_t i = 0; i < datagrams.size(); ++i) {
    received.push_back({.bytes = memory[i],
                        .from = datagrams[i].from,
                        .to = {datagrams[i].to.address, 1},
                        .ds = datagrams[i].ds});
  }
  inner_.clear();
  device(node).plan_inbound(now_, received, inbound_);
  wg::Device::work(inbound_, *aead_);
  device(node).commit_inbound(now_, inbound_, inner_);
  for (const wg::InnerPacket& packet : inner_) {
    nodes_[node]->delivered.emplace_back(packet.data, packet.data + packet.size);
  }
  inbound_.clear();
  drain(node);
}

void World::apply(size_t node, const wg::DeviceUpdate& update) {
  device(node).apply(now_, update);
  drain(node);
}

void World::set_up(size_t node, bool up) {
  device(node).set_up(now_, up);
  drain(node);
}

void World::set_keepalive(size_t a, size_t b, uint16_t interval_s) {
  wg::DeviceUpdate update;
  update.peers.emplace_back();
  update.peers[0].public_key = nodes_[b]->public_key;
  update.peers[0].persistent_keepalive_s = interval_s;
  apply(a, update);
}

BootTime World::next_event() const {
  BootTime next{INT64_MAX};
  if (!under_way_.empty()) next = under_way_.begin()->first;
  for (const auto& node : nodes_) {
    if (const auto deadline = node->device.next_deadline()) next = std::min(next, *deadline);
  }
  return next;
}

bool World::step(Duration limit) {
  const BootTime end = now_.boot + limit;
  BootTime next = next_event();
  if (extra_poll.ns > 0) {
    const int64_t poll = (now_.boot.ns / extra_poll.ns + 1) * extra_poll.ns;
    next = std::min(next, BootTime{poll});
  }
  if (next > end) {
    set_time(end);
    return false;
  }
  set_time(std::max(next, now_.boot));
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const auto deadline = nodes_[i]->device.next_deadline();
    if (extra_poll.ns == 0 && (!deadline || *deadline > now_.boot)) continue;
    nodes_[i]->device.handle_timeout(now_);
    drain(i);
  }
  while (!under_way_.empty() && under_way_.begin()->first <= now_.boot) {
    Datagram datagram = std::move(under_way_.begin()->second);
    under_way_.erase(under_way_.begin());
    const size_t to = node_at(datagram.to);
    if (to < nodes_.size()) inject(to, std::move(datagram));
  }
  return true;
}

void World::advance(Duration duration) {
  const BootTime end = now_.boot + duration;
  while (step(end - now_.boot)) {
  }
}

size_t World::count(size_t node, Kind kind) const {
  return times(node, kind).size();
}

std::vector<BootTime> World::times(size_t node, Kind kind) const {
  std::vector<BootTime> out;
  for (const Sent& sent : trace) {
    if (sent.node == node && sent.kind == kind) out.push_back(sent.at);
  }
  return out;
}

const Datagram& World::last(size_t node, Kind kind) const {
  const auto found = std::find_if(trace.rbegin(), trace.rend(),
                                  [&](const Sent& sent) { return sent.node == node && sent.kind == kind; });
  if (found == trace.rend()) std::abort();
  return found->datagram;
}

std::string World::trace_text() const {
  std::ostringstream out;
  for (const Sent& sent : trace) {
    out << sent.at.ns << ' ' << sent.node << ' ' << name_of(sent.kind) << ' ' << sent.datagram.to.text()
        << ' ';
    for (const uint8_t byte : sent.datagram.bytes)
      out << "0123456789abcdef"[byte >> 4] << "0123456789abcdef"[byte & 15];
    out << '\n';
  }
  return out.str();
}

wg::PeerSnapshot World::peer(size_t a, size_t b) const {
  wg::DeviceSnapshot snapshot = nodes_[a]->device.snapshot();
  for (wg::PeerSnapshot& one : snapshot.peers) {
    if (one.public_key == nodes_[b]->public_key) return std::move(one);
  }
  return {};
}

}  // namespace hats::sim
