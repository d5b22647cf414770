// The device without I/O: handshakes of both roles beside their four X25519 operations (aim: within 1.3
// times), and the data pipeline. "overhead" is plan and commit alone, without the AEAD (aim: under 60 ns a
// packet); "whole" is plan, work and commit with the best AEAD of this CPU.

#include <benchmark/benchmark.h>

#include <ctime>
#include <memory>
#include <vector>

#include "core/wg/cookie.hpp"
#include "core/wg/device.hpp"
#include "core/wg/handshake.hpp"
#include "crypto/x25519.hpp"
#include "tests/sim/world.hpp"

namespace {

using namespace hats;
using namespace hats::wg;

// ---- handshakes ----

struct Sides {
  test::SeededRng rng{1};
  StaticIdentity initiator, responder;
  RemoteIdentity to_responder, to_initiator;
  Now now{BootTime{seconds(1000).ns}, WallTime{1'700'000'000, 0}};

  Sides() {
    for (StaticIdentity* side : {&initiator, &responder}) {
      side->private_key = crypto::generate_private_key(rng);
      side->public_key = crypto::public_key_of(side->private_key);
    }
    to_responder.public_key = responder.public_key;
    to_responder.precompute(initiator);
    to_initiator.public_key = initiator.public_key;
    to_initiator.precompute(responder);
  }
  void pass(Duration time) {
    now.boot = now.boot + time;
    ++now.wall.seconds;
  }
};

// What either role cannot do without: its ephemeral key and three shared secrets.
void four_x25519(benchmark::State& state) {
  Sides sides;
  crypto::Secret<32> secret;
  for (auto _ : state) {
    const crypto::PrivateKey ephemeral = crypto::generate_private_key(sides.rng);
    benchmark::DoNotOptimize(crypto::public_key_of(ephemeral));
    for (int i = 0; i < 3; ++i) {
      benchmark::DoNotOptimize(crypto::x25519(secret, ephemeral, sides.responder.public_key));
    }
  }
}
BENCHMARK(four_x25519)->Unit(benchmark::kMicrosecond);

// CPU time of this thread: the machine may have other things to do.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_of(const auto& work) {
  const double start = cpu_seconds();
  work();
  return cpu_seconds() - start;
}

// From the datagram in to the datagram out, through a device.
void handshake_responder(benchmark::State& state) {
  const auto source = IpAddress::parse("192.0.2.1");
  if (!source) return state.SkipWithError("no address");
  Sides sides;
  Device device(sides.rng, 1420);
  DeviceUpdate update;
  update.private_key = sides.responder.private_key.copy();
  update.peers.emplace_back().public_key = sides.initiator.public_key;
  device.apply(sides.now, update);
  device.set_up(sides.now, true);
  CookieGenerator macs(sides.responder.public_key);
  InboundBatch batch;
  ControlDatagram answer;
  for (auto _ : state) {
    sides.pass(seconds(1));
    InitiationMessage message;
    (void)create_initiation(sides.initiator, sides.to_responder, Tai64n::from(sides.now.wall), 7, sides.rng,
                            message);
    macs.add_macs(message, sides.now.boot);
    std::array<uint8_t, sizeof message> bytes;
    std::memcpy(bytes.data(), &message, bytes.size());
    const Received received{.bytes = bytes, .from = {*source, 1, 0}, .to = {}};
    bool answered = false;
    state.SetIterationTime(seconds_of([&] {
      device.plan_inbound(sides.now, {&received, 1}, batch);
      device.process_handshakes(sides.now, 1);
      answered = device.poll_datagram(answer);
    }));
    if (!answered) state.SkipWithError("no response");
    batch.clear();
    device.handle_timeout(sides.now);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(handshake_responder)->UseManualTime()->Unit(benchmark::kMicrosecond);

void handshake_initiator(benchmark::State& state) {
  Sides sides;
  CookieGenerator macs(sides.responder.public_key);
  for (auto _ : state) {
    InitiationMessage message;
    std::optional<PendingInitiation> pending;
    double time = seconds_of([&] {
      pending = create_initiation(sides.initiator, sides.to_responder, Tai64n::from(sides.now.wall), 7,
                                  sides.rng, message);
      macs.add_macs(message, sides.now.boot);
    });
    auto consumed = begin_consume_initiation(sides.responder, message);
    ResponseMessage response;
    if (!consumed || !finish_consume_initiation(sides.to_initiator, *consumed) ||
        !create_response(sides.to_initiator, *consumed, 9, sides.rng, response)) {
      state.SkipWithError("no response");
    }
    std::optional<SessionKeys> keys;
    time +=
        seconds_of([&] { keys = consume_response(sides.initiator, sides.to_responder, *pending, response); });
    if (!keys) state.SkipWithError("no session");
    state.SetIterationTime(time);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(handshake_initiator)->UseManualTime()->Unit(benchmark::kMicrosecond);

// ---- data ----

/// Two devices with a session, and packets from the first to the second.
struct Session {
  sim::World world{1, 2, 1420};
  std::vector<sim::Bytes> packets;
  std::vector<packet::Piece> pieces;
  std::vector<std::vector<uint8_t>> slabs;
  OutboundBatch out;
  InboundBatch in;
  std::vector<InnerPacket> inner;
  std::unique_ptr<crypto::Aead> aead = crypto::make_aead(crypto::AeadChoice::automatic);

  Session(size_t count, size_t size) {
    world.connect_all();
    world.send(0, 1);
    world.advance(seconds(1));
    world.send(1, 0);
    world.advance(seconds(1));
    for (size_t i = 0; i < count; ++i) {
      packets.push_back(sim::World::packet(0, 1, static_cast<uint32_t>(i), size));
      packets.back().resize(size + 16);
      pieces.push_back({.data = packets.back().data(), .size = static_cast<uint32_t>(size), .room = 16});
    }
    slabs.resize(2, std::vector<uint8_t>(66'000));
  }
  void plan_out() {
    for (auto& slab : slabs) out.lend(slab);
    if (world.device(0).plan_outbound(world.now(), pieces, out) != pieces.size()) std::abort();
  }
};

void count_packets(benchmark::State& state, size_t count) {
  state.counters["per_packet"] =
      benchmark::Counter(static_cast<double>(count),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void outbound(benchmark::State& state, bool seal) {
  Session session(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    session.plan_out();
    if (seal) Device::work(session.out, *session.aead);
    session.world.device(0).commit_outbound(session.world.now(), session.out);
    if (session.out.runs.empty()) std::abort();
    session.out.clear();
  }
  count_packets(state, session.pieces.size());
}
BENCHMARK_CAPTURE(outbound, overhead, false)->Args({45, 1420})->Args({45, 64})->Args({1, 64});
BENCHMARK_CAPTURE(outbound, whole, true)->Args({45, 1420})->Args({45, 64})->Args({1, 64});

// As GRO gives them: one receive for each run that was sent.
std::vector<Received> received_of(const OutboundBatch& batch) {
  std::vector<Received> out;
  out.reserve(batch.runs.size());
  for (const DatagramRun& run : batch.runs) {
    out.push_back({.bytes = {const_cast<uint8_t*>(run.data), run.size},
                   .segment_size = run.segment_size,
                   .from = run.to,
                   .to = {}});
  }
  return out;
}

// Without the AEAD the datagrams hold plaintext, and get the next counters each time.
void inbound_overhead(benchmark::State& state) {
  Session session(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  session.plan_out();
  const std::vector<Received> received = received_of(session.out);
  std::vector<uint8_t*> datagrams;
  for (const Received& one : received) {
    for (size_t at = 0; at < one.bytes.size(); at += one.segment_size) {
      const packet::Piece& piece = session.pieces[datagrams.size()];
      datagrams.push_back(&one.bytes[at]);
      std::memcpy(datagrams.back() + kDataHeaderSize, piece.data, piece.size);
    }
  }
  uint64_t counter = 1000;
  Device& device = session.world.device(1);
  for (auto _ : state) {
    for (uint8_t* datagram : datagrams) store_le64(datagram + 8, counter++);
    device.plan_inbound(session.world.now(), received, session.in);
    for (crypto::OpenJob& job : session.in.jobs) job.ok = true;
    device.commit_inbound(session.world.now(), session.in, session.inner);
    if (session.inner.size() != session.pieces.size()) std::abort();
    session.inner.clear();
    session.in.clear();
  }
  count_packets(state, session.pieces.size());
}
BENCHMARK(inbound_overhead)->Args({45, 1420})->Args({45, 64})->Args({1, 64});

void inbound_whole(benchmark::State& state) {
  Session session(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Device& device = session.world.device(1);
  for (auto _ : state) {
    session.plan_out();
    Device::work(session.out, *session.aead);
    session.world.device(0).commit_outbound(session.world.now(), session.out);
    const std::vector<Received> received = received_of(session.out);
    state.SetIterationTime(seconds_of([&] {
      device.plan_inbound(session.world.now(), received, session.in);
      Device::work(session.in, *session.aead);
      device.commit_inbound(session.world.now(), session.in, session.inner);
    }));
    if (session.inner.size() != session.pieces.size()) std::abort();
    session.inner.clear();
    session.in.clear();
    session.out.clear();
  }
  count_packets(state, session.pieces.size());
}
BENCHMARK(inbound_whole)->UseManualTime()->Args({45, 1420})->Args({45, 64});

}  // namespace

BENCHMARK_MAIN();
