// The file's value turned into names and device updates.
#include <algorithm>

#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

constexpr size_t kLongestInterfaceName = 15;  // IFNAMSIZ less the end

}  // namespace

bool valid_interface_name(std::string_view name) noexcept {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '=' || c == '+' || c == '.' || c == '-';
  };
  // "all" and "default" are taken in /proc/sys/net/*/conf, where each interface has a folder: EINVAL.
  const bool reserved = name == "." || name == ".." || name == "all" || name == "default";
  return !name.empty() && name.size() <= kLongestInterfaceName && !reserved &&
         std::all_of(name.begin(), name.end(), allowed);
}

std::string interface_name_fault(std::string_view name) {
  if (valid_interface_name(name)) return {};
  if (const auto placeholder = placeholder_message(name, false)) return *placeholder;
  if (name.empty()) return "the interface has no name; a file NAME.conf names it";
  if (name.size() > kLongestInterfaceName) {
    return quoted(name) + " has " + std::to_string(name.size()) +
           " characters; an interface name has at most " + std::to_string(kLongestInterfaceName);
  }
  if (name == "all" || name == "default") {
    return quoted(name) + " is a word of the kernel's for every interface; choose another name";
  }
  return quoted(name) + " is not an interface name; it is made of letters, digits and _ = + . -";
}

wg::DeviceUpdate InterfaceConfig::device_update() const {
  wg::DeviceUpdate out;
  if (private_key) out.private_key = private_key->copy();
  out.listen_port = listen_port;
  out.fwmark = fwmark;
  out.replace_peers = true;
  for (const WgPeer& peer : peers) {
    wg::PeerUpdate& update = out.peers.emplace_back();
    update.public_key = peer.public_key;
    update.replace_allowed_ips = peer.replace_allowed_ips;
    if (peer.preshared_key) update.preshared_key = peer.preshared_key->copy();
    if (peer.endpoint) update.endpoint = peer.endpoint->numeric();
    update.persistent_keepalive_s = peer.persistent_keepalive_s;
    update.allowed_ips = peer.allowed_ips;
  }
  return out;
}

}  // namespace hats::config
