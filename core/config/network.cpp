#include "core/config/network.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/config/faults.hpp"
#include "core/config/networkd_values.hpp"
#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr size_t kLongestLabel = 15;                                       // IFNAMSIZ less the end
constexpr uint8_t kUnicast = 1, kLocal = 2, kBroadcast = 3, kAnycast = 4;  // RTN_*
constexpr uint8_t kScopeHost = 254;                                        // RT_SCOPE_HOST

class NetworkReader {
 public:
  NetworkReader(InterfaceConfig& config, Warnings& warnings, bool lenient)
      : config_(config), warnings_(warnings), lenient_(lenient) {}
  ConfigResult<void> read(const IniText& text);

 private:
  using Done = ConfigResult<void>;
  /// An [Address], not yet known to be whole.
  struct PendingAddress {
    InterfaceAddress address;
    bool has_address = false;
  };
  /// A [Route], likewise; Gateway= of [Network] is one of its own.
  struct PendingRoute {
    InterfaceRoute route;
    bool has_destination = false, has_table = false;
  };

  Done read_entry(const Assignment& at);
  Done read_link(const Assignment& at);
  Done read_network(const Assignment& at);
  Done read_address_key(const Assignment& at, PendingAddress& pending);
  Done read_address_detail(const Assignment& at, InterfaceAddress& address);
  Done read_route_key(const Assignment& at, PendingRoute& pending);
  Done read_route_detail(const Assignment& at, PendingRoute& pending);
  Done read_mtu(const Assignment& at);
  Done read_activation(const Assignment& at);
  Done read_dhcp(const Assignment& at);
  Done read_link_local(const Assignment& at);
  Done read_gateway(const Assignment& at);
  Done read_default_route(const Assignment& at);
  void read_dns(const Assignment& at);
  void read_domains(const Assignment& at);
  Done finish_address(const IniSection& section, PendingAddress& pending);
  Done finish_route(const IniSection& section, PendingRoute& pending);
  Done or_warning(Done done);
  void hand_over();

  /// The address with its length; without one it is the whole address, and warned of.
  ConfigResult<Prefix> address_of(const Assignment& at);
  static ConfigResult<IpAddress> gateway_of(const Assignment& at);

  InterfaceConfig& config_;
  Warnings& warnings_;
  bool lenient_;

  // What is handed over at the end, unless the file says that the interface is not to be managed.
  bool unmanaged_ = false;
  std::vector<InterfaceAddress> addresses_;
  std::vector<InterfaceRoute> gateways_, routes_;  // of [Network], of [Route]
  std::vector<std::string> dns_servers_, dns_search_;
  LinkLocal link_local_ = LinkLocal::as_kernel;
  bool accept_route_advertisements_ = false;
  std::optional<uint32_t> mtu_;
  int mtu_line_ = 0;
  std::string mtu_file_;

  PendingAddress address_;  // of the section that is being read
  PendingRoute route_;
};

/// Where networkd configures the interface, its own leniency holds.
NetworkReader::Done NetworkReader::or_warning(Done done) {
  if (done || !lenient_) return done;
  const ConfigError& error = done.error();
  warnings_.add(error.file, error.line, error.key, error.message);
  return {};
}

ConfigResult<void> NetworkReader::read(const IniText& text) {
  Faults faults;
  for (const IniSection& section : text.sections()) {
    if (!is_known_section(network_rules(), section, warnings_)) continue;
    address_ = {};
    route_ = {};
    const size_t before = faults.count();
    for (const IniEntry& entry : section.entries) {
      const Assignment at{&section, &entry};
      const auto wanted = is_to_be_read(network_rules(), at, warnings_);
      Done done = wanted ? Done{} : std::unexpected(wanted.error());
      if (wanted && *wanted) done = read_entry(at);
      faults.passed(or_warning(std::move(done)));
    }
    if (section.entries.empty() || faults.count() != before) continue;
    Done done;
    if (section.name == "Address") done = finish_address(section, address_);
    if (section.name == "Route") done = finish_route(section, route_);
    faults.passed(or_warning(std::move(done)));
  }
  if (faults.any()) return faults.result();
  if (!unmanaged_) hand_over();
  return {};
}

