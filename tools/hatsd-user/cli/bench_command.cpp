#include "tools/hatsd-user/cli/bench_command.hpp"

#include <unistd.h>

#include <iostream>

#include "tools/hatsd-user/bench/bench_report.hpp"
#include "tools/hatsd-user/cli/live.hpp"

namespace hats::app {

namespace {

constexpr double kAeadSeconds = 0.4;  // for each backend

}  // namespace

int run_bench(const BenchOptions& options, const Settings& settings) {
  // What comes next, for somebody who waits; a file or a pipe gets the report alone.
  const auto progress = [](const std::string& what) {
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\033[K" << what << std::flush;
  };
  bench::BenchReport report;
  progress("probing the host, and its ciphers");
  report.host = bench::probe_host(settings);
  report.aeads = bench::measure_aeads(kAeadSeconds);
  report.tunnels_skipped = bench::missing_rights();
  if (report.tunnels_skipped.empty()) {
    auto tunnels = bench::bench_tunnels(bench::variants_of(report.host, settings), options.tunnels, progress);
    if (!tunnels) {
      progress("");
      return complain(tunnels.error());
    }
    report.tunnels = std::move(*tunnels);
  }
  progress("");
  const bench::Verdict verdict = bench::judge(report, settings);
  if (options.json) {
    std::cout << bench::report_json(report, verdict).dump(2) << std::endl;
  } else {
    std::cout << bench::report_text(report, verdict) << std::flush;
  }
  return 0;
}

}  // namespace hats::app
