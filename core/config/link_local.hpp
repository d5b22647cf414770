// The link-local addresses of a tunnel's interface, made as the kernel makes its devices' (formats.md 8.1):
// peers have them in their BGP configuration.
#pragma once

#include <span>
#include <vector>

#include "core/base/address.hpp"
#include "core/config/interface_config.hpp"
#include "core/encap/tunnel_config.hpp"

namespace hats::config {

/// The /64 addresses, all under fe80::/64:
///   SIT                 fe80::V4 of its local address, whatever the choice, except none.
///   GRE over IPv4       as_kernel and isatap: fe80::200:5efe:V4, or fe80::5efe:V4 where V4 is not global
///                       (RFC 5214 6.1); plain: fe80::V4.
///   GRE over IPv6       as_kernel: an EUI-64 of random bits in the kernel, anew for each device. Ours are
///   made of
///                       the two ends, so that a restart does not change them. isatap, plain: none.
///   IPIP                none: it carries IPv4 alone.
/// A local address of any: one for each of `host` (the IPv4 addresses of global scope of links that are up),
/// as fe80::V4, as the kernel does for GRE, too; with isatap in that form.
[[nodiscard]] std::vector<IpAddress> link_local_addresses(const encap::TunnelConfig& tunnel, LinkLocal choice,
                                                          std::span<const IpAddress> host);

}  // namespace hats::config
