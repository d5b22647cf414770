// The file that SaveConfig writes (wg-quick(8)): wg-quick's keys first, then what `wg showconf` would print.
#include <algorithm>

#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"

namespace hats::config {
namespace {

void add(std::string& out, std::string_view key, std::string_view value) {
  out += key;
  out += " = ";
  out += value;
  out += '\n';
}

std::string join(const std::vector<std::string>& first, const std::vector<std::string>& second) {
  std::string out;
  for (const auto* list : {&first, &second}) {
    for (const std::string& word : *list) out += (out.empty() ? "" : ", ") + word;
  }
  return out;
}

void add_secret(std::string& out, std::string_view key, std::span<const uint8_t, crypto::kKeySize> bytes) {
  std::string text = crypto::key_to_base64(bytes);
  add(out, key, text);
  wipe_text(text);
}

void add_interface(std::string& out, const InterfaceConfig& config, const LiveInterface& live) {
  for (const Prefix& address : live.addresses) add(out, "Address", address.text());
  const std::string dns = join(config.dns_servers, config.dns_search);
  if (!dns.empty()) add(out, "DNS", dns);
  if (live.mtu) add(out, "MTU", std::to_string(*live.mtu));
  if (config.table.kind == RouteTable::Kind::off) add(out, "Table", "off");
  if (config.table.kind == RouteTable::Kind::table) add(out, "Table", config.table.table);
  if (config.save_config) add(out, "SaveConfig", "true");
  for (const Hook& hook : config.pre_up) add(out, "PreUp", hook.command);
  for (const Hook& hook : config.post_up) add(out, "PostUp", hook.command);
  for (const Hook& hook : config.pre_down) add(out, "PreDown", hook.command);
  for (const Hook& hook : config.post_down) add(out, "PostDown", hook.command);
}

std::string hex_mark(uint32_t mark) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  for (; mark != 0; mark >>= 4) digits.insert(digits.begin(), kDigits[mark & 15]);
  return "0x" + digits;
}

std::string zoned_text(const Endpoint& endpoint, const ZoneName& zone_name) {
  const std::string zone = endpoint.scope_id != 0 && zone_name ? zone_name(endpoint.scope_id) : std::string();
  if (zone.empty()) return endpoint.text();
  return '[' + endpoint.address.text() + '%' + zone + "]:" + std::to_string(endpoint.port);
}

/// Peers of the file whose endpoint is looked up. While that waits, the name must not be lost.
std::vector<const WgPeer*> peers_by_name(const InterfaceConfig& config) {
  std::vector<const WgPeer*> out;
  for (const WgPeer& peer : config.peers) {
    if (peer.endpoint && !peer.endpoint->numeric()) out.push_back(&peer);
  }
  return out;
}

void add_peer(std::string& out, const wg::PeerSnapshot& peer, const std::vector<const WgPeer*>& by_name,
              const ZoneName& zone_name) {
  out += "\n[Peer]\n";
  add(out, "PublicKey", crypto::key_to_base64(peer.public_key.bytes));
  if (!peer.preshared_key.is_zero()) add_secret(out, "PresharedKey", peer.preshared_key.view());
  std::string prefixes;
  for (const Prefix& prefix : peer.allowed_ips) prefixes += (prefixes.empty() ? "" : ", ") + prefix.text();
  if (!prefixes.empty()) add(out, "AllowedIPs", prefixes);
  if (peer.endpoint.is_set()) {
    add(out, "Endpoint", zoned_text(peer.endpoint, zone_name));
  } else {
    const auto named = std::ranges::find(by_name, peer.public_key, &WgPeer::public_key);
    const WgPeer* const from = named == by_name.end() ? nullptr : *named;
    if (from != nullptr && from->endpoint) add(out, "Endpoint", from->endpoint->text());
  }
  if (peer.persistent_keepalive_s != 0) {
    add(out, "PersistentKeepalive", std::to_string(peer.persistent_keepalive_s));
  }
}

/// Bytes that the text takes at most: growing would leave copies of secrets behind.
size_t room(const InterfaceConfig& config, const wg::DeviceSnapshot& device, const LiveInterface& live) {
  constexpr size_t kFixed = 1'024, kLine = 96, kPeer = 512, kPrefix = 48;
  size_t bytes = kFixed + live.addresses.size() * kLine + device.peers.size() * kPeer;
  for (const wg::PeerSnapshot& peer : device.peers) bytes += peer.allowed_ips.size() * kPrefix;
  for (const auto* hooks : {&config.pre_up, &config.post_up, &config.pre_down, &config.post_down}) {
    for (const Hook& hook : *hooks) bytes += kLine + hook.command.size();
  }
  for (const auto* names : {&config.dns_servers, &config.dns_search}) {
    for (const std::string& name : *names) bytes += name.size() + 2;
  }
  return bytes + config.table.table.size();
}

}  // namespace

std::string format_wg_quick(const InterfaceConfig& config, const wg::DeviceSnapshot& device,
                            const LiveInterface& live, const ZoneName& zone_name) {
  std::string out;
  out.reserve(room(config, device, live));
  out = "[Interface]\n";
  add_interface(out, config, live);
  if (device.listen_port != 0) add(out, "ListenPort", std::to_string(device.listen_port));
  if (device.fwmark != 0) add(out, "FwMark", hex_mark(device.fwmark));
  if (device.private_key) add_secret(out, "PrivateKey", device.private_key->view());
  const auto by_name = peers_by_name(config);
  for (const wg::PeerSnapshot& peer : device.peers) add_peer(out, peer, by_name, zone_name);
  return out;
}

}  // namespace hats::config
