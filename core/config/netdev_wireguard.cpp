// [WireGuard] and [WireGuardPeer] of a .netdev (formats.md 2.3).
#include <algorithm>
#include <array>

#include "core/config/faults.hpp"
#include "core/config/netdev_sections.hpp"
#include "core/config/networkd_values.hpp"
#include "core/config/text.hpp"
#include "crypto/x25519.hpp"

namespace hats::config {
namespace {

/// Where AllowedIPs become routes.
struct RouteWish {
  bool wanted = false;
  std::string table{};
  std::optional<uint32_t> metric{};
};

bool names_key_file(std::string_view key) {
  return key == "PrivateKeyFile" || key == "PresharedKeyFile" || key == "PublicKeyFile";
}

ConfigResult<void> check_path(const Assignment& at) {
  if (at.value().starts_with('/')) return {};
  return at.fail(
      at.value().starts_with('@')
          ? "a credential of systemd (@NAME) cannot be read by hatsd-user; write the path of a file"
          : "the path must be absolute, and begin with '/'");
}

class WireGuardReader {
 public:
  WireGuardReader(const NetworkdSources& sources, InterfaceConfig& config, Warnings& warnings)
      : sources_(sources), config_(config), warnings_(warnings) {}
  ConfigResult<void> read(const IniText& text);

 private:
  using Done = ConfigResult<void>;
  /// A peer as its section says it; the routes are made when the interface's own wish is known.
  struct Peer {
    WgPeer peer;
    const IniSection* section = nullptr;
    bool has_key = false;
    std::optional<RouteWish> table{};  // RouteTable=; unset: as the interface
    std::optional<uint32_t> metric{};
    std::optional<Assignment> key_file{}, preshared_key_file{};
    std::map<Prefix, int> lines{};  // of AllowedIPs
  };

  Done read_interface_key(const Assignment& at);
  Done read_peer(const IniSection& section);
  Done read_peer_key(const Assignment& at, Peer& peer);
  Done read_private_key(const Assignment& at);
  Done read_listen_port(const Assignment& at);
  Done read_mark(const Assignment& at);
  Done read_public_key(const Assignment& at, Peer& peer);
  Done read_preshared_key(const Assignment& at, Peer& peer);
  Done read_allowed_ips(const Assignment& at, Peer& peer);
  static Done read_endpoint(const Assignment& at, Peer& peer);
  static Done read_keepalive(const Assignment& at, Peer& peer);
  static Done read_table(const Assignment& at, std::optional<RouteWish>& wish);
  static Done read_metric(const Assignment& at, std::optional<uint32_t>& metric);
  Done read_key_file(const Assignment& at, std::span<uint8_t, crypto::kKeySize> out) const;
  Done finish_private_key(const IniText& text);
  Done finish_peer(Peer& peer);
  void add_routes(const Peer& peer);
  void warn_of_peers();

