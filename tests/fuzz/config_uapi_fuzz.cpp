// The UAPI's set: any body is read up to its first error, and what was read is sane.
#include <cerrno>
#include <cstdlib>

#include "core/config/uapi.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  const auto set =
      config::parse_uapi_set({reinterpret_cast<const char*>(data), size},
                             [](std::string_view zone) { return static_cast<uint32_t>(zone.size()); });
  if (set.error != 0 && set.error != EINVAL && set.error != EPROTO) std::abort();
  wg::DeviceSnapshot device;
  for (const wg::PeerUpdate& peer : set.update.peers) {
    wg::PeerSnapshot& live = device.peers.emplace_back();
    live.public_key = peer.public_key;
    if (peer.endpoint) live.endpoint = *peer.endpoint;
    for (const auto& change : peer.allowed_ips) {
      if (change.prefix != change.prefix.masked()) std::abort();
      live.allowed_ips.push_back(change.prefix);
    }
  }
  // What a get would print must read back, apart from the counters, which a set does not know.
  const std::string text = config::format_uapi_get(device, [](uint32_t) { return std::string(); });
  if (text.find("listen_port=") == std::string::npos) std::abort();
  return 0;
}
