// wg-quick's file: any text is parsed or refused, an error names a line of the text, and what was parsed can
// be explained and written out again so that it parses to the same.
#include <algorithm>
#include <cstdlib>

#include "core/config/explain.hpp"
#include "core/config/wg_quick.hpp"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hats;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = config::parse_wg_quick(text);
  if (!config) {
    const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    require(config.error().line >= 1 && config.error().line <= lines);
    require(!config.error().message.empty());
    return 0;
  }
  require(!config::explain(*config, "wg0", {}).empty());
  const wg::DeviceUpdate update = config->device_update();
  require(update.peers.size() == config->peers.size());
  wg::DeviceSnapshot device;
  for (const config::WgPeer& peer : config->peers) {
    wg::PeerSnapshot& live = device.peers.emplace_back();
    live.public_key = peer.public_key;
    for (const auto& entry : peer.allowed_ips) live.allowed_ips.push_back(entry.prefix);
  }
  config::LiveInterface live;
  for (const auto& address : config->addresses) live.addresses.push_back(address.prefix);
  const auto again = config::parse_wg_quick(config::format_wg_quick(*config, device, live));
  require(again.has_value());
  require(again->peers.size() == config->peers.size());
  require(again->post_up.size() == config->post_up.size());
  return 0;
}
