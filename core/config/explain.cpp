#include "core/config/explain.hpp"

#include <algorithm>
#include <set>

#include "core/config/explain_text.hpp"
#include "core/config/mtu_advice.hpp"
#include "core/config/text.hpp"
#include "crypto/x25519.hpp"

namespace hats::config {
namespace {

constexpr uint32_t kKernelWireGuardMtu = 1'420;  // bytes
constexpr size_t kKeyTextSize = 44;              // base64 of a key
constexpr uint32_t kFirstDefaultTable = 51'820;  // wg-quick's, when no mark is given

bool is_base64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/// A hook's command with %i replaced and keys taken out: a command may hold one, and this goes to a terminal.
std::string hook_text(std::string_view command, const std::string& interface) {
  std::string out;
  while (!command.empty()) {
    const auto* run_end = std::find_if_not(command.begin(), command.end(), is_base64);
    const auto run = static_cast<size_t>(run_end - command.begin());
    const bool key = run == kKeyTextSize - 1 && run < command.size() && command[run] == '=';
    if (key) {
      out += "(a key)";
      command.remove_prefix(kKeyTextSize);
    } else if (run > 0) {
      out += command.substr(0, run);
      command.remove_prefix(run);
    } else if (command.starts_with("%i") && !interface.empty()) {
      out += interface;
      command.remove_prefix(2);
    } else {
      out += command.front();
      command.remove_prefix(1);
    }
  }
  return out;
}

class Explainer {
 public:
  Explainer(const InterfaceConfig& config, const ExplainFacts& facts) : config_(config), facts_(facts) {}
  std::vector<std::string> lines();

 private:
  void interface();
  void mtu();
  void peer(const WgPeer& peer, size_t index);
  void cost(Family outer, std::optional<uint32_t> known_path_mtu);
  void routes();
  void default_routes(const std::vector<std::string>& prefixes);
  void hooks();
  void differences();
  void notes();

  void head(std::string text) { out_.head(std::move(text)); }
  void add(std::string_view label, const std::string& text) { out_.add(label, text); }
  void item(const std::string& text) { out_.item(text); }
  [[nodiscard]] PeerPath path(size_t index) const {
    PeerPath out = index < facts_.paths.size() ? facts_.paths[index] : PeerPath{};
    const auto& written = config_.peers[index].endpoint;
    if (!out.endpoint && written) out.endpoint = written->numeric();
    return out;
  }
  [[nodiscard]] uint32_t applied_mtu() const;
  [[nodiscard]] bool allows(const char* prefix) const;

