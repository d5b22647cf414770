#include "core/config/uapi.hpp"

#include <algorithm>
#include <cerrno>

#include "core/config/text.hpp"

namespace hats::config {
namespace {

/// Endpoint of the UAPI: "a.b.c.d:port", "[v6]:port", "[fe80::1%zone]:port".
std::optional<Endpoint> parse_uapi_endpoint(std::string_view text, const ZoneIndex& zone_index) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_decimal(text.substr(colon + 1), 65'535);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (!port) return std::nullopt;
  if (bracketed) host = host.substr(1, host.size() - 2);
  Endpoint out;
  out.port = static_cast<uint16_t>(*port);
  const size_t percent = host.find('%');
  const auto address = IpAddress::parse(host.substr(0, percent));
  if (!address || bracketed != (address->family == Family::v6)) return std::nullopt;
  out.address = *address;
  if (percent != std::string_view::npos) {
    const std::string_view zone = host.substr(percent + 1);
    const auto number = parse_decimal(zone, 0xffff'ffff);
    out.scope_id = number ? static_cast<uint32_t>(*number) : zone_index(zone);
    if (!bracketed || out.scope_id == 0) return std::nullopt;
  }
  return out;
}

class SetParser {
 public:
  explicit SetParser(const ZoneIndex& zone_index) : zone_index_(zone_index) {}

  UapiSet parse(std::string_view body) {
    while (!body.empty() && result_.error == 0) {
      const size_t end = body.find('\n');
      const std::string_view line = body.substr(0, end);
      body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
      const size_t equals = line.find('=');
      if (equals == std::string_view::npos) {
        result_.error = EPROTO;
      } else if (!take(line.substr(0, equals), line.substr(equals + 1))) {
        result_.error = EINVAL;
      }
    }
    return std::move(result_);
  }

 private:
  bool take(std::string_view key, std::string_view value) {
    if (key == "public_key") {
      wg::PeerUpdate peer;
      if (!crypto::key_from_hex(value, peer.public_key.bytes)) return false;
      result_.update.peers.push_back(std::move(peer));
      return true;
    }
    return result_.update.peers.empty() ? take_device(key, value)
                                        : take_peer(key, value, result_.update.peers.back());
  }

  bool take_device(std::string_view key, std::string_view value) {
    wg::DeviceUpdate& update = result_.update;
    if (key == "private_key") {
      crypto::PrivateKey private_key;
      if (!crypto::key_from_hex(value, private_key.span())) return false;
      update.private_key = std::move(private_key);
      return true;
    }
    if (key == "listen_port") return take_number(value, 65'535, update.listen_port);
    if (key == "fwmark") return take_number(value, 0xffff'ffff, update.fwmark);
    if (key == "replace_peers") return take_true(value, update.replace_peers);
    return false;
  }

  bool take_peer(std::string_view key, std::string_view value, wg::PeerUpdate& peer) {
    if (key == "preshared_key") {
      crypto::PresharedKey preshared_key;
      if (!crypto::key_from_hex(value, preshared_key.span())) return false;
      peer.preshared_key = std::move(preshared_key);
      return true;
    }
    if (key == "endpoint") {
      peer.endpoint = parse_uapi_endpoint(value, zone_index_);
      return peer.endpoint.has_value();
    }
    if (key == "persistent_keepalive_interval")
      return take_number(value, 65'535, peer.persistent_keepalive_s);
    if (key == "replace_allowed_ips") return take_true(value, peer.replace_allowed_ips);
    if (key == "remove") return take_true(value, peer.remove);
    if (key == "update_only") return take_true(value, peer.update_only);
    if (key == "protocol_version") return value == "1";
    if (key != "allowed_ip") return false;
    const bool remove = value.starts_with('-');
    if (remove) value.remove_prefix(1);
    const auto prefix = Prefix::parse(value);
    if (!prefix || value.find('/') == std::string_view::npos) return false;
    peer.allowed_ips.push_back({prefix->masked(), remove});
    return true;
  }

  template <typename T>
  static bool take_number(std::string_view value, uint64_t max, std::optional<T>& to) {
    const auto number = parse_decimal(value, max);
    if (number) to = static_cast<T>(*number);
    return number.has_value();
  }

  static bool take_true(std::string_view value, bool& to) {
    to = value == "true";
    return to;
  }

  const ZoneIndex& zone_index_;
  UapiSet result_;
};

constexpr size_t kLineRoom = 96;  // bytes that a line of the reply takes at most, keys and prefixes included

/// Appends lines to a text that never grows past what was reserved, so that no copy of a secret is left
/// behind.
class Lines {
 public:
  explicit Lines(size_t room) { out_.reserve(room); }
  void add(std::string_view key, std::string_view value) {
    out_ += key;
    out_ += '=';
    out_ += value;
    out_ += '\n';
  }
  void add(std::string_view key, uint64_t value) { add(key, std::string_view(std::to_string(value))); }
  void add_secret(std::string_view key, std::span<const uint8_t, crypto::kKeySize> bytes) {
    std::string text = crypto::key_to_hex(bytes);
    add(key, text);
    wipe_text(text);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string endpoint_text(const Endpoint& endpoint, const ZoneName& zone_name) {
  if (endpoint.scope_id == 0) return endpoint.text();
  const std::string zone = zone_name(endpoint.scope_id);
  return '[' + endpoint.address.text() + '%' + (zone.empty() ? std::to_string(endpoint.scope_id) : zone) +
         "]:" + std::to_string(endpoint.port);
}

}  // namespace

UapiSet parse_uapi_set(std::string_view body, const ZoneIndex& zone_index) {
  return SetParser(zone_index).parse(body);
}

std::string format_uapi_get(const wg::DeviceSnapshot& device, const ZoneName& zone_name) {
  size_t lines = 4;
  for (const wg::PeerSnapshot& peer : device.peers) lines += 10 + peer.allowed_ips.size();
  Lines out(lines * kLineRoom);
  if (device.private_key) out.add_secret("private_key", device.private_key->view());
  out.add("listen_port", device.listen_port);
  if (device.fwmark != 0) out.add("fwmark", device.fwmark);
  for (const wg::PeerSnapshot& peer : device.peers) {
    out.add("public_key", crypto::key_to_hex(peer.public_key.bytes));
    out.add_secret("preshared_key", peer.preshared_key.view());
    out.add("protocol_version", 1);
    if (peer.endpoint.is_set()) out.add("endpoint", endpoint_text(peer.endpoint, zone_name));
    out.add("last_handshake_time_sec", static_cast<uint64_t>(std::max<int64_t>(peer.last_handshake_s, 0)));
    out.add("last_handshake_time_nsec", peer.last_handshake_ns);
    out.add("tx_bytes", peer.tx_bytes);
    out.add("rx_bytes", peer.rx_bytes);
    out.add("persistent_keepalive_interval", peer.persistent_keepalive_s);
    for (const Prefix& prefix : peer.allowed_ips) out.add("allowed_ip", prefix.text());
  }
  return out.take();
}

}  // namespace hats::config
