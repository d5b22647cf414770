// What a netplan tunnel comes to in its mode (formats.md 3.2, 3.4, 4.4).
#include <algorithm>

#include "core/config/netplan_tunnel.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

constexpr auto kModes = std::to_array<std::string_view>({"wireguard", "gre", "sit", "ip6gre", "ipip"});
constexpr size_t kWireguard = 0, kGre = 1, kIp6gre = 3;
constexpr std::array<encap::Kind, kModes.size()> kKinds = {
    encap::Kind::gre, encap::Kind::gre, encap::Kind::sit, encap::Kind::gre, encap::Kind::ipip};
constexpr auto kOtherModes = std::to_array<std::string_view>(
    {"ipip6", "ip6ip6", "vti", "vti6", "vxlan", "gretap", "ip6gretap", "isatap"});
constexpr uint32_t kWireguardMtu = 1420;  // the kernel's, which networkd leaves as it is
constexpr uint8_t kIp6greTtl = 64;        // networkd's default for the kind; the others inherit

std::string mode_list() {
  std::string out = "hatsd-user runs";
  for (const std::string_view mode : kModes) out += ' ' + std::string(mode);
  return out;
}

ConfigResult<size_t> read_mode(const Entry& entry) {
  const std::string_view text = entry.value.text();
  if (const auto message = placeholder_message(text, false)) return fail(entry, *message);
  for (size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i] == text) return i;
  }
  if (std::ranges::find(kOtherModes, text) != kOtherModes.end()) {
    return fail(entry, "the mode " + std::string(text) + " is not one of ours; " + mode_list());
  }
  std::string message = quoted(text) + " is not a mode";
  const std::string_view close = nearest(text, kModes);
  if (!close.empty())
    return fail(entry, message + "; did you mean " + std::string(close) + "? (in lower case)");
  return fail(entry, message + "; " + mode_list());
}

/// Decimal or dotted quad, 32 bits. networkd takes 0 for no key, and reads numbers that begin with 0 as
/// octal.
ConfigResult<std::optional<uint32_t>> read_tunnel_key(Context& context, const Entry& entry) {
  const std::string_view text = entry.value.text();
  const auto quad = IpAddress::parse(text);
  const bool octal = text.size() > 1 && text.starts_with('0');
  std::optional<uint32_t> key;
  if (quad && quad->family == Family::v4) {
    key = load_be32(quad->bytes.data());
  } else if (const auto number = parse_decimal(text, 0xffff'ffff); number && !octal) {
    key = static_cast<uint32_t>(*number);
  } else if (!text.empty()) {
    return fail(
        entry,
        quoted(text) + " is not a tunnel key; write a decimal number up to 4294967295, or one like 10.0.0.1");
  }
  if (key.value_or(0) == 0) {
    context.warn(entry, "is empty or 0, which means no key");
    return std::optional<uint32_t>();
  }
  return key;
}

bool is_unspecified(const IpAddress& address) {
  return std::ranges::all_of(address.view(), [](uint8_t byte) { return byte == 0; });
}

bool is_multicast(const IpAddress& address) {
  return address.family == Family::v4 ? (address.bytes[0] & 0xf0) == 0xe0 : address.bytes[0] == 0xff;
}

}  // namespace

void TunnelReader::finish() {
  if (!name_) return;  // nothing has been read
  const Value& name = *name_;
  whole_ = !context_.faults().any();
  if (!scalars_.mode) return lacks(fail(name, "", "the tunnel has no 'mode'; " + mode_list()));
  const Entry& entry = *scalars_.mode;
  const auto mode = read_mode(entry);
  if (!context_.faults().passed(mode)) return;
  context_.faults().passed(finish_mtu());
  finish_common();
  if (*mode == kWireguard) {
    finish_wireguard(name);
  } else {
    finish_plain(name, entry, *mode);
  }
}

