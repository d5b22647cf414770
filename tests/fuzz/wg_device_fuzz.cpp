// A pair of devices on a virtual clock and network (tests/sim): the input is what happens to them. Whatever
// it says, a packet comes out of a tunnel at most once, and only if it went in; no nonce is used twice under
// a key; and a datagram that is nobody's, or was changed on its way, changes nothing and draws no answer.
#include <map>
#include <set>

#include "tests/fuzz/input.hpp"
#include "tests/sim/world.hpp"

namespace hats {
namespace {

using sim::Bytes;
using sim::Datagram;

constexpr size_t kMostSteps = 200;     // of one input
constexpr size_t kMostCaptured = 128;  // datagrams remembered for later; the oldest go
constexpr size_t kMostFloods = 2;      // floods are slow
constexpr uint32_t kFlood = 600;       // enough to be under load: 512 waiting (formats.md 6.4)
constexpr size_t kNodes = 2;

Endpoint stranger(uint8_t number) {
  const std::array<uint8_t, 4> address{203, 0, 113, number};
  return {IpAddress::v4(address.data()), 4000, 0};
}

class Run {
 public:
  explicit Run(fuzz::Input input)
      : input_(input), world_(input_.byte(), kNodes), aead_(crypto::make_aead(crypto::AeadChoice::sodium)) {
    world_.filter = [this](Datagram& datagram) { return on_its_way(datagram); };
    world_.connect_all();
  }

  void go() {
    for (size_t step = 0; step < kMostSteps && !input_.empty(); ++step) {
      one_step();
      check();
    }
    fates_.clear();
    world_.advance(seconds(1));
    check();
  }

 private:
  struct Given {
    Bytes bytes;
    bool delivered = false;
  };
  /// What is to happen to a datagram that leaves.
  enum class Fate : uint8_t { arrives, lost, changed, cut };

  void one_step() {
    const uint8_t what = input_.byte();
    const size_t node = what >> 7;
    switch (what % 16) {
      case 0:
      case 1:
        return send_marked(node);
      case 2:
        return send_wild(node);
      case 3:
      case 4:
        return world_.advance(milliseconds(int64_t{1} << input_.below(18)));  // up to 131 s
      case 5:
        (void)world_.step(seconds(300));
        return;
      case 6:
        return fates_.push_back(static_cast<Fate>(input_.below(4)));
      case 7:
        return inject_wild(node);
      case 8:
        return inject_changed(node);
      case 9:
        return replay(node);
      case 10:
        return replay_merged(node);
      case 11:
        return flood(node);
      case 12:
      case 13:
        return configure(node);
      case 14:
        if (input_.below(4) == 0) world_.shift_wall(input_.below(256) - int64_t{100});
        return world_.device(node).handle_timeout(world_.now());
      default:
        return interface_event(node);
    }
  }

  // ---- packets ----
  void send_marked(size_t node) {
    std::vector<Bytes> packets;
    for (uint32_t n = input_.below(80) + 1; n != 0; --n) {
      const size_t size = 44 + (n == 1 ? input_.u16() % 9000U : n * 7);
      const size_t to = input_.below(16) == 0 ? node : 1 - node;
      packets.push_back((n & 1) != 0 ? sim::World::packet(node, to, ++mark_, size)
                                     : sim::World::packet6(node, to, ++mark_, size));
      given_[node].push_back({packets.back()});
    }
    world_.send(node, std::move(packets));
  }

  void send_wild(size_t node) {
    const ByteView bytes = input_.bytes(input_.byte());
    if (bytes.empty()) return;
    given_[node].push_back({Bytes(bytes.begin(), bytes.end())});
    world_.send(node, {Bytes(bytes.begin(), bytes.end())});
  }

  // ---- the network ----
  bool on_its_way(Datagram& datagram) {
    captured_.push_back(datagram);
    if (captured_.size() > kMostCaptured) captured_.pop_front();
    if (fates_.empty()) return true;
    const Fate fate = fates_.front();
    fates_.pop_front();
    if (fate == Fate::changed) change(datagram);
    if (fate == Fate::cut) datagram.bytes.resize(input_.below(static_cast<uint32_t>(datagram.bytes.size())));
    return fate != Fate::lost;
  }

  /// Changes at least one bit, not in mac2 (which nobody looks at without load).
  void change(Datagram& datagram) {
    size_t size = datagram.bytes.size();
    const sim::Kind kind = sim::kind_of(datagram.bytes);
    if (kind == sim::Kind::initiation || kind == sim::Kind::response) size -= 16;
    if (size == 0) return;
    const auto bit = static_cast<uint8_t>(1U << input_.below(8));
    datagram.bytes[input_.below(static_cast<uint32_t>(size))] ^= bit;
  }

