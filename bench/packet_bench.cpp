// core/packet by the packet: the checksum pass, cutting a TSO read, merging into TSO and USO writes.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/packet/checksum.hpp"
#include "core/packet/cut.hpp"
#include "core/packet/ip_view.hpp"
#include "core/packet/merge.hpp"

namespace hats::packet {
namespace {

using Bytes = std::vector<uint8_t>;

// An IPv4 packet with right checksums; `flow` gives the port.
Bytes make(bool tcp, size_t payload, uint16_t flow, uint32_t sequence, bool partial = false) {
  const size_t head = tcp ? 52 : 28;
  Bytes p(head + payload, 0x5a);
  std::fill_n(p.begin(), head, uint8_t{0});
  p[0] = 0x45;
  p[6] = 0x40;
  p[8] = 64;
  p[9] = tcp ? kProtoTcp : kProtoUdp;
  p[12] = p[16] = 10;
  p[15] = 1;
  p[19] = 2;
  store_be16(&p[2], static_cast<uint16_t>(p.size()));
  store_be16(&p[10], finish(sum_of(ByteView(p).first(20))));
  store_be16(&p[20], flow);
  store_be16(&p[22], 5201);
  const size_t field = tcp ? 36 : 26;
  if (tcp) {
    store_be32(&p[24], sequence);
    p[32] = 0x80;
    p[33] = kTcpAck;
  } else {
    store_be16(&p[24], static_cast<uint16_t>(p.size() - 20));
  }
  const Sum pseudo =
      pseudo_header_sum(ByteView(p).subspan(12, 8), p[9], static_cast<uint32_t>(p.size() - 20));
  store_be16(&p[field], partial ? fold(pseudo) : finish(pseudo + sum_of(ByteView(p).subspan(20))));
  return p;
}

void checksum(benchmark::State& state) {
  const Bytes bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) benchmark::DoNotOptimize(finish(sum_of(bytes)));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(20)->Arg(64)->Arg(512)->Arg(1'420)->Arg(65'535);

void cut_read(benchmark::State& state) {
  const bool tcp = state.range(0) != 0;
  const auto segment = static_cast<uint16_t>(state.range(1));
  const size_t count = std::min<size_t>(64, 65'000 / segment);
  const Bytes packet = make(tcp, segment * count, 1, 1, true);
  Offload offload{.kind = tcp ? Offload::Kind::tcp4 : Offload::Kind::udp, .needs_checksum = true};
  offload.checksum_start = 20;
  offload.checksum_offset = tcp ? 16 : 6;
  offload.segment_size = segment;
  HeadArena heads(64);
  std::vector<Piece> pieces;
  Bytes work = packet;
  for (auto _ : state) {
    std::copy_n(packet.begin(), 64, work.begin());  // cutting changes the first header
    heads.clear();
    pieces.clear();
    benchmark::DoNotOptimize(cut(work, 0, offload, heads, pieces));
  }
  state.counters["ns_per_packet"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(count),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(cut_read)
    ->ArgNames({"tcp", "segment"})
    ->Args({1, 1'368})
    ->Args({1, 536})
    ->Args({0, 1'392})
    ->Args({0, 64});

// 256 packets, of as many flows in turn as the argument says.
void merge_batch(benchmark::State& state) {
  const bool tcp = state.range(0) != 0;
  const auto payload = static_cast<size_t>(state.range(1));
  const auto flows = static_cast<uint32_t>(state.range(2));
  std::vector<Bytes> packets;
  packets.reserve(256);
  for (uint32_t i = 0; i < 256; ++i) {
    packets.push_back(make(tcp, payload, static_cast<uint16_t>(1000 + i % flows),
                           static_cast<uint32_t>(i / flows * payload)));
  }
  const std::vector<Bytes> fresh = packets;
  std::vector<ByteSpan> spans(packets.begin(), packets.end());
  MergedWrites merged;
  for (auto _ : state) {
    for (size_t i = 0; i < packets.size(); ++i) std::copy_n(fresh[i].begin(), 60, packets[i].begin());
    merged.clear();
    merge(spans, {}, merged);
    benchmark::DoNotOptimize(merged.writes.data());
  }
  state.counters["ns_per_packet"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 256.0,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["writes"] = static_cast<double>(merged.writes.size());
}
BENCHMARK(merge_batch)
    ->ArgNames({"tcp", "payload", "flows"})
    ->ArgsProduct({{1, 0}, {1'368, 64}, {1, 8, 256}});

}  // namespace
}  // namespace hats::packet

BENCHMARK_MAIN();
