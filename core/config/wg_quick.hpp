// wg-quick's NAME.conf as a value (formats.md 1). Pure: text in, value or error out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/config_error.hpp"
#include "core/config/zone.hpp"
#include "core/wg/update.hpp"

namespace hats::config {

/// Host and port as written; the host may be a name, to be resolved later and again.
struct EndpointText {
  std::string host;  // without brackets; may hold a %zone
  std::string port;  // a number or a service name
  int line = 0;
  /// The endpoint if host and port are numeric and no zone is by name; else it must be resolved.
  [[nodiscard]] std::optional<Endpoint> numeric() const;
  [[nodiscard]] std::string text() const;
};

struct WgPeer {
  crypto::PublicKey public_key;
  std::optional<crypto::PresharedKey> preshared_key;
  std::vector<wg::AllowedIpChange> allowed_ips;
  /// False if the last AllowedIPs line has "+" or "-" entries: what the peer has already stays.
  bool replace_allowed_ips = true;
  std::optional<EndpointText> endpoint;
  std::optional<uint16_t> persistent_keepalive_s;  // 0: off
  int line = 0;                                    // of its [Peer]
};

struct Hook {
  std::string command;  // %i not yet replaced
  int line = 0;
};

struct RouteTable {
  enum class Kind : uint8_t { automatic, off, table } kind = Kind::automatic;
  std::string table;  // number or name of rt_tables, for Kind::table
  int line = 0;
};

struct InterfaceAddress {
  Prefix prefix;
  int line = 0;
};

struct WgQuickConfig {
  std::optional<crypto::PrivateKey> private_key;
  std::optional<uint16_t> listen_port;  // a service name has been kept in listen_service instead
  std::string listen_service;
  std::optional<uint32_t> fwmark;
  std::vector<InterfaceAddress> addresses;
  std::optional<uint32_t> mtu;
  std::vector<std::string> dns_servers;  // addresses, text
  std::vector<std::string> dns_search;
  RouteTable table;
  std::vector<Hook> pre_up, post_up, pre_down, post_down;
  bool save_config = false;
  std::vector<WgPeer> peers;
  std::vector<ConfigError>
      warnings;  // accepted, but worth a line (host bits, Table case, same key twice ...)

  /// The device update of this file; endpoints that must be resolved are left out. Takes copies of the keys.
  [[nodiscard]] wg::DeviceUpdate device_update() const;
};

/// Parses a file by the rules of both wg-quick and wg(8). The first fault is the error.
[[nodiscard]] ConfigResult<WgQuickConfig> parse_wg_quick(std::string_view text);

/// Whether `name` may be an interface: 1..15 of [a-zA-Z0-9_=+.-], not "." or "..".
[[nodiscard]] bool valid_interface_name(std::string_view name) noexcept;
/// What is wrong with `name` and what would be right, for people; "" if it is valid.
[[nodiscard]] std::string interface_name_fault(std::string_view name);

/// The file that SaveConfig writes: wg-quick's keys kept from `config`, everything else as it is on the live
/// device (wg-quick(8) SaveConfig). `addresses`, `mtu`, `dns` are what the interface has now. Holds secrets.
struct LiveInterface {
  std::vector<Prefix> addresses;
  std::optional<uint32_t> mtu;  // only if it was set in the file
};
/// `zone_name` names the zone of a link-local endpoint, since an index may be another one's after a boot.
[[nodiscard]] std::string format_wg_quick(const WgQuickConfig& config, const wg::DeviceSnapshot& device,
                                          const LiveInterface& live, const ZoneName& zone_name = {});

}  // namespace hats::config
