// wg-quick's file: any text is parsed or refused, an error names a line of the text, and what was parsed can
// be explained, compared, and written out so that it parses to the same.
#include <algorithm>
#include <string>

#include "core/config/explain.hpp"
#include "core/config/wg_quick_diff.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace hats;

/// What a device that was given the file would tell.
wg::DeviceSnapshot held(const config::InterfaceConfig& config) {
  wg::DeviceSnapshot device;
  if (config.private_key) device.private_key = config.private_key->copy();
  device.listen_port = config.listen_port.value_or(0);
  device.fwmark = config.fwmark.value_or(0);
  for (const config::WgPeer& peer : config.peers) {
    wg::PeerSnapshot& live = device.peers.emplace_back();
    live.public_key = peer.public_key;
    if (peer.preshared_key) live.preshared_key = peer.preshared_key->copy();
    if (peer.endpoint) live.endpoint = peer.endpoint->numeric().value_or(Endpoint{});
    live.persistent_keepalive_s = peer.persistent_keepalive_s.value_or(0);
    for (const auto& entry : peer.allowed_ips) live.allowed_ips.push_back(entry.prefix);
  }
  return device;
}

std::string written(const config::InterfaceConfig& config) {
  config::LiveInterface live;
  for (const auto& address : config.addresses) live.addresses.push_back(address.prefix);
  live.mtu = config.mtu;
  return config::format_wg_quick(config, held(config), live);
}

void check_error(const std::string& text, const ConfigError& error) {
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  HATS_FUZZ_CHECK(error.line >= 1 && error.line <= lines);
  HATS_FUZZ_CHECK(!error.message.empty());
  const std::string shown = error.text("F");
  HATS_FUZZ_CHECK(std::ranges::all_of(shown, [](char c) { return c >= ' ' && c <= '~'; }));
  for (const ConfigError& other : error.more) check_error(text, other);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = config::parse_wg_quick(text);
  if (!config) {
    check_error(text, config.error());
    return 0;
  }
  for (const ConfigError& warning : config->warnings) check_error(text, warning);
  HATS_FUZZ_CHECK(!config::explain(*config, {.interface = "wg0"}).empty());
  const config::ConfigChanges nothing = config::diff(*config, *config);
  HATS_FUZZ_CHECK(nothing.device.peers.empty() && nothing.names.empty() && nothing.host.is_empty());
  HATS_FUZZ_CHECK(config->device_update().peers.size() == config->peers.size());

  const std::string first = written(*config);
  const auto again = config::parse_wg_quick(first);
  HATS_FUZZ_CHECK(again.has_value());
  HATS_FUZZ_CHECK(written(*again) == first);
  const config::HostChanges host = config::diff(*config, *again).host;
  HATS_FUZZ_CHECK(host.addresses_added.empty() && host.addresses_removed.empty() && !host.mtu_changed &&
                  !host.hooks_changed && !host.dns_changed);
  return 0;
}