void NetworkReader::hand_over() {
  config_.addresses = std::move(addresses_);
  for (auto* routes : {&gateways_, &routes_}) {
    config_.routes.insert(config_.routes.end(), routes->begin(), routes->end());
  }
  config_.dns_servers = std::move(dns_servers_);
  config_.dns_search = std::move(dns_search_);
  config_.link_local = link_local_;
  config_.accept_route_advertisements = accept_route_advertisements_;
  if (!mtu_) return;
  config_.mtu = mtu_;
  config_.mtu_line = mtu_line_;
  config_.mtu_file = mtu_file_;
}

NetworkReader::Done NetworkReader::read_entry(const Assignment& at) {
  const std::string& section = at.section->name;
  if (section == "Link") return read_link(at);
  if (section == "Network") return read_network(at);
  if (section == "Address") return read_address_key(at, address_);
  return read_route_key(at, route_);
}

// ---- [Link] ----

NetworkReader::Done NetworkReader::read_link(const Assignment& at) {
  if (at.key() == "MTUBytes") return read_mtu(at);
  if (at.key() == "ActivationPolicy") return read_activation(at);
  unmanaged_ = false;
  if (at.empty()) return {};
  const auto value = parse_networkd_boolean(at.value());
  if (!value) return at.fail(value.error());
  unmanaged_ = *value;
  if (unmanaged_) warnings_.add(at, "the interface gets nothing of this file");
  return {};
}

/// Set after the device's own MTUBytes= of its .netdev, and so the one that counts.
NetworkReader::Done NetworkReader::read_mtu(const Assignment& at) {
  mtu_.reset();
  if (at.empty()) return {};
  const auto mtu = parse_mtu_bytes(at.value());
  if (!mtu) return at.fail(mtu.error());
  mtu_ = *mtu;
  mtu_line_ = at.entry->line;
  mtu_file_ = at.section->file;
  return {};
}

NetworkReader::Done NetworkReader::read_activation(const Assignment& at) {
  const std::string& value = at.value();
  if (at.empty() || value == "up" || value == "always-up" || value == "bound") return {};
  if (value == "down" || value == "always-down" || value == "manual") {
    return at.fail(quoted(value) + ": hatsd-user sets its interfaces up; take the line out");
  }
  return at.fail(quoted(value) + " is no such policy; write up");
}

// ---- [Network] ----

NetworkReader::Done NetworkReader::read_network(const Assignment& at) {
  const std::string& key = at.key();
  if (key == "Gateway") return read_gateway(at);
  if (key == "DHCP") return read_dhcp(at);
  if (key == "LinkLocalAddressing") return read_link_local(at);
  if (key == "DefaultRouteOnDevice") return read_default_route(at);
  if (key == "DNS") {
    read_dns(at);
    return {};
  }
  if (key == "Domains") {
    read_domains(at);
    return {};
  }
  if (key != "Address") {  // IPv6AcceptRA, under both its names
    accept_route_advertisements_ = false;
    if (at.empty()) return {};
    const auto value = parse_networkd_boolean(at.value());
    if (!value) return at.fail(value.error());
    accept_route_advertisements_ = *value;
    return {};
  }
  if (at.empty()) {
    addresses_.clear();
    return {};
  }
  const auto prefix = address_of(at);
  if (!prefix) return std::unexpected(prefix.error());
  addresses_.push_back({*prefix, at.entry->line, at.section->file});
  return {};
}

NetworkReader::Done NetworkReader::read_dhcp(const Assignment& at) {
  if (at.empty() || at.value() == "none" || networkd_boolean(at.value()) == false) return {};
  return at.fail(
      "DHCP is not possible on a tunnel of hatsd-user; write DHCP=no, and the addresses by Address=");
}

/// networkd leaves a tunnel's link-local address to the kernel, unless it is told to have none.
NetworkReader::Done NetworkReader::read_link_local(const Assignment& at) {
  const std::string& value = at.value();
  link_local_ = LinkLocal::as_kernel;
  const auto boolean = networkd_boolean(value);
  if (at.empty() || boolean == true || value == "ipv6" || value == "fallback") return {};
  if (boolean == false || value == "ipv4" || value == "ipv4-fallback") {
    link_local_ = LinkLocal::none;
    return {};
  }
  return at.fail(quoted(value) + " is no such choice; write ipv6 or no");
}