  const InterfaceConfig& config_;
  const ExplainFacts& facts_;
  ExplainLines out_;
};

std::vector<std::string> Explainer::lines() {
  interface();
  for (size_t i = 0; i < config_.peers.size(); ++i) peer(config_.peers[i], i);
  routes();
  hooks();
  differences();
  notes();
  out_.list("warnings", warning_texts(config_, facts_));
  return out_.take();
}

void Explainer::interface() {
  head("interface " + facts_.interface + " (WireGuard)" +
       (facts_.file.empty() ? "" : ", from " + facts_.file));
  if (config_.private_key && !config_.private_key->is_zero()) {
    add("public key", crypto::key_to_base64(crypto::public_key_of(*config_.private_key).bytes));
  } else {
    add("private key", "none: nothing passes until a hook or `wg set` gives one");
  }
  if (!config_.listen_service.empty()) {
    add("listen port", "that of the service " + config_.listen_service);
  } else {
    const uint16_t port = config_.listen_port.value_or(0);
    add("listen port", port == 0 ? "any that is free" : std::to_string(port));
  }
  if (config_.fwmark.value_or(0) != 0) add("firewall mark", std::to_string(*config_.fwmark));
  add("addresses", addresses_line(config_));
  mtu();
  if (!config_.dns_servers.empty()) add("DNS", listed(config_.dns_servers));
  if (!config_.dns_search.empty()) add("DNS search", listed(config_.dns_search));
  if (config_.save_config) add("SaveConfig", "on `down` the live state replaces the file");
}

uint32_t Explainer::applied_mtu() const {
  if (config_.mtu) return *config_.mtu;
  std::vector<uint32_t> paths;
  for (const PeerPath& path : facts_.paths) {
    if (path.mtu) paths.push_back(*path.mtu);
  }
  return wg_quick_default_mtu(paths, facts_.default_route_mtu);
}

void Explainer::mtu() {
  if (config_.mtu) {
    // the other formats' parsers put the kernel's default where their file names none
    const bool kernels = config_.format != Format::wg_quick && config_.mtu == kKernelWireGuardMtu;
    add("mtu", std::to_string(*config_.mtu) + (kernels ? ", the kernel's default" : ", from the file"));
  } else {
    add("mtu",
        std::to_string(applied_mtu()) + ", the smallest path less " + std::to_string(kWgQuickMtuMargin));
  }
}

void Explainer::peer(const WgPeer& peer, size_t index) {
  head("peer " + crypto::key_to_base64(peer.public_key.bytes) + " (line " + std::to_string(peer.line) + ")");
  const PeerPath way = path(index);
  if (!peer.endpoint) {
    add("endpoint", "none: the peer has to begin");
  } else if (peer.endpoint->numeric()) {
    add("endpoint", peer.endpoint->text());
  } else {
    add("endpoint",
        peer.endpoint->text() + ", a name" + (way.endpoint ? ": now " + way.endpoint->text() : ""));
  }
  if (peer.preshared_key && !peer.preshared_key->is_zero()) add("preshared key", "yes");
  std::vector<std::string> prefixes;
  prefixes.reserve(peer.allowed_ips.size());
  for (const wg::AllowedIpChange& entry : peer.allowed_ips) {
    prefixes.push_back((entry.remove ? "-" : "") + entry.prefix.text());
  }
  add("allowed IPs", prefixes.empty() ? "none: nothing goes to or comes from this peer" : listed(prefixes));
  const uint16_t keepalive_s = peer.persistent_keepalive_s.value_or(0);
  add("keepalive", keepalive_s == 0 ? "off" : "every " + std::to_string(keepalive_s) + " s");
  if (way.endpoint) cost(way.endpoint->address.family, way.mtu);
}

void Explainer::cost(Family outer, std::optional<uint32_t> known_path_mtu) {
  const Encapsulation tunnel{.outer = outer};
  add("overhead", std::to_string(overhead(tunnel)) + " bytes a packet (" + overhead_parts(tunnel) + ")");
  std::string beside;
  if (const auto guide = guide_figure(tunnel)) {
    beside = "; the peering guide counts " + std::to_string(guide->overhead) + " bytes and says " +
             std::to_string(guide->mtu);
  }
  const uint32_t path_mtu = known_path_mtu.value_or(kUnknownPathMtu);
  add("best mtu", std::to_string(best_mtu(tunnel, path_mtu)) + " on " +
                      (known_path_mtu ? "this path of " : "a path of ") + std::to_string(path_mtu) + beside);
  if (const auto warning = mtu_warning(tunnel, applied_mtu(), path_mtu)) add("mtu advice", *warning);
}

void Explainer::routes() {
  if (config_.format != Format::wg_quick) {
    out_.routes(config_);
    return;
  }
  head("routes");
  std::vector<std::string> plain, defaults;
  std::set<Prefix> seen;
  for (const WgPeer& peer : config_.peers) {
    for (const wg::AllowedIpChange& entry : peer.allowed_ips) {
      if (entry.remove || !seen.insert(entry.prefix).second) continue;
      const bool policy = entry.prefix.length == 0 && config_.table.kind == RouteTable::Kind::automatic;
      (policy ? defaults : plain).push_back(entry.prefix.text());
    }
  }
  if (config_.table.kind == RouteTable::Kind::off) {
    item(
        "none, because of Table = off: no rules, no mark, no firewall either; set routes yourself or with "
        "BIRD or FRR");
    item("AllowedIPs still decide what each peer may send and which peer a packet goes to");
    return;
  }
  if (plain.empty() && defaults.empty()) item("none: no AllowedIPs");
  if (!plain.empty() && config_.table.kind == RouteTable::Kind::table) {
    item("to table " + config_.table.table + ": " + listed(plain));
  } else if (!plain.empty()) {
    item("to the main table, unless a route of the interface covers it: " + listed(plain));
  }
  if (!defaults.empty()) default_routes(defaults);
}

void Explainer::default_routes(const std::vector<std::string>& prefixes) {
  const uint32_t mark = config_.fwmark.value_or(0);
  const std::string table = mark != 0 ? "table " + std::to_string(mark) + ", after FwMark"
                                      : "the first free table from " + std::to_string(kFirstDefaultTable) +
                                            ", whose number is also the firewall mark";
  item(listed(prefixes) + ": to " + table);
  item("rules: what lacks the mark looks there, after the main table without its default route");
  item(
      "firewall: packets to the tunnel's addresses that come in elsewhere are dropped, and the mark is kept "
      "per flow");
}

void Explainer::hooks() {
  const auto list = [&](const char* name, const std::vector<Hook>& of) {
    for (const Hook& hook : of) {
      item(std::string(name) + " (line " + std::to_string(hook.line) +
           "): " + hook_text(hook.command, facts_.interface));
    }
  };
  if (config_.pre_up.empty() && config_.post_up.empty() && config_.pre_down.empty() &&
      config_.post_down.empty())
    return;
  head("hooks, run by bash in this order");
  list("PreUp", config_.pre_up);
  list("PostUp", config_.post_up);
  list("PreDown", config_.pre_down);
  list("PostDown", config_.post_down);
}

/// Where a file of this content fares otherwise than under stock wg-quick.
void Explainer::differences() {
  if (config_.format != Format::wg_quick) return;
  std::vector<std::string> found;
  const bool named = std::ranges::any_of(
      config_.peers, [](const WgPeer& peer) { return peer.endpoint && !peer.endpoint->numeric(); });
  if (named) {
    found.emplace_back(
        "names are looked up in the background, tried again, and looked up anew when handshakes fail; "
        "wg-quick does it "
        "once, and fails");
  }
  const auto has_hash = [](const Hook& hook) { return hook.command.find('#') != std::string::npos; };
  for (const auto* of : {&config_.pre_up, &config_.post_up, &config_.pre_down, &config_.post_down}) {
    if (std::ranges::none_of(*of, has_hash)) continue;
    found.emplace_back("a '#' in a hook belongs to the command; wg-quick before 2025-05 cuts it off");
    break;
  }
  if (!config_.pre_up.empty())
    found.emplace_back("PreUp runs when the interface exists; wg-quick before 2023 ran it earlier");
  if (!config_.mtu && config_.peers.size() > 1) {
    found.emplace_back("the smallest path decides the mtu; wg-quick before 2025-05 took the largest");
  }
  const bool incremental =
      std::ranges::any_of(config_.peers, [](const WgPeer& peer) { return !peer.replace_allowed_ips; });
  if (incremental) found.emplace_back("'+' and '-' in AllowedIPs are taken; Debian 12's wg refuses them");
  out_.list("what stock tools do otherwise", found);
}

bool Explainer::allows(const char* prefix) const {
  const auto wanted = Prefix::parse(prefix);
  if (!wanted) return false;
  for (const WgPeer& peer : config_.peers) {
    for (const wg::AllowedIpChange& entry : peer.allowed_ips) {
      if (!entry.remove && entry.prefix.length <= wanted->length && entry.prefix.contains(wanted->address))
        return true;
    }
  }
  return false;
}

/// Whether there is a peer; and what a routing daemon needs of AllowedIPs (formats.md 1.7), of interest where
/// the file leaves routes to one.
void Explainer::notes() {
  if (config_.peers.empty()) {
    out_.list("worth knowing", {"there is no peer: nothing passes until `wg set` gives one"});
    return;
  }
  if (config_.table.kind != RouteTable::Kind::off) return;
  std::vector<std::string> found;
  const bool link_local = std::ranges::any_of(config_.addresses, [](const InterfaceAddress& address) {
    return Prefix::parse("fe80::/10")->contains(address.prefix.address);
  });
  if (link_local && !allows("fe80::/10"))
    found.emplace_back("fe80::/10: BGP between link-local addresses fails");
  if (!allows("ff02::/16")) found.emplace_back("ff02::/16: no OSPFv3, Babel or router advertisements");
  if (!allows("224.0.0.0/24")) found.emplace_back("224.0.0.0/24: no OSPFv2");
  out_.list("not in any AllowedIPs", found);
}

}  // namespace

std::vector<std::string> explain(const InterfaceConfig& config, const ExplainFacts& facts) {
  if (config.tunnel) return explain_tunnel(config, facts);
  return Explainer(config, facts).lines();
}

}  // namespace hats::config
