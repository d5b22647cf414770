#include "tools/hatsd-user/bench/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "transport/socket.hpp"

namespace hats::app::bench {

namespace {

std::optional<Verdict> forced_by_environment(const Settings& settings) {
  const auto forced = [](const char* variable, const char* value) {
    return Verdict{fmt::format("{}={} is set, which forces a fallback", variable, value),
                   fmt::format("unset {}", variable)};
  };
  if (settings.tun_offload == tun::OffloadChoice::off) return forced("HATSD_TUN_OFFLOAD", "off");
  if (settings.aead == crypto::AeadChoice::sodium) return forced("HATSD_AEAD", "sodium");
  if (settings.io == transport::IoChoice::epoll) return forced("HATSD_IO", "epoll");
  return std::nullopt;
}

std::optional<Verdict> missing_in_kernel(const HostFacts& host) {
  if (host.tun && !host.tun->tso) {
    return Verdict{
        "this kernel's TUN devices have no segmentation offload: each packet is a read and a write",
        "a newer kernel"};
  }
  if (!host.udp.gso) {
    return Verdict{"this kernel has no UDP segmentation offload", "Linux 4.18 or later"};
  }
  if (!host.udp.gro) return Verdict{"this kernel has no UDP receive offload", "Linux 5.0 or later"};
  return std::nullopt;
}

std::optional<Verdict> missing_in_cpu(const HostFacts& host) {
  if (host.aead.starts_with("ipsec-mb")) return std::nullopt;
  if (!host.has_vectors()) {
    return Verdict{"the CPU shows no AVX2, so that libsodium encrypts",
                   "if this is a virtual machine, let it see the host's CPU (QEMU: -cpu host)"};
  }
  return Verdict{"this build has no libipsec-mb, so that libsodium encrypts",
                 "a build with libipsec-mb-dev installed"};
}

std::optional<Verdict> forbidden(const HostFacts& host) {
  if (!host.io_refused.empty()) {
    return Verdict{host.io_refused,
                   "allow io_uring in the container's seccomp profile, and "
                   "sysctl kernel.io_uring_disabled=0; it is worth little"};
  }
  if (host.receive_buffer > 0 && host.receive_buffer < transport::kSocketBuffer) {
    return Verdict{
        fmt::format("socket buffers are capped at {} KiB", host.receive_buffer >> 10),
        fmt::format("sysctl net.core.rmem_max={0} net.core.wmem_max={0}", transport::kSocketBuffer)};
  }
  if (host.tun && !host.tun->uso) {
    return Verdict{"this kernel's TUN devices have no UDP segmentation offload; TCP is not concerned",
                   "Linux 6.2 or later, for small UDP packets"};
  }
  return std::nullopt;
}

Verdict the_cpu(const BenchReport& report) {
  Verdict out{"nothing is missing: the CPU is the limit",
              "faster cores; --workers spreads several tunnels over them"};
  const auto as_it_is =
      std::ranges::find_if(report.tunnels, [](const VariantResult& one) { return one.tunnel; });
  const auto aead = std::ranges::find(report.aeads, report.host.aead, &AeadSpeed::name);
  if (as_it_is == report.tunnels.end() || aead == report.aeads.end()) return out;
  const double packets_a_gb = 1e9 / kLargePacket;
  const double cipher = 2 * packets_a_gb * aead->large_ns * 1e-9;  // sealed at one end, opened at the other
  const double all = as_it_is->middle().cpu_s_per_gb;
  if (all > 0) {
    out.holds_back +=
        fmt::format(" ({:.2f} CPU seconds a GB at both ends together, about {:.0f} % of them for encryption)",
                    all, std::min(100.0, 100 * cipher / all));
  }
  return out;
}

}  // namespace

Verdict judge(const BenchReport& report, const Settings& settings) {
  if (auto found = forced_by_environment(settings)) return *found;
  for (const auto& look : {missing_in_kernel, missing_in_cpu, forbidden}) {
    if (auto found = look(report.host)) return *found;
  }
  return the_cpu(report);
}

}  // namespace hats::app::bench
