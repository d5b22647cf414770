// What `show --json` prints of an interface; `show` renders the same object for people (cli/show_text.hpp).
// Holds no secret.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/wg/device.hpp"
#include "tools/hatsd-user/daemon/endpoint_resolver.hpp"
#include "tools/hatsd-user/daemon/wg_tunnel.hpp"
#include "transport/loop.hpp"
#include "transport/udp_socket.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

struct InterfaceStatus {
  std::string name;  // of the link, now
  std::string id;    // what requests call it
  std::string file;
  uint64_t network_namespace = 0;
  uint32_t mtu = 0;
  bool up = false;
  std::string io, aead;
  tun::TunFeatures tun;
  transport::UdpFeatures udp;
  const wg::DeviceSnapshot& device;
  const std::vector<wg::PeerStatus>& peers;  // of the same moment and in the same order as device.peers
  const wg::DropCounters& drops;
  const TunnelCounters& counters;
  transport::LoopCounters loop;
  std::vector<EndpointResolver::Waiting> waiting;
  std::vector<std::optional<uint32_t>> path_mtus;  // of the first peers, in their order: bytes
  const std::vector<std::string>& warnings;
};

[[nodiscard]] nlohmann::json status_json(const InterfaceStatus& status);

}  // namespace hats::app
