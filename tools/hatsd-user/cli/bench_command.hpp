// `hatsd-user bench`: what this host can carry, and which fallback holds it back (DESIGN.md 7).
#pragma once

#include "tools/hatsd-user/bench/tunnel_bench.hpp"

namespace hats::app {

struct BenchOptions {
  bench::TunnelBenchOptions tunnels;
  bool json = false;
};

/// Measures and prints; returns the exit code. Without the rights to make namespaces and interfaces it does
/// the rest, says so, and that is no failure.
[[nodiscard]] int run_bench(const BenchOptions& options, const Settings& settings);

}  // namespace hats::app
