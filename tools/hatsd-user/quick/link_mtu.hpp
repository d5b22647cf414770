// What the host knows of the paths to a file's endpoints: route look-ups for the MTU when the file names none
// (formats.md 1.5), for the warning when it names one (7), and for `check`. The arithmetic is
// core/config/mtu_advice.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "core/config/explain.hpp"
#include "tun/link.hpp"

namespace hats::app {

/// Whether a socket could have the address for its own now. `interface_index`: of a link-local one.
[[nodiscard]] bool is_own_address(const IpAddress& address, uint32_t interface_index);

/// The path to one endpoint, in bytes: the route's own MTU, else its link's. nullopt: there is no route.
[[nodiscard]] std::optional<uint32_t> path_mtu(tun::Netlink& netlink, const Endpoint& endpoint,
                                               uint32_t fwmark);
/// The default route's MTU, IPv4's first, as wg-quick looks for it.
[[nodiscard]] std::optional<uint32_t> default_route_mtu(tun::Netlink& netlink);

/// wg-quick's MTU of an interface with these endpoints, in bytes.
[[nodiscard]] uint32_t automatic_mtu(tun::Netlink& netlink, const std::vector<Endpoint>& endpoints,
                                     uint32_t fwmark);
/// The paths to endpoints, as path_mtu() has each of them.
[[nodiscard]] std::vector<config::PeerPath> paths_to(tun::Netlink& netlink,
                                                     const std::vector<Endpoint>& endpoints, uint32_t fwmark);
/// One sentence if packets of an interface of `mtu` are too large for the path that is worst off.
[[nodiscard]] std::optional<std::string> path_warning(uint32_t mtu,
                                                      const std::vector<config::PeerPath>& paths);

/// Over IPv6 a remote that is this host itself must be allowed (Linux ip6_tnl_xmit_ctl, ip6_tnl_rcv_ctl).
[[nodiscard]] bool forbids_remote(const encap::TunnelConfig& tunnel);
/// The way of an unencrypted tunnel to its remote, from its local address and over its link; the error is a
/// sentence.
[[nodiscard]] std::expected<tun::Route, std::string> tunnel_route(tun::Netlink& netlink,
                                                                  const encap::TunnelConfig& tunnel);
/// Bytes of a route's packets, without what the kernel has learned of it and lets expire. nullopt: its link
/// is gone.
[[nodiscard]] std::optional<uint32_t> lasting_mtu(tun::Netlink& netlink, const tun::Route& route);
/// The same for the way of a file's tunnel; nullopt, too, if there is none now.
[[nodiscard]] std::optional<uint32_t> tunnel_path_mtu(tun::Netlink& netlink, const config::TunnelSpec& spec);

/// What `check` tells the explainer: the paths to peers whose endpoints are numbers, and whether
/// a tunnel's local address is here.
[[nodiscard]] config::ExplainFacts explain_facts(const config::InterfaceConfig& config,
                                                 const std::string& interface, const std::string& file);

}  // namespace hats::app
