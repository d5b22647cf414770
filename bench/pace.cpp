// Load and probes for bench/compare, each in the network namespaces that it is told (paths such as
// /run/netns/NAME); the results are one line of JSON.
//
//   pace udp        --from NS --to NS --address A --size N [--flows N] [--start PPS | --rate PPS] [--seconds
//   S] pace rtt        --from NS --address A [--count N] [--interval-us N] pace flood      --from NS --source
//   A --address A --port N --key BASE64 [--random] [--rate PPS] [--seconds S] pace handshakes --from NS
//   --source A --address A --port N --key BASE64 [--first N] [--peers N] [--window N]
//                   [--most N] [--timeout S] [--seconds S]
//   pace keys       --first N --peers N               the public keys of the peers that `handshakes` sends as
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/initiations.hpp"
#include "crypto/rng.hpp"
#include "crypto/x25519.hpp"
#include "tools/hatsd-user/bench/paced_link.hpp"
#include "tools/hatsd-user/bench/ping_probe.hpp"
#include "tools/hatsd-user/bench/statistics.hpp"

namespace hats::bench {
namespace {

using nlohmann::json;

struct Words {
  std::string from, to, address, source, key;
  uint16_t port = 7'000;
  uint32_t size = 64;
  unsigned flows = 1, count = 500, first = 0, peers = 256, window = 16, most = 6'000, trials = 16;
  double start = 50'000, rate = 0, seconds = 0.5, interval_us = 2'000, timeout = 0.2, precision = 0.04,
         growth = 1.6;
  bool random = false;
};

AppResult<IpAddress> address_of(const std::string& text) {
  const auto address = IpAddress::parse(text);
  if (!address) return app::fail("'" + text + "' is no address", app::kExitUsage);
  return *address;
}

AppResult<json> udp(const Words& words) {
  auto from = NetworkSpace::open(words.from);
  if (!from) return std::unexpected(from.error());
  auto to = NetworkSpace::open(words.to);
  if (!to) return std::unexpected(to.error());
  const auto address = address_of(words.address);
  if (!address) return std::unexpected(address.error());
  auto link = app::bench::PacedLink::open(*from, *to, {.address = *address, .port = words.port}, words.flows);
  if (!link) return std::unexpected(link.error());
  // Neighbours are found, sessions are fresh, caches are warm.
  (void)link->run(words.size, 1'000, 0.02);
  const app::bench::RateSearchOptions options{

      .start = words.start,
      .growth = words.growth,
      .precision = words.precision,
      .most_trials = words.trials};
  const app::bench::RateTrial best = words.rate > 0 ? link->run(words.size, words.rate, words.seconds)
                                                    : search_rate(*link, words.size, words.seconds, options);
  return json{{"pps", best.delivered}, {"offered", best.offered}, {"sent", best.sent}, {"loss", best.loss()}};
}

AppResult<json> rtt(const Words& words) {
  auto from = NetworkSpace::open(words.from);
  if (!from) return std::unexpected(from.error());
  const auto address = address_of(words.address);
  if (!address) return std::unexpected(address.error());
  const auto trips = app::bench::measure_round_trips(*from, *address, words.count, words.interval_us * 1e-6);
  if (!trips) return std::unexpected(trips.error());
  return json{{"sent", trips->sent},
              {"received", trips->microseconds.size()},
              {"p50_us", app::bench::percentile(trips->microseconds, 0.5)},
              {"p99_us", app::bench::percentile(trips->microseconds, 0.99)}};
}

struct Handshakers {
  NetworkSpace from;
  IpAddress source;
  Responder responder;
};

AppResult<Handshakers> handshakers(const Words& words) {
  auto from = NetworkSpace::open(words.from);
  if (!from) return std::unexpected(from.error());
  const auto source = address_of(words.source);
  if (!source) return std::unexpected(source.error());
  const auto address = address_of(words.address);
  if (!address) return std::unexpected(address.error());
  Responder responder{.at = {.address = *address, .port = words.port}, .key = {}};
  if (!crypto::key_from_base64(words.key, responder.key.bytes)) {
    return app::fail("--key: '" + words.key + "' is no public key", app::kExitUsage);
  }
  return Handshakers{std::move(*from), *source, responder};
}

AppResult<json> flood_json(const Words& words) {
  const auto who = handshakers(words);
  if (!who) return std::unexpected(who.error());
  const auto done =
      flood(who->from, who->source, who->responder, words.random ? FloodKind::random : FloodKind::initiations,
            words.rate, words.seconds);
  if (!done) return std::unexpected(done.error());
  return json{{"sent", done->sent}, {"pps", static_cast<double>(done->sent) / done->seconds}};
}

AppResult<json> handshakes_json(const Words& words) {
  const auto who = handshakers(words);
  if (!who) return std::unexpected(who.error());
  const auto done = load_handshakes(who->from, who->responder,
                                    {.first_peer = words.first,
                                     .peers = words.peers,
                                     .first_source = who->source,
                                     .window = words.window,
                                     .timeout_s = words.timeout,
                                     .seconds = words.seconds,
                                     .most = words.most});
  if (!done) return std::unexpected(done.error());
  return json{{"sent", done->sent},
              {"sessions", done->sessions},
              {"cookies", done->cookies},
              {"per_second", done->seconds > 0 ? done->sessions / done->seconds : 0},
              {"answer_ms_p50", app::bench::median(done->answer_ms)}};
}

AppResult<json> keys(const Words& words) {
  json out = json::array();
  for (unsigned i = 0; i < words.peers; ++i) {
    out.push_back(crypto::key_to_base64(crypto::public_key_of(peer_key(words.first + i)).bytes));
  }
  return out;
}

int run(int argc, char** argv) {
  Words words;
  CLI::App app("Load and probes for bench/compare", "pace");
  app.require_subcommand(1);
  AppResult<json> (*chosen)(const Words&) = nullptr;
  const auto add = [&](const char* name, const char* what, AppResult<json> (*function)(const Words&)) {
    CLI::App* command = app.add_subcommand(name, what);
    command->callback([&chosen, function] { chosen = function; });
    return command;
  };
  CLI::App* of_udp = add("udp", "The highest rate of UDP packets that arrive", udp);
  CLI::App* of_rtt = add("rtt", "Round trips of ICMP echoes", rtt);
  CLI::App* of_flood = add("flood", "Forged initiations", flood_json);
  CLI::App* of_handshakes = add("handshakes", "Sessions that a responder makes", handshakes_json);
  CLI::App* of_keys = add("keys", "Public keys of the peers of `handshakes`", keys);
  for (CLI::App* command : {of_udp, of_rtt, of_flood, of_handshakes}) {
    command->add_option("--from", words.from)->required();
    command->add_option("--address", words.address)->required();
    command->add_option("--port", words.port);
    command->add_option("--seconds", words.seconds);
  }
  of_udp->add_option("--to", words.to)->required();
  of_udp->add_option("--size", words.size);
  of_udp->add_option("--flows", words.flows)->check(CLI::Range(1, 65'000));
  of_udp->add_option("--start", words.start);
  of_udp->add_option("--growth", words.growth)->check(CLI::Range(1.01, 10.0));
  of_udp->add_option("--precision", words.precision);
  of_udp->add_option("--trials", words.trials);
  of_rtt->add_option("--count", words.count)->check(CLI::Range(1, 65'000));
  of_rtt->add_option("--interval-us", words.interval_us);
  for (CLI::App* command : {of_flood, of_handshakes}) {
    command->add_option("--source", words.source)->required();
    command->add_option("--key", words.key)->required();
  }
  for (CLI::App* command : {of_udp, of_flood}) command->add_option("--rate", words.rate);
  of_flood->add_flag("--random", words.random);
  for (CLI::App* command : {of_handshakes, of_keys}) {
    command->add_option("--first", words.first);
    command->add_option("--peers", words.peers)->check(CLI::Range(1, 4'096));
  }
  of_handshakes->add_option("--window", words.window);
  of_handshakes->add_option("--most", words.most);
  of_handshakes->add_option("--timeout", words.timeout);
  CLI11_PARSE(app, argc, argv);
  if (!crypto::initialise()) return 1;
  const auto done = chosen(words);
  if (!done) {
    std::fprintf(stderr, "pace: %s\n", done.error().message.c_str());
    return done.error().exit_code;
  }
  std::printf("%s\n", done->dump().c_str());
  return 0;
}

}  // namespace
}  // namespace hats::bench

int main(int argc, char** argv) {
  return hats::bench::run(argc, argv);
}