ConfigResult<IpAddress> NetworkReader::gateway_of(const Assignment& at) {
  if (at.value().starts_with('_') || at.value() == "dhcp" || at.value() == "dhcp4") {
    return at.fail(quoted(at.value()) + " asks for a gateway that only networkd learns; write its address");
  }
  const auto address = parse_plain_address(at.value());
  if (!address) return at.fail(address.error());
  return *address;
}

NetworkReader::Done NetworkReader::read_gateway(const Assignment& at) {
  if (at.empty()) {
    gateways_.clear();
    return {};
  }
  const auto gateway = gateway_of(at);
  if (!gateway) return std::unexpected(gateway.error());
  InterfaceRoute route;
  route.destination.address.family = gateway->family;
  route.gateway = *gateway;
  route.line = at.entry->line;
  route.file = at.section->file;
  gateways_.push_back(std::move(route));
  return {};
}

NetworkReader::Done NetworkReader::read_default_route(const Assignment& at) {
  if (at.empty()) return {};
  const auto value = parse_networkd_boolean(at.value());
  if (!value) return at.fail(value.error());
  if (!*value) return {};
  InterfaceRoute route;
  route.destination.address.family = Family::v4;
  route.line = at.entry->line;
  route.file = at.section->file;
  gateways_.push_back(std::move(route));
  return {};
}

void NetworkReader::read_dns(const Assignment& at) {
  if (at.empty()) dns_servers_.clear();
  for (const std::string_view word : words(at.value())) {
    if (IpAddress::parse(word)) {
      dns_servers_.emplace_back(word);
    } else {
      warnings_.add(at, quoted(word) + " is left out; only plain addresses of servers can be handed on");
    }
  }
}

void NetworkReader::read_domains(const Assignment& at) {
  if (at.empty()) dns_search_.clear();
  for (const std::string_view word : words(at.value())) {
    if (word.starts_with('~')) {
      warnings_.add(at, quoted(word) + " is left out; routing of look-ups by domain is systemd-resolved's");
    } else {
      dns_search_.emplace_back(word);
    }
  }
}

// ---- [Address] ----

ConfigResult<Prefix> NetworkReader::address_of(const Assignment& at) {
  const auto prefix = parse_interface_address(at.value());
  const bool dotted_mask = prefix && at.value().find('.', at.value().find('/')) != std::string::npos &&
                           at.value().find('/') != std::string::npos;
  if (!prefix || dotted_mask) {
    std::string message =
        dotted_mask ? quoted(at.value()) + " has a dotted mask; write a prefix length" : prefix.error();
    if (at.value().find_first_of("#;") != std::string::npos)
      message += " (a comment needs a line of its own)";
    return at.fail(message);
  }
  if (prefix->address == IpAddress{prefix->address.family, {}}) {
    return at.fail(quoted(at.value()) +
                   " asks networkd for an address of its pool; write the address itself");
  }
  if (at.value().find('/') == std::string::npos) {
    warnings_.add(at, "has no prefix length, and is taken as " + prefix->text() +
                          "; releases of networkd differ on this, so write the length");
  }
  return *prefix;
}

/// Of Address= and Peer= the later gives the length of both, as in networkd.
NetworkReader::Done NetworkReader::read_address_key(const Assignment& at, PendingAddress& pending) {
  InterfaceAddress& address = pending.address;
  const bool is_peer = at.key() == "Peer";
  if (!is_peer && at.key() != "Address") return read_address_detail(at, address);
  if (at.empty()) {
    if (is_peer) address.peer.reset();
    if (!is_peer) pending.has_address = false;
    return {};
  }
  const auto prefix = address_of(at);
  if (!prefix) return std::unexpected(prefix.error());
  const Family other = is_peer ? address.prefix.address.family : address.peer.value_or(IpAddress{}).family;
  if (other != Family::none && other != prefix->address.family) {
    return at.fail("Address and Peer must both be IPv4 or both IPv6");
  }
  address.prefix.length = prefix->length;
  if (is_peer) {
    address.peer = prefix->address;
    return {};
  }
  address.prefix.address = prefix->address;
  address.line = at.entry->line;
  address.file = at.section->file;
  pending.has_address = true;
  return {};
}

