#include "core/config/netdev.hpp"

#include <algorithm>
#include <array>

#include "core/config/faults.hpp"
#include "core/config/mtu_advice.hpp"
#include "core/config/netdev_sections.hpp"
#include "core/config/network.hpp"
#include "core/config/networkd_values.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"

namespace hats::config {
namespace {

constexpr uint32_t kWireGuardMtu = 1'420;  // bytes; what the kernel gives its device (formats.md 2.3)
constexpr auto kKinds = std::to_array<std::string_view>({"wireguard", "gre", "sit", "ip6gre", "ipip"});

/// Name= and Kind= with where they stand; null: not there.
struct Identity {
  std::optional<Assignment> name, kind;
};

/// The last Name= that is not empty counts, and the first Kind= (networkd refuses to change it).
Identity identity_of(const IniText& text) {
  Identity out;
  for (const IniSection& section : text.sections()) {
    if (section.name != "NetDev") continue;
    for (const IniEntry& entry : section.entries) {
      if (entry.key == "Name") out.name = Assignment{&section, &entry};
      if (entry.key == "Kind" && !out.kind && !entry.value.empty()) out.kind = Assignment{&section, &entry};
    }
  }
  if (out.name && out.name->empty()) out.name.reset();
  return out;
}

std::string kinds_text() {
  std::string out;
  for (const std::string_view kind : kKinds) out += (out.empty() ? "" : ", ") + std::string(kind);
  return out;
}

ConfigResult<void> check_kind(const Assignment& at) {
  if (is_served_kind(at.value())) return {};
  std::string message = quoted(at.value()) + " is not a kind that hatsd-user makes (" + kinds_text() + ")";
  const std::string word(at.value().substr(0, at.value().find_first_of(" \t#;")));
  if (word != at.value() && is_served_kind(word)) {
    message += "; a comment needs a line of its own";
  } else if (const std::string_view close = nearest(at.value(), kKinds); !close.empty()) {
    message += "; did you mean " + std::string(close) + "?";
  }
  return at.fail(message);
}

/// What must be there; empty where it is not, or not right, which is a fault then.
NetdevIdentity check_identity(const IniText& text, const std::string& file, Faults& faults) {
  const Identity identity = identity_of(text);
  const auto missing = [&](const char* key, const std::string& example) {
    return missing_key(text, netdev_rules(), "NetDev", key, "write " + example, file);
  };
  // Placeholders are told where the section is read.
  const auto unfilled = [](const Assignment& at) {
    return placeholder_message(at.value(), false).has_value();
  };
  NetdevIdentity out;
  if (!identity.name && !identity.kind) {
    faults.add(missing("Name", "Name = INTERFACE and Kind = one of " + kinds_text()));
    return out;
  }
  if (!identity.name) {
    faults.add(missing("Name", "Name = INTERFACE"));
  } else if (const std::string fault = interface_name_fault(identity.name->value()); !fault.empty()) {
    if (!unfilled(*identity.name)) faults.add(identity.name->fail(fault).error());
  } else {
    out.name = identity.name->value();
  }
  if (!identity.kind) {
    faults.add(missing("Kind", "Kind = one of " + kinds_text()));
  } else if (!unfilled(*identity.kind) && faults.passed(check_kind(*identity.kind))) {
    out.kind = identity.kind->value();
  }
  return out;
}

/// Name= and Kind= have been read; MTUBytes= is left.
ConfigResult<void> read_netdev_section(const IniText& text, std::string_view kind, InterfaceConfig& config,
                                       Warnings& warnings) {
  Faults faults;
  for (const IniSection& section : text.sections()) {
    if (section.name != "NetDev") continue;
    for (const IniEntry& entry : section.entries) {
      const Assignment at{&section, &entry};
      const auto wanted = is_to_be_read(netdev_rules(), at, warnings);
      if (!faults.passed(wanted)) continue;
      if (entry.key == "Kind" && !at.empty() && entry.value != kind) {
        warnings.add(at, "the kind is " + std::string(kind) + " already, and stays so, as in networkd");
      }
      if (!*wanted || entry.key != "MTUBytes") continue;
      config.mtu.reset();
      if (at.empty()) continue;
      const auto mtu = parse_mtu_bytes(at.value());
      if (!mtu) {
        faults.add(at.fail(mtu.error()).error());
        continue;
      }
      config.mtu = *mtu;
      config.mtu_line = entry.line;
      config.mtu_file = section.file;
    }
  }
  return faults.result();
}

void warn_of_sections(const IniText& text, bool wireguard, Warnings& warnings) {
  for (const IniSection& section : text.sections()) {
    if (!is_known_section(netdev_rules(), section, warnings)) continue;
    const bool of_wireguard = section.name == "WireGuard" || section.name == "WireGuardPeer";
    const bool of_tunnels = section.name == "Tunnel";
    if ((of_wireguard && !wireguard) || (of_tunnels && wireguard)) {
      warnings.add(section.file, section.line, "",
                   "[" + section.name + "] means nothing for this Kind; it is skipped, as networkd does");
    }
  }
}

void warn_of_small_mtu(const InterfaceConfig& config, Warnings& warnings) {
  const auto is_v6 = [](const InterfaceAddress& a) { return a.prefix.address.family == Family::v6; };
  const auto v6 = std::ranges::find_if(config.addresses, is_v6);
  if (!config.mtu || *config.mtu >= kLeastIpv6Mtu || v6 == config.addresses.end()) return;
  warnings.add(
      config.mtu_file, config.mtu_line, "MTUBytes",
      std::to_string(*config.mtu) + " is too small for IPv6; the kernel keeps IPv6 addresses from 1280 on");
}

/// The .network file. Where networkd itself will configure the link that we make (a TUN of that name), it has
/// the addresses and routes; only what it would not give stays ours.
ConfigResult<void> read_network_files(const NetworkdSources& sources, const NetdevIdentity& identity,
                                      InterfaceConfig& config, Warnings& warnings) {
  if (sources.network.empty()) return {};
  const auto text = parse_networkd_ini(sources.network);
  if (!text) return std::unexpected(text.error());
  warnings.add(text->warnings());
  const bool elsewhere = sources.networkd_takes_link && matches_link(*text, {identity.name, "tun"});
  const ConditionVerdict conditions = conditions_of(*text, sources.host);
  if (!elsewhere && conditions.verdict != Verdict::holds) return std::unexpected(conditions.where);
  const std::vector<InterfaceRoute> of_peers = config.routes;
  if (auto done = read_network(*text, config, warnings, elsewhere); !done) return done;
  if (!elsewhere) return {};
  warnings.add(sources.network.front().path, 1, "",
               "systemd-networkd is running and gives " + identity.name +
                   " its addresses and routes; hatsd-user makes the interface alone");
  config.addresses_elsewhere = of_peers.empty();
  if (of_peers.empty()) return {};
  // It gives a TUN no routes of AllowedIPs: those are ours, and nothing else.
  config.addresses.clear();
  config.routes = of_peers;
  return {};
}

}  // namespace

void NetworkdSources::wipe() noexcept {
  for (SourceText& source : netdev) wipe_text(source.text);
  for (SourceText& source : network) wipe_text(source.text);
  for (KeyFile& file : key_files) wipe_text(file.text);
}

bool is_served_kind(std::string_view kind) noexcept {
  return std::ranges::find(kKinds, kind) != kKinds.end();
}

std::optional<std::string> netdev_name(std::string_view text) {
  std::vector<SourceText> source{{"", std::string(text)}};
  const auto identity = netdev_identity(source);
  wipe_text(source.front().text);
  if (!identity || !valid_interface_name(identity->name)) return std::nullopt;
  return identity->name;
}

ConfigResult<NetdevIdentity> netdev_identity(const std::vector<SourceText>& netdev) {
  const auto text = parse_networkd_ini(netdev);
  if (!text) return std::unexpected(text.error());
  const Identity identity = identity_of(*text);
  NetdevIdentity out;
  if (identity.name) out.name = identity.name->value();
  if (identity.kind) out.kind = identity.kind->value();
  return out;
}

bool is_for_host(const std::vector<SourceText>& sources, const HostFacts& host) {
  const auto text = parse_networkd_ini(sources);
  return !text || conditions_of(*text, host).verdict != Verdict::fails;
}

ConfigResult<InterfaceConfig> parse_networkd(const NetworkdSources& sources) {
  const std::string file = sources.netdev.empty() ? std::string() : sources.netdev.front().path;
  const auto text = parse_networkd_ini(sources.netdev);
  if (!text) return std::unexpected(text.error());
  const ConditionVerdict conditions = conditions_of(*text, sources.host);
  if (conditions.verdict != Verdict::holds) return std::unexpected(conditions.where);
  Faults faults;
  const NetdevIdentity identity = check_identity(*text, file, faults);

  InterfaceConfig config;
  config.format = Format::networkd;
  config.table.kind = RouteTable::Kind::off;  // AllowedIPs make no routes but by RouteTable=
  Warnings warnings;
  warnings.add(text->warnings());
  const bool wireguard = identity.kind == "wireguard";
  warn_of_sections(*text, wireguard, warnings);
  faults.passed(read_netdev_section(*text, identity.kind, config, warnings));
  if (wireguard) {
    faults.passed(read_wireguard(*text, sources, config, warnings));
  } else if (!identity.kind.empty()) {
    auto tunnel = read_tunnel(*text, identity.kind, file, warnings);
    if (faults.passed(tunnel)) config.tunnel = std::move(*tunnel);
  }
  faults.passed(read_network_files(sources, identity, config, warnings));
  if (auto done = faults.result(); !done) return std::unexpected(done.error());
  if (wireguard && !config.mtu) {
    config.mtu = kWireGuardMtu;
    config.mtu_file = file;
  }
  warn_of_small_mtu(config, warnings);
  config.warnings = warnings.take();
  return config;
}

}  // namespace hats::config
