// The UAPI's set: any body is read up to its first error; what was read, held by a device and printed by a
// get, reads back as the same.
#include <cerrno>

#include "core/config/uapi.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace hats;

constexpr uint32_t kZone = 7;

/// What a device that starts empty would hold of `peer`.
wg::PeerSnapshot held(const wg::PeerUpdate& peer) {
  wg::PeerSnapshot live;
  live.public_key = peer.public_key;
  if (peer.preshared_key) live.preshared_key = peer.preshared_key->copy();
  if (peer.endpoint) live.endpoint = *peer.endpoint;
  live.persistent_keepalive_s = peer.persistent_keepalive_s.value_or(0);
  for (const wg::AllowedIpChange& change : peer.allowed_ips) {
    HATS_FUZZ_CHECK(change.prefix == change.prefix.masked());
    live.allowed_ips.push_back(change.prefix);
  }
  return live;
}

/// Only what a set takes, too: the rest of a get's lines are counters.
std::string settable(const std::string& reply) {
  std::string out;
  for (std::string_view rest = reply; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    rest.remove_prefix(line.size());
    const bool counter = line.starts_with("last_") || line.starts_with("tx_") || line.starts_with("rx_");
    if (!counter) out += line;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto index = [](std::string_view zone) { return zone == "eth0" ? kZone : 0; };
  const auto name = [](uint32_t zone) { return zone == kZone ? std::string("eth0") : std::string(); };
  const auto set = config::parse_uapi_set({reinterpret_cast<const char*>(data), size}, index);
  HATS_FUZZ_CHECK(set.error == 0 || set.error == EINVAL || set.error == EPROTO);
  wg::DeviceSnapshot device;
  device.listen_port = set.update.listen_port.value_or(0);
  device.fwmark = set.update.fwmark.value_or(0);
  for (const wg::PeerUpdate& peer : set.update.peers) device.peers.push_back(held(peer));

  const std::string reply = config::format_uapi_get(device, name);
  const auto again = config::parse_uapi_set(settable(reply), index);
  HATS_FUZZ_CHECK(again.error == 0);
  HATS_FUZZ_CHECK(again.update.listen_port == device.listen_port);
  HATS_FUZZ_CHECK(again.update.peers.size() == device.peers.size());
  wg::DeviceSnapshot second;
  second.listen_port = again.update.listen_port.value_or(0);
  second.fwmark = again.update.fwmark.value_or(0);
  for (const wg::PeerUpdate& peer : again.update.peers) second.peers.push_back(held(peer));
  HATS_FUZZ_CHECK(config::format_uapi_get(second, name) == reply);
  return 0;
}