NetworkReader::Done NetworkReader::read_address_detail(const Assignment& at, InterfaceAddress& address) {
  const std::string& key = at.key();
  const std::string& value = at.value();
  if (key == "Label") {
    if (value.size() > kLongestLabel) {
      return at.fail(quoted(value) + " is longer than " + std::to_string(kLongestLabel) + " characters");
    }
    address.label = value;
    return {};
  }
  if (key == "Scope") {
    address.scope.reset();
    if (at.empty()) return {};
    const auto scope = parse_scope(value);
    if (!scope) return at.fail(scope.error());
    address.scope = *scope;
    return {};
  }
  if (key == "PreferredLifetime") {
    address.preferred_lifetime_s.reset();
    if (at.empty() || value == "forever" || value == "infinity") return {};
    if (value != "0") return at.fail(quoted(value) + " is not a lifetime; write forever or 0");
    address.preferred_lifetime_s = 0;
    return {};
  }
  if (key == "RouteMetric") {
    address.route_metric.reset();
    if (at.empty()) return {};
    const auto metric = parse_number(value, "a metric", 0, 0xffff'ffff);
    if (!metric) return at.fail(metric.error());
    address.route_metric = *metric;
    return {};
  }
  if (key == "DuplicateAddressDetection") {
    const auto boolean = networkd_boolean(value);
    address.duplicate_detection = at.empty() || value == "ipv6" || value == "both" || boolean == true;
    if (address.duplicate_detection || value == "ipv4" || value == "none" || boolean == false) return {};
    return at.fail(quoted(value) + " is no such choice; write ipv6 or none");
  }
  address.prefix_route = true;  // AddPrefixRoute, and PrefixRoute, which meant the opposite
  if (at.empty()) return {};
  const auto on = parse_networkd_boolean(value);
  if (!on) return at.fail(on.error());
  address.prefix_route = key == "AddPrefixRoute" ? *on : !*on;
  return {};
}

NetworkReader::Done NetworkReader::finish_address(const IniSection& section, PendingAddress& pending) {
  InterfaceAddress& address = pending.address;
  if (!pending.has_address) {
    return std::unexpected(ConfigError{section.line, "Address",
                                       "is missing in this [Address]; write it, or take the section out",
                                       section.file});
  }
  const bool v4 = address.prefix.address.family == Family::v4;
  if (!v4 && !address.label.empty()) {
    warnings_.add(section.file, section.line, "Label", "IPv6 addresses have no labels; it is left out");
    address.label.clear();
  }
  addresses_.push_back(std::move(address));
  return {};
}

// ---- [Route] ----

NetworkReader::Done NetworkReader::read_route_key(const Assignment& at, PendingRoute& pending) {
  InterfaceRoute& route = pending.route;
  const std::string& key = at.key();
  if (route.line == 0) {
    route.line = at.section->line;
    route.file = at.section->file;
  }
  if (key == "Gateway") {
    route.gateway.reset();
    if (at.empty()) return {};
    const auto gateway = gateway_of(at);
    if (!gateway) return std::unexpected(gateway.error());
    route.gateway = *gateway;
    return {};
  }
  if (key == "PreferredSource") {
    route.preferred_source.reset();
    if (at.empty()) return {};
    const auto address = parse_plain_address(at.value());
    if (!address) return at.fail(address.error());
    route.preferred_source = *address;
    return {};
  }
  if (key != "Destination" && key != "Source") return read_route_detail(at, pending);
  std::optional<Prefix> prefix;
  if (!at.empty()) {
    prefix = Prefix::parse(at.value());
    if (!prefix)
      return at.fail(quoted(at.value()) + " is not a prefix; write it like 10.0.0.0/8 or fd00::/8");
    if (*prefix != prefix->masked()) {
      warnings_.add(at,
                    quoted(at.value()) + " has bits behind its prefix; taken as " + prefix->masked().text());
    }
    prefix = prefix->masked();
  }
  if (key == "Source") {
    route.source = prefix;
    return {};
  }
  pending.has_destination = prefix.has_value();
  route.destination = prefix.value_or(Prefix{});
  return {};
}

NetworkReader::Done NetworkReader::read_route_detail(const Assignment& at, PendingRoute& pending) {
  constexpr auto kTypes = std::to_array<std::pair<std::string_view, uint8_t>>({{"unicast", kUnicast},
                                                                               {"local", kLocal},
                                                                               {"broadcast", kBroadcast},
                                                                               {"anycast", kAnycast},
                                                                               {"multicast", 5},
                                                                               {"blackhole", 6},
                                                                               {"unreachable", 7},
                                                                               {"prohibit", 8},
                                                                               {"throw", 9}});
  InterfaceRoute& route = pending.route;
  const std::string& key = at.key();
  const std::string& value = at.value();
  if (key == "Metric" || key == "MTUBytes" || key == "TCPAdvertisedMaximumSegmentSize") {
    std::optional<uint32_t>& to = key == "Metric"     ? route.metric
                                  : key == "MTUBytes" ? route.mtu
                                                      : route.advertised_mss;
    to.reset();
    if (at.empty()) return {};
    const auto number = key == "MTUBytes" ? parse_mtu_bytes(value)
                        : key == "Metric" ? parse_number(value, "a metric", 0, 0xffff'ffff)
                                          : parse_number(value, "a segment size", 1, 65'535);
    if (!number) return at.fail(number.error());
    to = *number;
    return {};
  }
  if (key == "Table") {
    pending.has_table = !at.empty();
    route.table.clear();
    if (at.empty()) return {};
    auto table = parse_networkd_table(value);
    if (!table) return at.fail(table.error());
    route.table = std::move(*table);
    return {};
  }
  if (key == "Scope") {
    route.scope.reset();
    if (at.empty()) return {};
    const auto scope = parse_scope(value);
    if (!scope) return at.fail(scope.error());
    route.scope = *scope;
    return {};
  }
  if (key == "Type") {
    route.type = kUnicast;
    if (at.empty()) return {};
    const auto* type =
        std::ranges::find(kTypes, std::string_view(value), &std::pair<std::string_view, uint8_t>::first);
    if (type == kTypes.end()) return at.fail(quoted(value) + " is not a type of route; write unicast");
    route.type = type->second;
    return {};
  }
  route.on_link = false;  // GatewayOnLink, under both its spellings
  if (at.empty()) return {};
  const auto on_link = parse_networkd_boolean(value);
  if (!on_link) return at.fail(on_link.error());
  route.on_link = *on_link;
  return {};
}

NetworkReader::Done NetworkReader::finish_route(const IniSection& section, PendingRoute& pending) {
  InterfaceRoute& route = pending.route;
  const auto fail = [&](const char* key, std::string message) {
    return std::unexpected(ConfigError{section.line, key, std::move(message), section.file});
  };
  const Family family = pending.has_destination  ? route.destination.address.family
                        : route.gateway          ? route.gateway->family
                        : route.source           ? route.source->address.family
                        : route.preferred_source ? route.preferred_source->family
                                                 : Family::none;
  if (family == Family::none) {
    return fail("Destination",
                "this [Route] has neither Destination= nor Gateway=; write one, or take it out");
  }
  route.destination.address.family = family;  // without a destination: the default route
  const bool mixed = (route.gateway && route.gateway->family != family) ||
                     (route.source && route.source->address.family != family) ||
                     (route.preferred_source && route.preferred_source->family != family);
  if (mixed)
    return fail("Gateway",
                "the addresses of this [Route] must all be IPv4 or all IPv6 (hatsd-user makes no IPv4 route "
                "by an IPv6 gateway)");
  if (!pending.has_table && (route.type == kLocal || route.type == kBroadcast || route.type == kAnycast)) {
    route.table = "255";
  }
  if (!route.scope && route.type == kLocal && family == Family::v4) route.scope = kScopeHost;
  routes_.push_back(std::move(route));
  return {};
}

}  // namespace

bool network_matches(const std::vector<SourceText>& network, std::string_view name, std::string_view kind,
                     const HostFacts& host) {
  const auto text = parse_networkd_ini(network);
  if (!text) return false;
  return matches_link(*text, {std::string(name), std::string(kind)}) &&
         conditions_of(*text, host).verdict != Verdict::fails;
}

ConfigResult<void> read_network(const IniText& text, InterfaceConfig& config, Warnings& warnings,
                                bool lenient) {
  return NetworkReader(config, warnings, lenient).read(text);
}

}  // namespace hats::config
