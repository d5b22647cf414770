// What this host offers the data path: each thing that the daemon probes, asked for in the same way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/hatsd-user/daemon/settings.hpp"
#include "transport/udp_socket.hpp"
#include "tun/tun_device.hpp"

namespace hats::app::bench {

struct HostFacts {
  std::string cpu;
  unsigned cpus = 0;
  std::string kernel;
  std::vector<std::string> vectors;  // of the CPU: "AVX2", "AVX-512"
  std::string io;                    // the packet loop's name
  std::string io_refused;            // why io_uring is not in use; empty if it is, or was not wanted
  std::optional<tun::TunFeatures> tun;
  std::string tun_refused;  // why there is no TUN to ask
  transport::UdpFeatures udp;
  int receive_buffer = 0;  // bytes that a socket of ours gets
  std::string aead;

  [[nodiscard]] bool has_vectors() const { return !vectors.empty(); }
};

/// Asks the host with the settings that the daemon would use. Makes a TUN device for a moment, in a network
/// namespace of its own.
[[nodiscard]] HostFacts probe_host(const Settings& settings);

}  // namespace hats::app::bench
