// A WireGuard tunnel by our own daemons between two network namespaces of this process, and what it carries:
// as the host has it, and with each fallback forced.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/hatsd-user/bench/daemon_child.hpp"
#include "tools/hatsd-user/bench/host_facts.hpp"

namespace hats::app::bench {

/// What of our daemon is forced, and how it is called.
struct Variant {
  std::string name;
  Variables environment;
  bool tunnel = true;  // false: the link alone
};

struct Figures {
  double mbit_s = 0;        // TCP, one stream
  double cpu_s_per_gb = 0;  // of both daemons, during that
  double packets_s = 0;     // UDP with 64 bytes at less than 1 % loss
  double rtt_p50_us = 0, rtt_p99_us = 0;
};

struct VariantResult {
  std::string name;
  bool tunnel = true;
  std::vector<Figures> rounds;

  /// The median of each figure.
  [[nodiscard]] Figures middle() const;
};

struct TunnelBenchOptions {
  unsigned rounds = 3;
  double seconds = 2;  // of a TCP run
};

/// "as it is", each fallback that is not in use already, "all on auto" if the settings force one, and the
/// link without a tunnel.
[[nodiscard]] std::vector<Variant> variants_of(const HostFacts& facts, const Settings& settings);

/// Why this process cannot make namespaces and TUN devices, with the remedy; empty if it can.
[[nodiscard]] std::string missing_rights();

/// Measures the variants in turn, round by round, so that a slow minute of the machine meets all. Gives this
/// process a /run of its own before: nobody else sees the daemons. `progress` is told what comes next.
[[nodiscard]] AppResult<std::vector<VariantResult>> bench_tunnels(
    const std::vector<Variant>& variants, const TunnelBenchOptions& options,
    const std::function<void(const std::string&)>& progress);

}  // namespace hats::app::bench
