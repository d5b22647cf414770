// A real device as the judge of what a configuration means.
#pragma once

#include <algorithm>
#include <map>
#include <string>

#include "core/wg/device.hpp"
#include "tests/support/seeded_rng.hpp"

namespace hats::config::test {

inline Now at(int64_t seconds_since_boot) {
  return {BootTime{seconds_since_boot * 1'000'000'000}, WallTime{1'700'000'000 + seconds_since_boot, 0}};
}

/// What a device is configured to, as text.
inline std::string state_of(const wg::Device& device) {
  const wg::DeviceSnapshot snapshot = device.snapshot();
  std::map<std::string, std::string> peers;
  for (const wg::PeerSnapshot& peer : snapshot.peers) {
    std::vector<Prefix> prefixes = peer.allowed_ips;
    std::ranges::sort(prefixes);
    std::string text = crypto::key_to_base64(peer.preshared_key.view()) + ' ' + peer.endpoint.text() + ' ' +
                       std::to_string(peer.persistent_keepalive_s);
    for (const Prefix& prefix : prefixes) text += ' ' + prefix.text();
    peers[crypto::key_to_base64(peer.public_key.bytes)] = text;
  }
  std::string out = snapshot.private_key ? crypto::key_to_base64(snapshot.private_key->view()) : "no key";
  for (const auto& [key, text] : peers) out += '\n' + key + ' ' + text;
  return out;
}

}  // namespace hats::config::test