  const Datagram* captured() {
    return captured_.empty() ? nullptr : &captured_[input_.below(static_cast<uint32_t>(captured_.size()))];
  }

  /// Gives a datagram that must mean nothing to anybody.
  void inject_without_effect(size_t node, const Datagram& datagram) {
    const size_t sent = world_.trace.size(), delivered = world_.node(node).delivered.size();
    const wg::DeviceSnapshot before = world_.device(node).snapshot();
    const auto deadline = world_.device(node).next_deadline();
    world_.inject(node, datagram);
    const wg::DeviceSnapshot after = world_.device(node).snapshot();
    HATS_FUZZ_CHECK(world_.trace.size() == sent);
    HATS_FUZZ_CHECK(world_.node(node).delivered.size() == delivered);
    HATS_FUZZ_CHECK(world_.device(node).next_deadline() == deadline);
    HATS_FUZZ_CHECK(before.peers.size() == after.peers.size());
    for (size_t i = 0; i < before.peers.size(); ++i) {
      HATS_FUZZ_CHECK(before.peers[i].endpoint == after.peers[i].endpoint);
      HATS_FUZZ_CHECK(before.peers[i].rx_bytes == after.peers[i].rx_bytes);
      HATS_FUZZ_CHECK(before.peers[i].tx_bytes == after.peers[i].tx_bytes);
      HATS_FUZZ_CHECK(before.peers[i].last_handshake_s == after.peers[i].last_handshake_s);
    }
  }

  void inject_wild(size_t node) {
    const uint8_t head = input_.byte();
    Bytes bytes;
    if ((head & 0x80) != 0) bytes = {static_cast<uint8_t>(head % 5), 0, 0, 0};
    constexpr std::array<size_t, 8> kSizes = {148, 92, 64, 32, 0, 33, 1500, 9000};
    const ByteView rest = input_.bytes(input_.byte());
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    if ((head & 0x40) != 0) bytes.resize(kSizes[head >> 3 & 7]);
    Datagram datagram;
    datagram.from = stranger(1);
    datagram.to = world_.node(node).address;
    datagram.ds = input_.byte();
    datagram.bytes = std::move(bytes);
    inject_without_effect(node, datagram);
  }

  void inject_changed(size_t node) {
    const Datagram* from = captured();
    if (from == nullptr || from->bytes.empty()) return;
    Datagram datagram = *from;
    datagram.from = stranger(2);
    if (input_.below(4) == 0) {
      const sim::Kind kind = sim::kind_of(datagram.bytes);
      datagram.bytes.resize(input_.below(2) == 0 ? datagram.bytes.size() + 1 : datagram.bytes.size() - 1);
      // A data message without its last byte may have become a keepalive's length, but never authentic.
      HATS_FUZZ_CHECK(kind != sim::kind_of(datagram.bytes) || kind == sim::Kind::data ||
                      kind == sim::Kind::other);
    } else {
      change(datagram);
    }
    if (!(datagram.bytes == from->bytes)) inject_without_effect(node, datagram);
  }

  void replay(size_t node) {
    const Datagram* from = captured();
    if (from == nullptr) return;
    Datagram datagram = *from;
    if (input_.below(4) == 0) datagram.from = stranger(3);
    world_.inject(node, datagram);
  }

  /// As GRO would give them: many datagrams in one buffer, cut at a size that need not be theirs.
  void replay_merged(size_t node) {
    Bytes bytes;
    const Datagram* first = captured();
    if (first == nullptr) return;
    const Datagram head = *first;
    for (uint32_t n = input_.below(16) + 1; n != 0; --n) {
      const Datagram& one = n % 4 == 0 ? *captured() : head;
      bytes.insert(bytes.end(), one.bytes.begin(), one.bytes.end());
    }
    uint32_t step = static_cast<uint32_t>(head.bytes.size());
    if (input_.below(4) == 0) step = input_.u16();
    const wg::Received received{
        .bytes = bytes, .segment_size = step, .from = head.from, .to = {}, .ds = input_.byte()};
    wg::InboundBatch batch;
    std::vector<wg::InnerPacket> inner;
    wg::Device& device = world_.device(node);
    device.plan_inbound(world_.now(), {&received, 1}, batch);
    wg::Device::work(batch, *aead_);
    device.commit_inbound(world_.now(), batch, inner);
    for (const wg::InnerPacket& packet : inner) {
      world_.node(node).delivered.emplace_back(packet.data, packet.data + packet.size);
    }
    world_.drain(node);
  }

