// What `show --json` prints of an unencrypted tunnel; cli/show_text.hpp renders the same object for people.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/encap/node.hpp"
#include "tools/hatsd-user/daemon/tunnel.hpp"
#include "transport/loop.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

struct EncapStatus {
  std::string name;  // of the link, now
  std::string id;    // what requests call it
  std::string file;
  uint64_t network_namespace = 0;
  uint32_t mtu = 0;
  bool up = false;
  std::string io;
  tun::TunFeatures tun;
  std::string mode;  // as the operator wrote it
  Now now;
  const encap::TunnelStatus& node;
  const std::array<uint64_t, encap::kStrayReasonTexts.size()>& strays;  // of all tunnels of the process
  std::optional<uint64_t> overflow;  // of the receive buffers of all tunnels of the process, if known
  const TunnelCounters& counters;
  transport::LoopCounters loop;
  std::string waiting;  // empty: for nothing
  const std::vector<std::string>& warnings;
};

[[nodiscard]] nlohmann::json encap_status_json(const EncapStatus& status);

/// Why a tunnel is refused that `other` cannot be told from.
[[nodiscard]] std::string alike_text(const std::string& other);

}  // namespace hats::app
