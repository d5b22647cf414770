// What `hatsd-user bench` says of what it found: the verdict, the table, the JSON.
#include <gtest/gtest.h>

#include "tools/hatsd-user/bench/bench_report.hpp"

namespace hats::app::bench {
namespace {

// A host that lacks nothing.
BenchReport good_host() {
  BenchReport out;
  out.host = {
      .cpu = "Some CPU",
      .cpus = 2,
      .kernel = "Linux 6.12",
      .vectors = {"AVX2", "AVX-512"},
      .io = "io_uring",
      .io_refused = "",
      .tun =
          tun::TunFeatures{.vnet_header = true, .tso = true, .tso_ecn = true, .uso = true, .header_size = 10},
      .tun_refused = "",
      .udp = {.gso = true, .gro = true},
      .receive_buffer = 512 << 10,
      .aead = "ipsec-mb (avx512)"};
  out.aeads = {{"sodium", 400, 1'500}, {"ipsec-mb (avx512)", 160, 500}};
  out.tunnels = {{"as it is", true, {{5'000, 2.0, 250'000, 80, 200}}},
                 {"no tunnel", false, {{18'000, 0, 250'000, 13, 36}}}};
  return out;
}

std::string holds_back(const BenchReport& report, const Settings& settings = {}) {
  const Verdict verdict = judge(report, settings);
  EXPECT_FALSE(verdict.remedy.empty());
  return verdict.holds_back;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Verdict, OfAHostThatLacksNothingNamesTheCpuAndTheShareOfTheCipher) {
  // 1e9 / 1,424 packets a GB, each 500 ns at both ends: 0.70 of 2.0 seconds.
  EXPECT_TRUE(has(holds_back(good_host()), "CPU is the limit (2.00 CPU seconds a GB"));
  EXPECT_TRUE(has(holds_back(good_host()), "about 35 %"));
  BenchReport without_tunnel = good_host();
  without_tunnel.tunnels.clear();
  EXPECT_TRUE(has(holds_back(without_tunnel), "CPU is the limit"));
}

TEST(Verdict, NamesWhatTheEnvironmentForcesBeforeAllElse) {
  BenchReport report = good_host();
  report.host.udp.gso = false;
  Settings settings;
  settings.io = transport::IoChoice::epoll;
  EXPECT_TRUE(has(holds_back(report, settings), "HATSD_IO=epoll"));
  settings.aead = crypto::AeadChoice::sodium;
  EXPECT_TRUE(has(holds_back(report, settings), "HATSD_AEAD=sodium"));
  settings.tun_offload = tun::OffloadChoice::off;
  EXPECT_TRUE(has(holds_back(report, settings), "HATSD_TUN_OFFLOAD=off"));
  EXPECT_TRUE(has(judge(report, settings).remedy, "unset HATSD_TUN_OFFLOAD"));
}

TEST(Verdict, NamesTheMostExpensiveLackFirst) {
  BenchReport report = good_host();
  report.host.tun->uso = false;
  EXPECT_TRUE(has(holds_back(report), "UDP segmentation offload; TCP is not concerned"));
  report.host.receive_buffer = 100 << 10;
  EXPECT_TRUE(has(holds_back(report), "100 KiB"));
  report.host.io_refused = "io_uring cannot be used on this host (Operation not permitted)";
  EXPECT_TRUE(has(holds_back(report), "Operation not permitted"));
  report.host.aead = "sodium";
  EXPECT_TRUE(has(holds_back(report), "no libipsec-mb"));
  report.host.vectors.clear();
  EXPECT_TRUE(has(holds_back(report), "no AVX2"));
  report.host.udp.gro = false;
  EXPECT_TRUE(has(holds_back(report), "receive offload"));
  report.host.udp.gso = false;
  EXPECT_TRUE(has(holds_back(report), "no UDP segmentation offload"));
  report.host.tun->tso = false;
  EXPECT_TRUE(has(holds_back(report), "TUN devices have no segmentation offload"));
}

TEST(BenchReportText, HasALineForEachCipherAndVariantAndTheVerdictLast) {
  const BenchReport report = good_host();
  const std::string text = report_text(report, judge(report, {}));
  for (const char* part : {"Some CPU, 2 CPUs (AVX2, AVX-512), Linux 6.12", "packet loop: io_uring\n",
                           "TUN: TSO, TSO with ECN, USO\n", "UDP: GSO, GRO; socket buffers of 512 KiB\n",
                           "1500 ns", "5000", "1.00x", "80/200", "3.60x"}) {
    EXPECT_TRUE(has(text, part)) << part << "\n" << text;
  }
  EXPECT_LT(text.find("no tunnel "), text.find("What holds this host back: "));
  EXPECT_TRUE(text.ends_with(".\n"));
  EXPECT_EQ(text.find("  no tunnel"), text.rfind("  no tunnel"));
}

TEST(BenchReportText, SaysWhyNoTunnelWasMeasured) {
  BenchReport report = good_host();
  report.tunnels.clear();
  report.tunnels_skipped = "only root can";
  report.host.tun.reset();
  report.host.tun_refused = "Operation not permitted";
  const Verdict verdict = judge(report, {});
  EXPECT_TRUE(has(report_text(report, verdict), "no tunnel was measured: only root can\n"));
  EXPECT_TRUE(has(report_text(report, verdict), "TUN: not probed: Operation not permitted\n"));
  EXPECT_EQ(report_json(report, verdict)["tunnels_skipped"], "only root can");
  EXPECT_TRUE(report_json(report, verdict)["tunnels"].empty());
}

TEST(BenchReportJson, HasTheMedianOfTheRounds) {
  BenchReport report = good_host();
  report.tunnels[0].rounds = {{1, 5, 10, 100, 1'000}, {3, 4, 30, 300, 3'000}, {2, 9, 20, 200, 2'000}};
  const auto json = report_json(report, judge(report, {}));
  const auto& entry = json["tunnels"][0];
  EXPECT_EQ(entry["name"], "as it is");
  EXPECT_EQ(entry["rounds"].size(), 3U);
  EXPECT_EQ(entry["median"]["tcp_mbit_s"], 2);
  EXPECT_EQ(entry["median"]["cpu_s_per_gb"], 5);
  EXPECT_EQ(entry["median"]["packets_s"], 20);
  EXPECT_EQ(entry["median"]["rtt_p50_us"], 200);
  EXPECT_EQ(entry["median"]["rtt_p99_us"], 2'000);
}

std::vector<std::string> names_of(const std::vector<Variant>& variants) {
  std::vector<std::string> out;
  for (const Variant& one : variants) out.push_back(one.name);
  return out;
}

TEST(Variants, ForceWhatIsInUseAndNothingElse) {
  HostFacts host = good_host().host;
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of(variants_of(host, {})),
            (Names{"as it is", "epoll, not io_uring", "no TUN offloads", "AEAD by sodium", "no tunnel"}));
  host.io = "epoll";
  host.tun->tso = false;
  host.aead = "sodium";
  EXPECT_EQ(names_of(variants_of(host, {})), (Names{"as it is", "no tunnel"}));
  Settings settings;
  settings.aead = crypto::AeadChoice::sodium;
  EXPECT_EQ(names_of(variants_of(host, settings)), (Names{"as it is", "all on auto", "no tunnel"}));
}

TEST(AeadSpeed, OfEveryBackendIsANumber) {
  const auto speeds = measure_aeads(0.02);
  ASSERT_FALSE(speeds.empty());
  EXPECT_EQ(speeds.front().name, "sodium");
  for (const AeadSpeed& one : speeds) {
    EXPECT_GT(one.small_ns, 1) << one.name;
    EXPECT_GT(one.large_ns, one.small_ns) << one.name;
  }
}

}  // namespace
}  // namespace hats::app::bench