void TunnelReader::finish_wireguard(const Value& name) {
  Faults& faults = context_.faults();
  for (const auto& entry : {scalars_.local, scalars_.remote, scalars_.ttl}) {
    if (!entry) continue;
    if (entry->key != "ttl" && !faults.passed(read_address(*entry))) continue;
    context_.warn(*entry, "has no meaning in mode wireguard, and is ignored");
  }
  if (scalars_.private_key) {
    crypto::PrivateKey key;
    if (faults.passed(read_key(context_, *scalars_.private_key, key.span())))
      out_.private_key = std::move(key);
  } else {
    lacks(fail(name, "key", "a tunnel of mode wireguard needs its private key"));
  }
  if (scalars_.port) {
    const auto port = read_number(context_, *scalars_.port, 65'535);
    if (faults.passed(port) && *port != 0) out_.listen_port = static_cast<uint16_t>(*port);
    out_.listen_port_line = scalars_.port->value.line();
  }
  if (scalars_.mark) {
    const auto mark = read_number(context_, *scalars_.mark);
    if (faults.passed(mark) && *mark != 0) out_.fwmark = *mark;
  }
  if (!out_.mtu) {
    out_.mtu = kWireguardMtu;
    out_.mtu_line = name.line();
    out_.mtu_file = name.file();
  }
  std::vector<Value> where;
  for (const Entry& entry : scalars_.peers) {
    auto peer = read_peer(context_, entry);
    if (!faults.passed(peer)) continue;
    out_.peers.push_back(std::move(*peer));
    where.push_back(entry.value);
  }
  settle_peers(context_, out_.peers, where);
  if (out_.peers.empty()) context_.warn(name, "peers", "there are none");
}

void TunnelReader::finish_plain(const Value& name, const Entry& mode_entry, size_t mode) {
  for (const auto& entry : {scalars_.port, scalars_.mark}) {
    if (entry) context_.warn(*entry, "has no meaning outside mode wireguard, and is ignored");
  }
  if (!scalars_.peers.empty()) {
    context_.warn(scalars_.peers.front(), "have no meaning outside mode wireguard, and are ignored");
  }
  TunnelSpec spec;
  spec.mode = kModes[mode];
  spec.line = mode_entry.value.line();
  spec.file = mode_entry.value.file();
  spec.tunnel.kind = kKinds[mode];
  if (scalars_.remote) {
    context_.faults().passed(finish_ends(mode_entry, *scalars_.remote, spec));
  } else {
    lacks(fail(name, "remote", "the tunnel needs the address of its other end"));
  }
  if (mode == kIp6gre) spec.tunnel.ttl = kIp6greTtl;
  if (scalars_.ttl) {
    const auto ttl = read_number(context_, *scalars_.ttl, 255);
    if (!ttl) {
      const std::string text = quoted(scalars_.ttl->value.text());
      context_.faults().add(fail(*scalars_.ttl, text + " is not a TTL; write 1 to 255").error());
    }
    if (ttl.value_or(0) != 0) spec.tunnel.ttl = static_cast<uint8_t>(*ttl);
  }
  finish_keys(spec.tunnel);
  out_.tunnel = std::move(spec);
}

Done TunnelReader::finish_ends(const Entry& mode_entry, const Entry& remote_entry, TunnelSpec& spec) {
  const auto remote = read_address(remote_entry);
  if (!remote) return std::unexpected(remote.error());
  if (is_unspecified(*remote) || is_multicast(*remote)) {
    return fail(remote_entry, remote->text() + " is not one host; write the address of the other end");
  }
  spec.tunnel.remote = *remote;
  if (scalars_.local) {
    const Entry& entry = *scalars_.local;
    const auto local = read_address(entry);
    if (!local) return std::unexpected(local.error());
    if (is_multicast(*local)) return fail(entry, local->text() + " is not an address of this host");
    if (local->family != remote->family) {
      return fail(entry, "'local' and 'remote' are not both IPv4 or both IPv6");
    }
    if (!is_unspecified(*local)) spec.tunnel.local = *local;
  }
  if (remote->family == Family::v6 && spec.mode != kModes[kIp6gre]) {
    const std::string hint = spec.mode == kModes[kGre] ? "; GRE over IPv6 is the mode ip6gre" : "";
    return fail(remote_entry, "the mode " + spec.mode + " needs IPv4 addresses" + hint);
  }
  if (remote->family == Family::v4 && spec.mode == kModes[kIp6gre]) {
    context_.warn(mode_entry, "ip6gre with IPv4 endpoints taken as GRE over IPv4");
  }
  return {};
}

void TunnelReader::finish_keys(encap::TunnelConfig& tunnel) {
  for (const auto& [entry, key] :
       {std::pair(scalars_.input_key, &tunnel.in_key), std::pair(scalars_.output_key, &tunnel.out_key)}) {
    if (!entry) continue;
    if (tunnel.kind != encap::Kind::gre) {
      context_.faults().add(fail(*entry, "only the modes gre and ip6gre have keys; remove it").error());
      return;  // a key that is both would be told twice
    }
    const auto read = read_tunnel_key(context_, *entry);
    if (!context_.faults().passed(read)) return;
    *key = *read;
  }
}

}  // namespace hats::config::netplan
