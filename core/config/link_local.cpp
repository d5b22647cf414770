#include "core/config/link_local.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "crypto/blake2s.hpp"

namespace hats::config {
namespace {

using encap::Kind;
using Interface = std::array<uint8_t, 8>;  // an interface identifier, RFC 4291 2.5.1

IpAddress link_local(const Interface& interface) {
  std::array<uint8_t, 16> bytes{0xFE, 0x80};
  std::ranges::copy(interface, bytes.begin() + 8);
  return IpAddress::v6(bytes.data());
}

IpAddress plain(const IpAddress& v4) {
  const auto& b = v4.bytes;
  return link_local({0, 0, 0, 0, b[0], b[1], b[2], b[3]});
}

/// What Linux takes for an address that is not unique in the world, when it makes an ISATAP identifier: newer
/// test nets and shared space (100.64/10) are not in its list.
bool is_local_v4(const IpAddress& v4) {
  static constexpr const char* kLocal[] = {"0.0.0.0/8",      "10.0.0.0/8",     "127.0.0.0/8",
                                           "169.254.0.0/16", "172.16.0.0/12",  "192.0.2.0/24",
                                           "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"};
  return std::ranges::any_of(kLocal, [&](const char* prefix) { return Prefix::parse(prefix)->contains(v4); });
}

/// RFC 5214 6.1: 0000:5efe and the IPv4 address, with the universal bit set if that is unique.
IpAddress isatap(const IpAddress& v4) {
  const auto& b = v4.bytes;
  const uint8_t universal = is_local_v4(v4) ? 0x00 : 0x02;
  return link_local({universal, 0, 0x5E, 0xFE, b[0], b[1], b[2], b[3]});
}

/// EUI-64 of a made-up unicast MAC address, RFC 4291 A, whose universal bit is clear.
IpAddress of_ends(const IpAddress& local, const IpAddress& remote) {
  static constexpr std::string_view kLabel = "link-local address of GRE over IPv6";
  const crypto::Hash hash = crypto::hash(
      {{reinterpret_cast<const uint8_t*>(kLabel.data()), kLabel.size()}, local.view(), remote.view()});
  const uint8_t* h = hash.view().data();
  const auto first = static_cast<uint8_t>(h[0] & 0xFC);
  return link_local({first, h[1], h[2], 0xFF, 0xFE, h[3], h[4], h[5]});
}

}  // namespace

std::vector<IpAddress> link_local_addresses(const encap::TunnelConfig& tunnel, LinkLocal choice,
                                            std::span<const IpAddress> host) {
  if (choice == LinkLocal::none || tunnel.kind == Kind::ipip) return {};
  if (tunnel.outer() == Family::v6) {
    if (choice != LinkLocal::as_kernel) return {};
    return {of_ends(tunnel.local, tunnel.remote)};
  }
  const bool gre = tunnel.kind == Kind::gre;
  if (tunnel.local.is_set()) {
    const bool newer = gre && choice != LinkLocal::plain;
    return {newer ? isatap(tunnel.local) : plain(tunnel.local)};
  }
  std::vector<IpAddress> out;
  for (const IpAddress& address : host) {
    if (address.family != Family::v4) continue;
    out.push_back(gre && choice == LinkLocal::isatap ? isatap(address) : plain(address));
  }
  return out;
}

}  // namespace hats::config