  void flood(size_t node) {
    const Datagram* from = captured();
    if (from == nullptr || floods_++ == kMostFloods) return;
    world_.inject(node, std::vector<Datagram>(kFlood, *from));
  }

  // ---- configuration ----
  void configure(size_t node) {
    const size_t other = 1 - node;
    wg::DeviceUpdate update;
    wg::PeerUpdate peer = world_.peer_update(other);
    peer.allowed_ips.clear();
    const uint8_t what = input_.byte();
    switch (what % 10) {
      case 0:
        peer.remove = true;
        break;
      case 1:
        return world_.introduce(node, other, what >= 128);
      case 2:
        peer.persistent_keepalive_s = input_.u16() % 100;
        break;
      case 3: {
        std::array<uint8_t, 32> psk{};
        psk[0] = input_.byte();
        peer.preshared_key = crypto::PresharedKey(psk);
        break;
      }
      case 4:
        peer.endpoint = what >= 128 ? stranger(4) : world_.node(other).address;
        break;
      case 5:
        peer.replace_allowed_ips = true;
        break;
      case 6: {
        const std::array<uint8_t, 4> address{10, 0, 0, input_.byte()};
        peer.allowed_ips.push_back(
            {{IpAddress::v4(address.data()), static_cast<uint8_t>(input_.below(34))}, what >= 128});
        break;
      }
      case 7:
        return change_key(node, what >= 128);
      case 8:
        update.replace_peers = true;
        break;
      default:
        peer.update_only = true;
        peer.allowed_ips = world_.peer_update(other).allowed_ips;
        break;
    }
    update.peers.push_back(std::move(peer));
    world_.apply(node, update);
  }

  void change_key(size_t node, bool tell_other) {
    wg::DeviceUpdate update;
    std::array<uint8_t, 32> bytes{};
    bytes[0] = input_.byte();  // 0: no key
    update.private_key = crypto::PrivateKey(bytes);
    sim::Node& here = world_.node(node);
    here.public_key = crypto::public_key_of(*update.private_key);
    world_.apply(node, update);
    if (tell_other && bytes[0] != 0) world_.introduce(1 - node, node);
  }

  void interface_event(size_t node) {
    const uint8_t what = input_.byte();
    if (what % 4 == 0) return world_.set_up(node, false);
    if (what % 4 == 1) return world_.set_up(node, true);
    if (what % 4 == 2) return world_.device(node).set_mtu(input_.u16());
    world_.device(node).forget_source(wg::PeerId{what});
  }

  // ---- laws ----
  void check() {
    for (; checked_ < world_.trace.size(); ++checked_) {
      const sim::Sent& sent = world_.trace[checked_];
      if (sent.kind != sim::Kind::data && sent.kind != sim::Kind::keepalive) continue;
      const Bytes& bytes = sent.datagram.bytes;
      const uint64_t key = uint64_t{sent.node} << 32 | load_le32(&bytes[4]);
      HATS_FUZZ_CHECK(nonces_[key].insert(load_le64(&bytes[8])).second);
    }
    for (size_t node = 0; node < kNodes; ++node) {
      for (const Bytes& packet : world_.node(node).delivered) {
        HATS_FUZZ_CHECK(packet.size() >= 20);
        HATS_FUZZ_CHECK(went_in(given_[1 - node], packet));
      }
      world_.node(node).delivered.clear();
      world_.node(node).icmp.clear();
    }
  }

  /// The same bytes, but for ECN (and the IPv4 checksum over it), and padding behind the packet.
  static bool same(const Bytes& given, const Bytes& packet) {
    if (given.size() < packet.size()) return false;
    const bool v4 = packet[0] >> 4 == 4;
    for (size_t i = 0; i < packet.size(); ++i) {
      const bool ecn = v4 ? i == 1 || i == 10 || i == 11 : i == 1;
      if (!ecn && given[i] != packet[i]) return false;
    }
    return true;
  }
  static bool went_in(std::vector<Given>& given, const Bytes& packet) {
    for (Given& one : given) {
      if (one.delivered || !same(one.bytes, packet)) continue;
      one.delivered = true;
      return true;
    }
    return false;
  }

  fuzz::Input input_;
  sim::World world_;
  std::unique_ptr<crypto::Aead> aead_;
  std::deque<Datagram> captured_;
  std::deque<Fate> fates_;
  std::array<std::vector<Given>, kNodes> given_;  // by the node that sends
  std::map<uint64_t, std::set<uint64_t>> nonces_;
  size_t checked_ = 0, floods_ = 0;
  uint32_t mark_ = 0;
};

}  // namespace
}  // namespace hats

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hats::Run(hats::fuzz::Input(data, size)).go();
  return 0;
}