  const NetworkdSources& sources_;
  InterfaceConfig& config_;
  Warnings& warnings_;
  std::optional<Assignment> private_key_file_;
  std::optional<RouteWish> table_;
  std::optional<uint32_t> metric_;
  std::vector<Peer> peers_;
};

ConfigResult<void> WireGuardReader::read(const IniText& text) {
  Faults faults;
  for (const IniSection& section : text.sections()) {
    if (section.name == "WireGuardPeer") faults.passed(read_peer(section));
    if (section.name != "WireGuard") continue;
    for (const IniEntry& entry : section.entries) {
      const Assignment at{&section, &entry};
      const auto wanted = is_to_be_read(netdev_rules(), at, warnings_);
      if (faults.passed(wanted) && *wanted) faults.passed(read_interface_key(at));
    }
  }
  if (!faults.any()) faults.passed(finish_private_key(text));
  // networkd hands the peers to the kernel last first: a prefix of two peers ends with the first of the file.
  std::ranges::reverse(peers_);
  for (Peer& peer : peers_) faults.passed(finish_peer(peer));
  if (faults.any()) return faults.result();
  warn_of_peers();
  return {};
}

// ---- [WireGuard] ----

WireGuardReader::Done WireGuardReader::read_interface_key(const Assignment& at) {
  const std::string_view key = at.key();
  if (key == "PrivateKey") return read_private_key(at);
  if (key == "ListenPort") return read_listen_port(at);
  if (key == "FirewallMark" || key == "FwMark") return read_mark(at);
  if (key == "RouteTable") return read_table(at, table_);
  if (key == "RouteMetric") return read_metric(at, metric_);
  private_key_file_ = at;
  if (at.empty()) private_key_file_.reset();
  return at.empty() ? Done{} : check_path(at);
}

WireGuardReader::Done WireGuardReader::read_private_key(const Assignment& at) {
  config_.private_key.reset();
  if (at.empty()) return {};
  if (at.value().starts_with('@')) {
    return at.fail(
        "a credential of systemd (@NAME) cannot be read by hatsd-user; write the key, or PrivateKeyFile=");
  }
  const SecretText text(at.value());
  crypto::PrivateKey key;
  if (const auto done = parse_key(text.view(), key.span()); !done) return at.fail(done.error());
  config_.private_key = std::move(key);
  return {};
}

WireGuardReader::Done WireGuardReader::read_listen_port(const Assignment& at) {
  config_.listen_port.reset();
  if (at.empty() || at.value() == "auto") return {};
  const auto port = parse_decimal(at.value(), 65'535);
  if (!port || *port == 0) return at.fail(quoted(at.value()) + " is not a port; write 1 to 65535, or auto");
  config_.listen_port = static_cast<uint16_t>(*port);
  config_.listen_port_line = at.entry->line;
  return {};
}

WireGuardReader::Done WireGuardReader::read_mark(const Assignment& at) {
  config_.fwmark.reset();
  if (at.empty()) return {};
  const auto mark = parse_number(at.value(), "a mark", 0, 0xffff'ffff);
  if (!mark) return at.fail(mark.error());
  config_.fwmark = *mark;
  return {};
}

WireGuardReader::Done WireGuardReader::read_table(const Assignment& at, std::optional<RouteWish>& wish) {
  wish.reset();
  if (at.empty()) return {};
  wish = RouteWish{};
  // "1" is table 1; only what says no in words, or 0, is off.
  if (networkd_boolean(at.value()) == false) return {};
  auto table = parse_networkd_table(at.value());
  if (!table) return at.fail(table.error() + "; or off");
  wish = RouteWish{true, std::move(*table), {}};
  return {};
}

WireGuardReader::Done WireGuardReader::read_metric(const Assignment& at, std::optional<uint32_t>& metric) {
  metric.reset();
  if (at.empty()) return {};
  const auto value = parse_number(at.value(), "a metric", 0, 0xffff'ffff);
  if (!value) return at.fail(value.error());
  metric = *value;
  return {};
}

WireGuardReader::Done WireGuardReader::read_key_file(const Assignment& at,
                                                     std::span<uint8_t, crypto::kKeySize> out) const {
  const auto found = std::ranges::find(sources_.key_files, at.value(), &KeyFile::path);
  if (found == sources_.key_files.end()) return at.fail(quoted(at.value()) + " has not been read");
  if (!found->fault.empty()) return at.fail(quoted(at.value()) + ": " + found->fault);
  const SecretText text(found->text);
  if (const auto done = parse_key(text.view(), out); !done) {
    return at.fail(quoted(at.value()) + " holds " + done.error());
  }
  return {};
}

/// A file counts before a key in the text.
WireGuardReader::Done WireGuardReader::finish_private_key(const IniText& text) {
  if (private_key_file_) {
    crypto::PrivateKey key;
    if (auto done = read_key_file(*private_key_file_, key.span()); !done) return done;
    config_.private_key = std::move(key);
  }
  if (config_.private_key && !config_.private_key->is_zero()) return {};
  return std::unexpected(missing_key(
      text, netdev_rules(), "WireGuard", "PrivateKey",
      "write PrivateKey= or PrivateKeyFile= (a credential of systemd cannot be read by hatsd-user)",
      sources_.netdev.front().path));
}

// ---- [WireGuardPeer] ----

WireGuardReader::Done WireGuardReader::read_peer(const IniSection& section) {
  if (section.entries.empty()) return {};
  Peer peer;
  peer.section = &section;
  peer.peer.line = section.line;
  Faults faults;
  for (const IniEntry& entry : section.entries) {
    const Assignment at{&section, &entry};
    const auto wanted = is_to_be_read(netdev_rules(), at, warnings_);
    if (faults.passed(wanted) && *wanted) faults.passed(read_peer_key(at, peer));
  }
  if (faults.any()) return faults.result();
  if (!peer.has_key && !peer.key_file) {
    warnings_.add(section.file, section.line, "PublicKey",
                  "this [WireGuardPeer] has none, and is left out, as networkd does");
    return {};
  }
  peers_.push_back(std::move(peer));
  return {};
}

WireGuardReader::Done WireGuardReader::read_peer_key(const Assignment& at, Peer& peer) {
  const std::string_view key = at.key();
  if (key == "PublicKey") return read_public_key(at, peer);
  if (key == "PresharedKey") return read_preshared_key(at, peer);
  if (key == "AllowedIPs") return read_allowed_ips(at, peer);
  if (key == "Endpoint") return read_endpoint(at, peer);
  if (key == "PersistentKeepalive") return read_keepalive(at, peer);
  if (key == "RouteTable") return read_table(at, peer.table);
  if (key == "RouteMetric") return read_metric(at, peer.metric);
  std::optional<Assignment>& file = key == "PublicKeyFile" ? peer.key_file : peer.preshared_key_file;
  file = at;
  if (at.empty()) file.reset();
  return at.empty() ? Done{} : check_path(at);
}

WireGuardReader::Done WireGuardReader::read_public_key(const Assignment& at, Peer& peer) {
  peer.has_key = !at.empty();
  if (at.empty()) return {};
  if (const auto done = parse_key(without_blanks(at.value()), peer.peer.public_key.bytes); !done) {
    return at.fail(done.error());
  }
  peer.peer.key_line = at.entry->line;
  return {};
}

WireGuardReader::Done WireGuardReader::read_preshared_key(const Assignment& at, Peer& peer) {
  peer.peer.preshared_key.reset();
  if (at.empty()) return {};
  if (at.value().starts_with('@')) {
    return at.fail(
        "a credential of systemd (@NAME) cannot be read by hatsd-user; write the key, or PresharedKeyFile=");
  }
  const SecretText text(at.value());
  crypto::PresharedKey key;
  if (const auto done = parse_key(text.view(), key.span()); !done) return at.fail(done.error());
  peer.peer.preshared_key = std::move(key);
  return {};
}

/// Between commas or blanks; nothing takes all of the peer's back.
WireGuardReader::Done WireGuardReader::read_allowed_ips(const Assignment& at, Peer& peer) {
  if (at.empty()) {
    peer.peer.allowed_ips.clear();
    return {};
  }
  for (const std::string_view word : words(at.value())) {
    const auto parsed = parse_allowed_ips(word);
    if (!parsed) return at.fail(parsed.error());
    if (parsed->incremental) return at.fail(quoted(word) + " has a sign; networkd knows no '+' and '-'");
    const Prefix prefix = parsed->entries.front().prefix;
    const Prefix masked = prefix.masked();
    if (masked != prefix) {
      warnings_.add(at, prefix.text() + " has bits behind its prefix; taken as " + masked.text());
    }
    peer.peer.allowed_ips.push_back({masked, false});
    peer.lines.insert_or_assign(masked, at.entry->line);
  }
  return {};
}

WireGuardReader::Done WireGuardReader::read_endpoint(const Assignment& at, Peer& peer) {
  peer.peer.endpoint.reset();
  if (at.empty()) return {};
  auto endpoint = parse_endpoint(at.value());
  if (!endpoint) return at.fail(endpoint.error());
  if (!parse_decimal(endpoint->port, 65'535)) {
    return at.fail(quoted(endpoint->port) + " is not a port; networkd takes numbers alone, 1 to 65535");
  }
  endpoint->line = at.entry->line;
  peer.peer.endpoint = std::move(*endpoint);
  return {};
}

WireGuardReader::Done WireGuardReader::read_keepalive(const Assignment& at, Peer& peer) {
  peer.peer.persistent_keepalive_s.reset();
  if (at.empty()) return {};
  if (at.value() == "off") {
    peer.peer.persistent_keepalive_s = 0;
    return {};
  }
  const auto seconds = parse_number(at.value(), "an interval", 0, 65'535);
  if (!seconds) {
    return at.fail(equals_ignoring_case(at.value(), "off")
                       ? quoted(at.value()) + " must be in small letters: off"
                       : seconds.error() + " seconds, or off");
  }
  peer.peer.persistent_keepalive_s = static_cast<uint16_t>(*seconds);
  return {};
}

// ---- The whole ----

WireGuardReader::Done WireGuardReader::finish_peer(Peer& peer) {
  if (peer.key_file) {
    if (auto done = read_key_file(*peer.key_file, peer.peer.public_key.bytes); !done) return done;
  }
  if (peer.preshared_key_file) {
    crypto::PresharedKey key;
    if (auto done = read_key_file(*peer.preshared_key_file, key.span()); !done) return done;
    peer.peer.preshared_key = std::move(key);
  }
  add_routes(peer);
  config_.peers.push_back(std::move(peer.peer));
  return {};
}

void WireGuardReader::add_routes(const Peer& peer) {
  const RouteWish wish = peer.table ? *peer.table : table_.value_or(RouteWish{});
  if (!wish.wanted) return;
  for (const wg::AllowedIpChange& entry : peer.peer.allowed_ips) {
    InterfaceRoute route;
    route.destination = entry.prefix;
    route.table = wish.table;
    route.metric = peer.metric ? peer.metric : metric_;
    route.line = peer.lines.at(entry.prefix);
    route.file = peer.section->file;
    config_.routes.push_back(std::move(route));
  }
}

void WireGuardReader::warn_of_peers() {
  std::optional<crypto::PublicKey> own;
  if (config_.private_key) own = crypto::public_key_of(*config_.private_key);
  std::map<crypto::PublicKey, int> keys;
  std::map<Prefix, crypto::PublicKey> owners;
  // In the order of the file, which is the other way round now.
  for (size_t i = peers_.size(); i-- > 0;) {
    const WgPeer& peer = config_.peers[i];
    const std::string& file = peers_[i].section->file;
    const int key_line = peer.key_line != 0 ? peer.key_line : peer.line;
    if (peer.public_key == own) {
      warnings_.add(file, key_line, "PublicKey",
                    "this is the interface's own key; the peer is skipped, as the kernel does");
    }
    const auto [seen, fresh] = keys.emplace(peer.public_key, key_line);
    if (!fresh) {
      warnings_.add(file, key_line, "PublicKey",
                    "the same key stands in line " + std::to_string(seen->second) +
                        " already; the AllowedIPs of the earlier [WireGuardPeer] count");
    }
    for (const wg::AllowedIpChange& entry : peer.allowed_ips) {
      const auto [owner, first] = owners.emplace(entry.prefix, peer.public_key);
      if (first || owner->second == peer.public_key) continue;
      warnings_.add(file, peers_[i].lines.at(entry.prefix), "AllowedIPs",
                    entry.prefix.text() + " is given to two peers; the earlier one has it, as with networkd");
    }
  }
}

}  // namespace

bool holds_secrets(const SourceText& netdev) {
  IniText text;
  if (!text.add(netdev)) return false;
  return std::ranges::any_of(text.sections(), [](const IniSection& section) {
    return std::ranges::any_of(section.entries, [](const IniEntry& entry) {
      return (entry.key == "PrivateKey" || entry.key == "PresharedKey") && !entry.value.empty();
    });
  });
}

std::vector<std::string> key_files_of(const std::vector<SourceText>& netdev) {
  std::vector<std::string> out;
  const auto text = parse_networkd_ini(netdev);
  if (!text) return out;
  for (const IniSection& section : text->sections()) {
    if (section.name != "WireGuard" && section.name != "WireGuardPeer") continue;
    for (const IniEntry& entry : section.entries) {
      if (!names_key_file(entry.key) || !entry.value.starts_with('/')) continue;
      if (std::ranges::find(out, entry.value) == out.end()) out.push_back(entry.value);
    }
  }
  return out;
}

ConfigResult<void> read_wireguard(const IniText& text, const NetworkdSources& sources,
                                  InterfaceConfig& config, Warnings& warnings) {
  return WireGuardReader(sources, config, warnings).read(text);
}

}  // namespace hats::config
