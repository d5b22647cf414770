// What holds a host back, in one line, and the remedy. Pure.
#pragma once

#include <string>
#include <vector>

#include "tools/hatsd-user/bench/aead_speed.hpp"
#include "tools/hatsd-user/bench/tunnel_bench.hpp"

namespace hats::app::bench {

/// All that a run of `hatsd-user bench` has found.
struct BenchReport {
  HostFacts host;
  std::vector<AeadSpeed> aeads;
  std::vector<VariantResult> tunnels;  // empty: not measured
  std::string tunnels_skipped;         // why
};

struct Verdict {
  std::string holds_back, remedy;
};

/// The first that applies of: what the environment forces, what the kernel lacks (by what it is worth), what
/// the CPU lacks, what the host forbids; else the CPU itself, with the share that the AEAD has.
[[nodiscard]] Verdict judge(const BenchReport& report, const Settings& settings);

}  // namespace hats::app::bench
