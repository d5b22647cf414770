#include "tools/hatsd-user/bench/bench_report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace hats::app::bench {

using nlohmann::json;

namespace {

std::string joined(const std::vector<std::string>& words, const char* none) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? none : out;
}

std::string tun_text(const HostFacts& host) {
  if (!host.tun) return "not probed: " + host.tun_refused;
  std::vector<std::string> has;
  if (host.tun->tso) has.emplace_back("TSO");
  if (host.tun->tso_ecn) has.emplace_back("TSO with ECN");
  if (host.tun->uso) has.emplace_back("USO");
  return joined(has, "no offloads");
}

std::string host_text(const HostFacts& host) {
  std::vector<std::string> udp;
  if (host.udp.gso) udp.emplace_back("GSO");
  if (host.udp.gro) udp.emplace_back("GRO");
  std::string io = host.io.empty() ? "none" : host.io;
  if (!host.io_refused.empty()) io += ": " + host.io_refused;
  std::string out;
  out += fmt::format("host: {}, {} CPUs ({}), {}\n", host.cpu.empty() ? "unknown CPU" : host.cpu, host.cpus,
                     joined(host.vectors, "no AVX2"), host.kernel);
  out += fmt::format("packet loop: {}\n", io);
  out += fmt::format("TUN: {}\n", tun_text(host));
  out += fmt::format("UDP: {}; socket buffers of {} KiB\n", joined(udp, "no offloads"),
                     host.receive_buffer >> 10);
  out += fmt::format("AEAD: {}\n", host.aead.empty() ? "none" : host.aead);
  return out;
}

std::string aead_text(const std::vector<AeadSpeed>& aeads) {
  std::string out =
      fmt::format("\n{:<24}{:>16}{:>20}{:>14}\n", "AEAD, on one core", fmt::format("{} B", kSmallPacket),
                  fmt::format("{} B", kLargePacket), "Mbit/s");
  for (const AeadSpeed& one : aeads) {
    out += fmt::format("  {:<22}{:>13.0f} ns{:>17.0f} ns{:>14.0f}\n", one.name, one.small_ns, one.large_ns,
                       kLargePacket * 8e3 / one.large_ns);
  }
  return out;
}

std::string tunnels_text(const std::vector<VariantResult>& tunnels) {
  const double base = tunnels.front().middle().mbit_s;
  std::string out = fmt::format("\n{:<24}{:>12}{:>8}{:>16}{:>16}{:>14}\n", "WireGuard, both ends here",
                                "TCP Mbit/s", "", "64 B packets/s", "RTT p50/p99 us", "CPU s/GB");
  for (const VariantResult& one : tunnels) {
    const Figures figures = one.middle();
    out += fmt::format("  {:<23}{:>12.0f}{:>7.2f}x{:>16.0f}{:>16}{:>14}\n", one.name, figures.mbit_s,
                       base > 0 ? figures.mbit_s / base : 0, figures.packets_s,
                       fmt::format("{:.0f}/{:.0f}", figures.rtt_p50_us, figures.rtt_p99_us),
                       one.tunnel ? fmt::format("{:.2f}", figures.cpu_s_per_gb) : "");
  }
  return out;
}

json figures_json(const Figures& figures) {
  return {{"tcp_mbit_s", figures.mbit_s},
          {"cpu_s_per_gb", figures.cpu_s_per_gb},
          {"packets_s", figures.packets_s},
          {"rtt_p50_us", figures.rtt_p50_us},
          {"rtt_p99_us", figures.rtt_p99_us}};
}

}  // namespace

json report_json(const BenchReport& report, const Verdict& verdict) {
  const HostFacts& host = report.host;
  json out = {{"host",
               {{"cpu", host.cpu},
                {"cpus", host.cpus},
                {"vectors", host.vectors},
                {"kernel", host.kernel},
                {"io", host.io},
                {"io_refused", host.io_refused},
                {"udp_gso", host.udp.gso},
                {"udp_gro", host.udp.gro},
                {"receive_buffer", host.receive_buffer},
                {"aead", host.aead}}},
              {"holds_back", verdict.holds_back},
              {"remedy", verdict.remedy}};
  if (host.tun) {
    out["host"]["tun"] = {{"tso", host.tun->tso}, {"tso_ecn", host.tun->tso_ecn}, {"uso", host.tun->uso}};
  } else {
    out["host"]["tun_refused"] = host.tun_refused;
  }
  out["aead"] = json::array();
  for (const AeadSpeed& one : report.aeads) {
    out["aead"].push_back({{"name", one.name}, {"small_ns", one.small_ns}, {"large_ns", one.large_ns}});
  }
  out["tunnels"] = json::array();
  for (const VariantResult& one : report.tunnels) {
    json entry = {{"name", one.name}, {"tunnel", one.tunnel}, {"median", figures_json(one.middle())}};
    for (const Figures& round : one.rounds) entry["rounds"].push_back(figures_json(round));
    out["tunnels"].push_back(std::move(entry));
  }
  if (!report.tunnels_skipped.empty()) out["tunnels_skipped"] = report.tunnels_skipped;
  return out;
}

std::string report_text(const BenchReport& report, const Verdict& verdict) {
  std::string out = host_text(report.host) + aead_text(report.aeads);
  out += report.tunnels.empty() ? "\nno tunnel was measured: " + report.tunnels_skipped + "\n"
                                : tunnels_text(report.tunnels);
  return out +
         fmt::format("\nWhat holds this host back: {}. Remedy: {}.\n", verdict.holds_back, verdict.remedy);
}

}  // namespace hats::app::bench
