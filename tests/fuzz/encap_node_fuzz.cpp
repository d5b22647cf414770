// Two nodes with the same tunnels, each the other's far end, and whatever may happen to them. What goes into
// a tunnel comes out of its other end unchanged, or is counted as dropped; errors from nobody and bytes from
// nobody are taken for nothing; every deadline that is due is served.
#include <algorithm>
#include <optional>
#include <vector>

#include "core/encap/node.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/unit/core/encap_outer.hpp"

namespace hats::encap::fuzz {
namespace {

using hats::fuzz::Input;
using testing::Bytes;

constexpr size_t kMostSteps = 200;  // of one input
constexpr size_t kMostTunnels = 6;
constexpr size_t kMostPacket = 3'000;  // bytes of an inner packet

struct Pair {
  bool exists = false;
  TunnelId near = kNoTunnel, far = kNoTunnel;
  TunnelConfig config;  // the near one
  uint64_t sent = 0, arrived = 0;
};

// The other end of a tunnel.
TunnelConfig mirrored(TunnelConfig config) {
  std::swap(config.local, config.remote);
  std::swap(config.in_key, config.out_key);
  std::swap(config.in_checksum, config.out_checksum);
  std::swap(config.in_sequence, config.out_sequence);
  config.dscp_inherit = false;  // it would change what arrives
  return config;
}

class Run {
 public:
  explicit Run(Input input) : input_(input) {}

  void go() {
    for (size_t step = 0; step < kMostSteps && !input_.empty(); ++step) {
      one_step();
      drain(near_);
      drain(far_);
    }
  }

 private:
  void one_step() {
    Pair& pair = pairs_[input_.below(kMostTunnels)];
    switch (input_.below(12)) {
      case 0:
        return pair.exists ? change(pair) : add(pair);
      case 1:
        return pair.exists ? remove(pair) : add(pair);
      case 2:
        return set_up(pair, input_.byte() % 4 != 0);
      case 3:
        near_.set_mtu(pair.near, input_.u16());
        return far_.set_mtu(pair.far, input_.u16());
      case 4:
        return near_.set_path(now_, pair.near, {input_.u16(), pair.config.local});
      case 5:
        return pass_time(milliseconds(int64_t{1} << input_.below(20)));
      case 6:
        return wild_receive();
      case 7:
        return wild_error();
      case 8: {
        const ByteView bytes = input_.bytes(input_.byte());
        return near_.send_refused(now_, pair.near, bytes,
                                  static_cast<uint32_t>(bytes.size()) + input_.byte());
      }
      default:
        return send(pair);
    }
  }

  TunnelConfig some_config(size_t number) {
    TunnelConfig config;
    const uint8_t bits = input_.byte();
    const bool v6 = (bits & 1) != 0;
    config.kind = v6 ? Kind::gre : static_cast<Kind>(input_.below(3));
    config.local = v6 ? testing::kOurs6 : testing::kOurs;
    config.remote = v6 ? testing::kTheirs6 : testing::kTheirs;
    // Tunnels between the same ends differ by their keys.
    if (config.kind == Kind::gre && (bits & 2) != 0) {
      config.in_key = config.out_key = static_cast<uint32_t>(number);
    } else {
      config.remote.bytes[3] = static_cast<uint8_t>(number + 10);
    }
    if (config.kind == Kind::gre) {
      config.in_checksum = config.out_checksum = (bits & 4) != 0;
      config.in_sequence = config.out_sequence = (bits & 8) != 0;
      if ((bits & 16) != 0) config.keepalive = {input_.byte() + 1u, input_.byte() % 5 + 1u};
    }
    const uint8_t more = input_.byte();
    config.ttl = (more & 1) != 0 ? input_.byte() : 0;
    config.tos_inherit = (more & 2) != 0;
    config.tos = (more & 4) != 0 ? input_.byte() & 0xfc : 0;
    config.path_mtu_discovery = (more & 8) == 0;
    config.ignore_df = (more & 16) != 0;
    if ((more & 32) != 0) config.encapsulation_limit.reset();
    config.flow_label_inherit = (more & 64) != 0;
    return config;
  }

  [[nodiscard]] size_t number_of(const Pair& pair) const {
    return static_cast<size_t>(&pair - pairs_.data());
  }

  void add(Pair& pair) {
    const TunnelConfig config = some_config(number_of(pair));
    const auto near = near_.add(config, 1'400), far = far_.add(mirrored(config), 1'400);
    HATS_FUZZ_CHECK(near.has_value() == far.has_value());
    HATS_FUZZ_CHECK(near.has_value());
    pair = {.exists = true, .near = *near, .far = *far, .config = config};
    set_up(pair, true);
  }
  // Sequence numbers that are still used go on, so both ends change at once.
  void change(Pair& pair) {
    const TunnelConfig config = some_config(number_of(pair));
    HATS_FUZZ_CHECK(near_.change(now_, pair.near, config).has_value());
    HATS_FUZZ_CHECK(far_.change(now_, pair.far, mirrored(config)).has_value());
    pair.config = config;
  }
  void remove(Pair& pair) {
    near_.remove(pair.near);
    far_.remove(pair.far);
    pair = {};
  }
  void set_up(Pair& pair, bool up) {
    near_.set_up(now_, pair.near, up);
    far_.set_up(now_, pair.far, up);
  }

  void pass_time(Duration span) {
    now_.boot = now_.boot + span;
    for (Node* node : {&near_, &far_}) {
      node->handle_timeout(now_);
      const auto due = node->next_deadline();
      HATS_FUZZ_CHECK(!due || *due > now_.boot);
    }
  }

