// Link settings over rtnetlink, in the network namespace of the calling thread (or of the Netlink object's
// creation): links, addresses, routes, rules, and their events. Errors are errno values.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/address.hpp"

namespace hats::tun {

struct LinkState {
  uint32_t index = 0;
  std::string name;
  uint32_t mtu = 0;
  uint32_t flags = 0;  // IFF_*
  std::string kind;    // "tun", "wireguard", ...; empty if none
};

/// What an address may have beside its prefix (struct ifaddrmsg, IFA_*).
struct AddressOptions {
  std::optional<IpAddress> peer{};                 // the other end, of the same family
  std::string label{};                             // IPv4 alone; empty: the interface's name
  std::optional<uint32_t> preferred_lifetime_s{};  // 0: deprecated
  std::optional<uint8_t> scope{};                  // RT_SCOPE_*
  std::optional<uint32_t> route_metric{};          // of the prefix route
  bool prefix_route = true;
  bool duplicate_detection = true;  // IPv6
};

struct Route {
  Prefix destination;  // length 0 and family set: default
  std::optional<IpAddress> gateway;
  uint32_t interface_index = 0;
  uint32_t table = 254;  // RT_TABLE_MAIN
  std::optional<uint32_t> metric;
  std::optional<uint32_t> mtu;      // filled by look-ups
  bool mtu_expires = false;         // by look-ups: the kernel learned it from an ICMP message
  std::optional<IpAddress> source;  // preferred source
  // Of routes that are added; look-ups and lists leave them as they are.
  std::optional<Prefix> from{};  // IPv6: sources it is for
  std::optional<uint32_t> advertised_mss{};
  std::optional<uint8_t> scope{};  // RT_SCOPE_*; unset: link without a gateway, else global
  uint8_t type = 1;                // RTN_*; RTN_UNICAST
  bool on_link = false;            // the gateway counts as reachable though no prefix covers it
};

/// A policy rule, as wg-quick makes them (formats.md 1.6).
struct Rule {
  Family family = Family::v4;
  bool invert = false;  // "not"
  std::optional<uint32_t> fwmark;
  uint32_t table = 254;
  std::optional<uint32_t> suppress_prefix_length;
  std::optional<uint32_t> priority;  // kernel chooses if unset
};

/// A request socket. Not thread-safe.
class Netlink {
 public:
  static std::expected<Netlink, int> open();
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;
  ~Netlink();

  std::expected<LinkState, int> link(const std::string& name);
  std::expected<LinkState, int> link(uint32_t index);
  [[nodiscard]] int set_mtu(uint32_t index, uint32_t mtu);
  /// `txqueuelen`: of a TUN, how many packets wait for its reader before the kernel drops the newest.
  [[nodiscard]] int set_queue_length(uint32_t index, uint32_t packets);
  [[nodiscard]] int set_up(uint32_t index, bool up);
  [[nodiscard]] int set_multicast(uint32_t index, bool on);
  [[nodiscard]] int set_addrgenmode_none(uint32_t index);
  [[nodiscard]] int remove_link(uint32_t index);
  /// A veth pair: `name` in this object's namespace, `peer` in that of the descriptor. Both are down.
  [[nodiscard]] int add_veth_pair(const std::string& name, const std::string& peer, int peer_namespace_fd);
  [[nodiscard]] int add_address(uint32_t index, const Prefix& address, const AddressOptions& options = {});
  /// `peer`: as the address was added.
  [[nodiscard]] int remove_address(uint32_t index, const Prefix& address, std::optional<IpAddress> peer = {});
  std::expected<std::vector<Prefix>, int> addresses(uint32_t index);
  /// Removes the IPv6 link-local addresses that the kernel has made for a TUN by itself: they alone are
  /// marked as of stable privacy. 0 or errno.
  [[nodiscard]] int remove_generated_addresses(uint32_t index);
  /// The IPv4 addresses of links that are up, in the kernel's order, without those of scope host and link.
  std::expected<std::vector<IpAddress>, int> host_addresses();
  [[nodiscard]] int add_route(const Route& route);  // EEXIST if there
  [[nodiscard]] int remove_route(const Route& route);
  /// Unicast routes of a device (0: all devices) in a table (0: all tables) and family. A multipath route
  /// gives one entry for each next hop.
  std::expected<std::vector<Route>, int> routes(Family family, uint32_t interface_index, uint32_t table);
  /// What the kernel would do with a packet to `to` (RTM_GETROUTE): interface, preferred source, route MTU.
  /// `interface_index`: the packet must leave by that link; 0: by any.
  std::expected<Route, int> route_to(const IpAddress& to, uint32_t fwmark, std::optional<IpAddress> from = {},
                                     uint32_t interface_index = 0);
  /// EOPNOTSUPP where the kernel (before 3.12) does not know suppress_prefix_length; nothing is left behind.
  [[nodiscard]] int add_rule(const Rule& rule);
  [[nodiscard]] int remove_rule(const Rule& rule);
  std::expected<std::vector<Rule>, int> rules(Family family);

 private:
  Netlink() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct LinkEvent {
  enum class Kind : uint8_t {
    link_new,
    link_deleted,
    link_moved,
    address_changed,
    route_changed,
    overrun
  } kind;
  uint32_t index = 0;  // of the link, in the namespace the event came from; 0: no single link
  LinkState link;      // for link_new
  bool from_other_namespace = false;
  std::optional<int> nsid;  // id (as this socket's namespace knows it) of the namespace the event came from
  // link_moved: where to, if the kernel says so (ids as above; index since Linux 5.1, else 0).
  std::optional<int> new_nsid;
  uint32_t new_index = 0;
};

/// An event socket: links, addresses and routes; with NETLINK_LISTEN_ALL_NSID where the caller may (DESIGN.md
/// 5).
class LinkEvents {
 public:
  static std::expected<LinkEvents, int> open();
  LinkEvents(LinkEvents&&) noexcept;
  LinkEvents& operator=(LinkEvents&&) noexcept;
  ~LinkEvents();
  [[nodiscard]] int fd() const;
  /// Reads what is there, without waiting; a bounded part of it, the rest stays readable. Runs of
  /// route_changed of one interface come as one. `overrun`: the kernel dropped events, look at everything
  /// anew.
  std::vector<LinkEvent> read();

 private:
  LinkEvents() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hats::tun
