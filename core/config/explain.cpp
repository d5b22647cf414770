#include "core/config/explain.hpp"

#include <algorithm>

namespace hats::config {
namespace {

constexpr size_t kLabelWidth = 14;         // columns of the left side
constexpr size_t kPrefixesShown = 8;       // of one peer; a peer may have thousands
constexpr uint32_t kUsualPathMtu = 1'500;  // Ethernet
constexpr uint32_t kGuideMtu = 1'468;      // the peering guide's figure for WireGuard
constexpr uint32_t kWgQuickOverhead = 80;  // taken off by wg-quick, also for IPv4 endpoints

class Text {
 public:
  void line(std::string_view label, const std::string& value) {
    out_ += "  " + std::string(label);
    out_.append(label.size() < kLabelWidth ? kLabelWidth - label.size() : 1, ' ');
    out_ += value + '\n';
  }
  std::string out_;
};

std::string first_prefixes(const std::vector<wg::AllowedIpChange>& allowed_ips) {
  std::string out;
  for (size_t i = 0; i < allowed_ips.size() && i < kPrefixesShown; ++i) {
    out +=
        (i == 0 ? "" : ", ") + std::string(allowed_ips[i].remove ? "-" : "") + allowed_ips[i].prefix.text();
  }
  if (allowed_ips.size() > kPrefixesShown) {
    out += " and " + std::to_string(allowed_ips.size() - kPrefixesShown) + " more";
  }
  return out.empty() ? "none: nothing may pass" : out;
}

bool has_default_route(const WgQuickConfig& config) {
  return std::any_of(config.peers.begin(), config.peers.end(), [](const WgPeer& peer) {
    return std::any_of(
        peer.allowed_ips.begin(), peer.allowed_ips.end(),
        [](const wg::AllowedIpChange& entry) { return !entry.remove && entry.prefix.length == 0; });
  });
}

std::string routes_text(const WgQuickConfig& config) {
  switch (config.table.kind) {
    case RouteTable::Kind::off:
      return "none (Table = off): AllowedIPs only choose the peer and check the source";
    case RouteTable::Kind::table:
      return "every AllowedIPs prefix, in table " + config.table.table + ", without policy rules";
    case RouteTable::Kind::automatic:
      break;
  }
  return has_default_route(config) ? "every AllowedIPs prefix; the default route by firewall mark and policy "
                                     "rules, as wg-quick does"
                                   : "every AllowedIPs prefix, in the main table";
}

void add_hooks(Text& text, std::string_view key, const std::vector<Hook>& hooks) {
  for (const Hook& hook : hooks) text.line(key, "line " + std::to_string(hook.line) + ": " + hook.command);
}

void add_peer(Text& text, const WgPeer& peer) {
  std::string about = peer.endpoint ? "at " + peer.endpoint->text() : "no endpoint: it must reach us first";
  if (peer.endpoint && !peer.endpoint->numeric())
    about += " (resolved in the background, and again when it fails)";
  if (peer.preshared_key) about += ", preshared key";
  if (peer.persistent_keepalive_s.value_or(0) != 0) {
    about += ", keepalive every " + std::to_string(*peer.persistent_keepalive_s) + " s";
  }
  text.line("peer", crypto::key_to_base64(peer.public_key.bytes));
  text.line("", about);
  text.line("", "AllowedIPs " + first_prefixes(peer.allowed_ips));
}

void add_mtu(Text& text, const WgQuickConfig& config, const std::vector<PathFact>& paths) {
  text.line("MTU", config.mtu ? std::to_string(*config.mtu) + ", as the file says"
                              : "the smallest path to an endpoint less " + std::to_string(kWgQuickOverhead) +
                                    ", as wg-quick does (1420 on 1500-byte paths)");
  text.line("overhead", std::to_string(wireguard_overhead(Family::v4)) + " bytes over IPv4, " +
                            std::to_string(wireguard_overhead(Family::v6)) + " over IPv6; best MTU on a " +
                            std::to_string(kUsualPathMtu) + "-byte path " +
                            std::to_string(best_mtu(kUsualPathMtu, Family::v4)) + " and " +
                            std::to_string(best_mtu(kUsualPathMtu, Family::v6)) + " (the guide says " +
                            std::to_string(kGuideMtu) + ")");
  for (const PathFact& path : paths) {
    const Family outer = path.endpoint.address.family;
    text.line("path", "to " + path.endpoint.text() + " takes " + std::to_string(path.path_mtu) +
                          " bytes: best MTU " + std::to_string(best_mtu(path.path_mtu, outer)));
    const std::string warning = config.mtu ? mtu_warning(*config.mtu, path.path_mtu, outer) : "";
    if (!warning.empty()) text.line("warning", warning);
  }
}

}  // namespace

std::string mtu_warning(uint32_t mtu, uint32_t path_mtu, Family outer) {
  const uint32_t needed = largest_outer_packet(mtu, outer);
  if (needed <= path_mtu) return {};
  return "mtu " + std::to_string(mtu) + " needs " + std::to_string(needed) + "-byte packets on a " +
         std::to_string(path_mtu) + "-byte path; " + std::to_string(best_mtu(path_mtu, outer)) +
         " avoids fragmentation";
}

std::string explain(const WgQuickConfig& config, std::string_view interface_name,
                    const std::vector<PathFact>& paths) {
  Text text;
  text.out_ = "interface " + std::string(interface_name) + ": WireGuard\n";
  for (const InterfaceAddress& address : config.addresses) text.line("address", address.prefix.text());
  text.line("private key", config.private_key ? "given" : "none: a hook or wg(8) must set it");
  text.line("listen port", !config.listen_service.empty()        ? config.listen_service
                           : config.listen_port.value_or(0) != 0 ? std::to_string(*config.listen_port)
                                                                 : "any free one");
  if (config.fwmark.value_or(0) != 0) text.line("firewall mark", std::to_string(*config.fwmark));
  text.line("routes", routes_text(config));
  if (!config.dns_servers.empty() || !config.dns_search.empty()) {
    text.line("DNS", std::to_string(config.dns_servers.size()) + " servers, " +
                         std::to_string(config.dns_search.size()) + " search domains, through resolvconf");
  }
  add_hooks(text, "PreUp", config.pre_up);
  add_hooks(text, "PostUp", config.post_up);
  add_hooks(text, "PreDown", config.pre_down);
  add_hooks(text, "PostDown", config.post_down);
  if (config.save_config) text.line("on down", "the file is written anew from the live state (SaveConfig)");
  for (const WgPeer& peer : config.peers) add_peer(text, peer);
  add_mtu(text, config, paths);
  return std::move(text.out_);
}

}  // namespace hats::config