  // An inner packet with valid lengths, cut apart after its headers or not.
  void send(Pair& pair) {
    const uint8_t choice = input_.byte();
    testing::Shape s;
    s.v4 = (choice & 1) != 0;
    s.tcp = (choice & 2) != 0;
    s.dont_fragment = (choice & 4) != 0;
    s.tos = input_.byte();
    s.ttl = input_.byte();
    Bytes payload(std::min<size_t>(input_.u16(), kMostPacket), 0x5a);
    const ByteView some = input_.bytes(std::min<size_t>(payload.size(), 8));
    std::copy(some.begin(), some.end(), payload.begin());
    Bytes packet = packet::testing::build(s, payload);
    const Bytes original = packet;
    packet::Piece piece{.data = packet.data(), .size = static_cast<uint32_t>(packet.size())};
    Bytes head(packet.begin(), packet.begin() + static_cast<long>(s.head()));
    if ((choice & 8) != 0) {
      std::fill_n(packet.begin(), s.head(), uint8_t{0xee});
      piece.head = head.data();
      piece.head_size = static_cast<uint16_t>(s.head());
    }
    OutboundBatch out;
    near_.plan_outbound(now_, pair.near, std::span(&piece, 1), out);
    Node::work(out);
    near_.commit_outbound(now_, out);
    HATS_FUZZ_CHECK(out.packets.size() <= (pair.exists ? 1u : 0u));
    if (out.packets.empty()) return;
    ++pair.sent;
    const Bytes outer = on_the_wire(out.packets[0], pair.config);
    const auto arrived = take(far_, outer, like(pair.config, out.packets[0]));
    const TunnelStatus status = far_.status(now_, pair.far);
    if (arrived) {
      ++pair.arrived;
      HATS_FUZZ_CHECK(*arrived == original);
    }
    // Nothing that we send is refused by our like: hosts behind a tunnel are not its ends.
    HATS_FUZZ_CHECK(arrived.has_value());
    HATS_FUZZ_CHECK(status.counters.rx_packets == pair.arrived && pair.arrived == pair.sent);
  }

  static Bytes on_the_wire(const OutPacket& packet, const TunnelConfig& config) {
    Bytes payload(packet.head.begin(), packet.head.begin() + packet.head_size);
    payload.insert(payload.end(), packet.data, packet.data + packet.size);
    HATS_FUZZ_CHECK(packet.to == config.remote && packet.ttl != 0);
    if (config.outer() == Family::v6) return payload;
    return testing::OuterV4{
        .protocol = protocol_of(packet.kind), .from = packet.from.address, .to = packet.to, .tos = packet.ds}
        .packet(payload);
  }
  static Received like(const TunnelConfig& config, const OutPacket& packet) {
    Received out;
    out.kind = config.kind;
    out.family = config.outer();
    out.from = config.local;
    out.to = config.remote;
    out.ds = packet.ds;
    return out;
  }
  std::optional<Bytes> take(Node& node, Bytes bytes, Received received) const {
    received.bytes = bytes;
    InboundBatch batch;
    std::vector<InnerPacket> inner;
    node.plan_inbound(now_, std::span(&received, 1), batch);
    Node::work(batch);
    node.commit_inbound(now_, batch, inner);
    if (inner.empty()) return std::nullopt;
    HATS_FUZZ_CHECK(inner.size() == 1);
    return Bytes(inner[0].data, inner[0].data + inner[0].size);
  }

  void wild_receive() {
    Received received;
    received.kind = static_cast<Kind>(input_.below(3));
    received.family = input_.byte() % 2 == 0 ? Family::v4 : Family::v6;
    received.from = testing::kOurs6;
    received.to = testing::kTheirs6;
    const ByteView bytes = input_.bytes(input_.byte());
    // To the near node, so that what the far one counts stays ours.
    (void)take(near_, {bytes.begin(), bytes.end()}, received);
  }

  void wild_error() {
    const Family family = input_.byte() % 2 == 0 ? Family::v4 : Family::v6;
    const ByteView bytes = input_.bytes(input_.byte());
    if (const auto parsed = parse_outer_error(family, bytes, testing::kTheirs6))
      near_.outer_error(now_, *parsed);
    OuterError error;
    error.family = family;
    error.type = input_.byte();
    error.code = input_.byte();
    error.mtu = input_.u16();
    error.quoted = bytes;
    near_.outer_error(now_, error);
  }

  // Everything owed is taken; it must be possible.
  void drain(Node& node) {
    for (ControlPacket control; node.poll_packet(control);) {
      HATS_FUZZ_CHECK(!control.bytes.empty() && control.out.to.is_set() && control.out.ttl != 0);
    }
    TunnelId tunnel = kNoTunnel;
    for (packet::IcmpError error; node.poll_icmp(tunnel, error);) {
      HATS_FUZZ_CHECK(error.packet.size() >= 20 && error.packet.size() <= packet::kMaxIcmpV6Error);
    }
    for (bool carrier = false; node.poll_carrier(tunnel, carrier);) {
      HATS_FUZZ_CHECK(node.status(now_, tunnel).config.keepalive.interval_s != 0 || carrier);
    }
  }

  Input input_;
  Node near_, far_;
  std::array<Pair, kMostTunnels> pairs_;
  Now now_{BootTime{seconds(5'000).ns}, {}};
};

}  // namespace
}  // namespace hats::encap::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hats::encap::fuzz::Run(hats::fuzz::Input(data, size)).go();
  return 0;
}
