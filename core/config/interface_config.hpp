// What an interface is to be, as a value: the same one for all formats (wg-quick's file, systemd-networkd's,
// netplan's, the words of `ip tunnel`). Holds keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/config_error.hpp"
#include "core/encap/tunnel_config.hpp"
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
  int key_line = 0;                                // of its PublicKey; 0: not noted
  /// Of `allowed_ips`, one each, where the parser notes them; else empty.
  std::vector<int> allowed_ips_lines{};
  [[nodiscard]] int line_of_allowed_ip(size_t index) const {
    return index < allowed_ips_lines.size() ? allowed_ips_lines[index] : line;
  }
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
  std::string file{};  // where it stands; empty: in the interface's own file
  // What networkd and netplan can say of it besides.
  std::optional<IpAddress> peer{};                 // the other end (IFA_ADDRESS)
  std::string label{};                             // IPv4 alone
  std::optional<uint32_t> preferred_lifetime_s{};  // 0: deprecated; unset: forever
  std::optional<uint8_t> scope{};                  // RT_SCOPE_*
  std::optional<uint32_t> route_metric{};          // of its prefix route
  bool prefix_route = true;
  bool duplicate_detection = true;  // IPv6
};

/// A route that the file writes out: [Route] and Gateway= of networkd, `routes:` of netplan.
struct InterfaceRoute {
  Prefix destination;  // length 0: default
  std::optional<IpAddress> gateway{};
  std::optional<IpAddress> preferred_source{};
  std::optional<Prefix> source{};  // "from"
  std::optional<uint32_t> metric{}, mtu{}, advertised_mss{};
  std::string table{};             // number or name; empty: main
  std::optional<uint8_t> scope{};  // RT_SCOPE_*
  uint8_t type = 1;  // RTN_*: unicast 1, local 2, blackhole 6, unreachable 7, prohibit 8, throw 9
  bool on_link = false;
  int line = 0;
  std::string file{};
};

/// An unencrypted tunnel as its file says it. Interfaces are still names here, and WireGuard's part of the
/// value is empty.
struct TunnelSpec {
  encap::TunnelConfig tunnel;
  std::string underlay{};  // `dev`: the name of an interface; empty: any
  /// The mode as the operator wrote it ("ip6gre" with IPv4 ends is GRE over IPv4): for show and check.
  std::string mode{};
  int line = 0;
  std::string file{};
};

/// What an interface gets as its link-local address (DESIGN.md 8, formats.md 8.1). GRE: the ISATAP form of
/// newer kernels or the fe80::V4 form; SIT: fe80::V4.
enum class LinkLocal : uint8_t { as_kernel, isatap, plain, none };

enum class Format : uint8_t { wg_quick, networkd, netplan, ip_tunnel };

/// What one interface is to be, whatever format it was written in.
struct InterfaceConfig {
  Format format = Format::wg_quick;
  /// Set for GRE, SIT, IPIP; unset for WireGuard.
  std::optional<TunnelSpec> tunnel;

  std::optional<crypto::PrivateKey> private_key;
  std::optional<uint16_t> listen_port;  // a service name has been kept in listen_service instead
  std::string listen_service;
  int listen_port_line = 1;  // of its ListenPort, where it has one
  std::optional<uint32_t> fwmark;
  std::vector<InterfaceAddress> addresses;
  std::vector<InterfaceRoute> routes;
  std::optional<uint32_t> mtu;
  int mtu_line = 0;  // of formats whose parsers note it; else 0
  std::string mtu_file;
  LinkLocal link_local = LinkLocal::as_kernel;
  bool accept_route_advertisements = false;
  /// networkd runs here and gives the addresses and routes itself: we make the device alone.
  bool addresses_elsewhere = false;
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

}  // namespace hats::config
