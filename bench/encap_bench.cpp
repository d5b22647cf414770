// The unencrypted tunnels without I/O: what a packet costs each way, and how little that depends on the
// number of tunnels.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "core/encap/gre_header.hpp"
#include "core/encap/node.hpp"
#include "core/packet/checksum.hpp"
#include "core/packet/ip_view.hpp"

namespace hats::encap {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kBatch = 64;  // packets
// In memory, of all tunnels: as many for one tunnel as for 10,000, so that the packets' own cache misses are
// the same.
constexpr uint32_t kPackets = 157 * kBatch;
constexpr uint32_t kMtu = 1'476;
const Now kNow{BootTime{seconds(100).ns}, {}};

IpAddress address(uint32_t number) {
  std::array<uint8_t, 4> bytes{};
  store_be32(bytes.data(), number);
  return IpAddress::v4(bytes.data());
}
IpAddress remote(uint32_t tunnel) {
  return address(0xc612'0000 + tunnel);  // 198.18.0.0/15
}
const IpAddress kLocal = address(0xc000'0201);

void write_ip(uint8_t* to, uint8_t protocol, size_t size, const IpAddress& from,
              const IpAddress& destination) {
  std::fill_n(to, packet::kIpv4MinHeader, uint8_t{0});
  to[0] = 0x45;
  to[8] = 64;
  to[9] = protocol;
  store_be16(to + 2, static_cast<uint16_t>(size));
  std::copy_n(from.bytes.begin(), 4, to + 12);
  std::copy_n(destination.bytes.begin(), 4, to + 16);
  store_be16(to + 10, packet::finish(packet::sum_of({to, packet::kIpv4MinHeader})));
}

// A TCP packet of `size` bytes between hosts behind the tunnels.
Bytes inner_packet(size_t size) {
  Bytes p(size, 0x5a);
  write_ip(p.data(), packet::kProtoTcp, size, address(0x0a00'0001), address(0x0a00'0102));
  p[32] = 0x50;
  p[33] = packet::kTcpAck;
  store_be16(&p[36], 0);
  const ByteView view(p);
  const auto pseudo =
      packet::pseudo_header_sum(view.subspan(12, 8), packet::kProtoTcp, static_cast<uint32_t>(size - 20));
  store_be16(&p[36], packet::finish(pseudo + packet::sum_of(view.subspan(20))));
  return p;
}

Bytes outer_packet(const TunnelConfig& config, const Bytes& inner) {
  Bytes p(packet::kIpv4MinHeader + kGreMaxHeader);
  size_t head = packet::kIpv4MinHeader;
  if (config.kind == Kind::gre) {
    head += write_gre_header(&p[head], {.protocol = kEtherIpv4,
                                        .has_checksum = config.in_checksum,
                                        .key = config.in_key,
                                        .sequence = std::nullopt});
  }
  p.resize(head);
  p.insert(p.end(), inner.begin(), inner.end());
  if (config.in_checksum) {
    store_be16(&p[24], packet::finish(packet::sum_of(ByteView(p).subspan(packet::kIpv4MinHeader))));
  }
  write_ip(p.data(), protocol_of(config.kind), p.size(), config.remote, kLocal);
  return p;
}

enum class Sort : int64_t { ipip, gre, gre_key, gre_checksum };

TunnelConfig config_of(Sort sort, uint32_t tunnel) {
  TunnelConfig config;
  config.kind = sort == Sort::ipip ? Kind::ipip : Kind::gre;
  config.local = kLocal;
  config.remote = remote(tunnel);
  if (sort == Sort::gre_key) config.in_key = config.out_key = tunnel;
  config.in_checksum = config.out_checksum = sort == Sort::gre_checksum;
  return config;
}

// A node with `count` tunnels, and packets that came for them in no order.
class Tunnels {
 public:
  Tunnels(uint32_t count, Sort sort, size_t inner_size) {
    const Bytes inner = inner_packet(inner_size);
    std::mt19937 rng(1);
    for (uint32_t i = 0; i < count; ++i) {
      ids.push_back(*node.add(config_of(sort, i), kMtu));
      node.set_up(kNow, ids.back(), true);
      node.set_path(kNow, ids.back(), {1'500, kLocal});
    }
    for (uint32_t i = 0; i < kPackets; ++i) order.push_back(i % count);
    std::shuffle(order.begin(), order.end(), rng);
    for (const uint32_t tunnel : order) {
      arrived.push_back(outer_packet(config_of(sort, tunnel), inner));
      received.push_back({.bytes = arrived.back(), .kind = config_of(sort, 0).kind});
      leaving.push_back(inner);
      pieces.push_back({.data = leaving.back().data(), .size = static_cast<uint32_t>(inner_size)});
    }
  }
  Node node;
  std::vector<TunnelId> ids;
  std::vector<uint32_t> order;  // the tunnel of each packet
  std::vector<Bytes> arrived, leaving;
  std::vector<Received> received;
  std::vector<packet::Piece> pieces;
};

void per_packet(benchmark::State& state) {
  state.counters["ns_per_packet"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kBatch,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void decapsulate(benchmark::State& state) {
  Tunnels t(static_cast<uint32_t>(state.range(0)), static_cast<Sort>(state.range(1)),
            static_cast<size_t>(state.range(2)));
  InboundBatch batch;
  std::vector<InnerPacket> inner;
  size_t at = 0;
  for (auto _ : state) {
    batch.clear();
    inner.clear();
    t.node.plan_inbound(kNow, std::span(t.received).subspan(at, kBatch), batch);
    Node::work(batch);
    t.node.commit_inbound(kNow, batch, inner);
    if (inner.size() != kBatch) state.SkipWithError("not every packet was delivered");
    at = (at + kBatch) % t.received.size();
  }
  per_packet(state);
}

void encapsulate(benchmark::State& state) {
  Tunnels t(static_cast<uint32_t>(state.range(0)), static_cast<Sort>(state.range(1)),
            static_cast<size_t>(state.range(2)));
  OutboundBatch batch;
  size_t at = 0;
  for (auto _ : state) {
    batch.clear();
    for (size_t i = at; i < at + kBatch; ++i) {
      t.node.plan_outbound(kNow, t.ids[t.order[i]], std::span(&t.pieces[i], 1), batch);
    }
    Node::work(batch);
    t.node.commit_outbound(kNow, batch);
    if (batch.packets.size() != kBatch) state.SkipWithError("not every packet was sent");
    at = (at + kBatch) % t.pieces.size();
  }
  per_packet(state);
}

void arguments(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"tunnels", "sort", "size"});
  for (const int64_t tunnels : {1, 10, 100, 1'000, 10'000}) {
    for (const Sort sort : {Sort::ipip, Sort::gre, Sort::gre_key}) {
      bench->Args({tunnels, static_cast<int64_t>(sort), 100});
    }
  }
  for (const Sort sort : {Sort::gre, Sort::gre_checksum}) {
    bench->Args({1, static_cast<int64_t>(sort), 1'440});
  }
}
BENCHMARK(decapsulate)->Apply(arguments);
BENCHMARK(encapsulate)->Apply(arguments);

}  // namespace
}  // namespace hats::encap

BENCHMARK_MAIN();
