// `routes:`, `gateway4:`, `gateway6:` and `addresses:` of a netplan tunnel.
#include "core/config/netplan_parts.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

constexpr size_t kLongestLabel = 15;  // IFNAMSIZ less the end
// linux/rtnetlink.h
constexpr uint8_t kScopeUniverse = 0, kScopeLink = 253, kScopeHost = 254;
constexpr uint8_t kUnicast = 1, kLocal = 2, kBroadcast = 3, kAnycast = 4, kMulticast = 5, kBlackhole = 6;
constexpr std::string_view kTableLocal = "255";
constexpr auto kRouteTypes =
    std::to_array<std::string_view>({"unicast", "local", "broadcast", "anycast", "multicast", "blackhole",
                                     "unreachable", "prohibit", "throw"});
constexpr auto kScopes = std::to_array<std::string_view>({"global", "link", "host"});
constexpr std::array<uint8_t, 3> kScopeNumbers = {kScopeUniverse, kScopeLink, kScopeHost};

/// A route before its parts are held against each other.
struct RouteText {
  std::optional<Entry> to;
  std::optional<Prefix> destination;  // unset with `to`: default
  InterfaceRoute route;
};

template <typename To>
Done put_number(Context& context, const Entry& entry, To& to) {
  const auto number = read_number(context, entry);
  if (!number) return std::unexpected(number.error());
  to = *number;
  return {};
}

Done put_address(const Entry& entry, std::optional<IpAddress>& to) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  // netplan lets "a/len" through, and networkd then drops it, unless it is the whole address.
  const auto prefix = Prefix::parse(*text);
  if (!prefix || prefix->length != prefix->address.bit_count()) {
    return fail(entry, quoted(*text) + " is not an address; write it alone, like 192.0.2.1 or 2001:db8::1");
  }
  to = prefix->address;
  return {};
}

Done read_to(Context& context, const Entry& entry, RouteText& route) {
  const auto text = read_text(entry);
  if (!text) return std::unexpected(text.error());
  route.to = entry;
  route.destination.reset();
  if (*text == "default") return {};
  const auto prefix = Prefix::parse(*text);
  if (!prefix) {
    return fail(entry,
                quoted(*text) + " is not a destination; write 'default', an address, or one with /length");
  }
  route.destination = prefix->masked();
  if (*route.destination != *prefix) {
    context.warn(entry, quoted(*text) + " has host bits; taken as " + route.destination->text());
  }
  return {};
}

Done read_table(Context& context, const Entry& entry, RouteText& route) {
  const auto table = read_number(context, entry);
  if (!table) return std::unexpected(table.error());
  if (*table == 0) return fail(entry, "there is no table 0; write 1 to 4294967295, or leave it out for main");
  route.route.table = std::to_string(*table);
  return {};
}

Done not_ours(Context& /*context*/, const Entry& entry, RouteText& /*route*/) {
  return fail(entry, "this is not set on routes by hatsd-user; remove the line");
}

using Key = MapKey<RouteText>;
constexpr auto kRouteKeys = std::to_array<Key>({
    {"to", read_to},
    {"via", [](Context&, const Entry& e, RouteText& r) { return put_address(e, r.route.gateway); }},
    {"from", [](Context&, const Entry& e, RouteText& r) { return put_address(e, r.route.preferred_source); }},
    {"metric", [](Context& c, const Entry& e, RouteText& r) { return put_number(c, e, r.route.metric); }},
    {"table", read_table},
    {"mtu", [](Context& c, const Entry& e, RouteText& r) { return put_number(c, e, r.route.mtu); }},
    {"advertised-mss",
     [](Context& c, const Entry& e, RouteText& r) { return put_number(c, e, r.route.advertised_mss); }},
    {"on-link",
     [](Context&, const Entry& e, RouteText& r) -> Done {
       const auto on = read_bool(e);
       if (!on) return std::unexpected(on.error());
       r.route.on_link = *on;
       return {};
     }},
    {"type",
     [](Context&, const Entry& e, RouteText& r) -> Done {
       const auto type = read_word(e, kRouteTypes);
       if (!type) return std::unexpected(type.error());
       r.route.type = static_cast<uint8_t>(kUnicast + *type);
       return {};
     }},
    {"scope",
     [](Context&, const Entry& e, RouteText& r) -> Done {
       const auto scope = read_word(e, kScopes);
       if (!scope) return std::unexpected(scope.error());
       r.route.scope = kScopeNumbers[*scope];
       return {};
     }},
    {"congestion-window", not_ours},
    {"advertised-receive-window", not_ours},
});

/// What netplan's manual says of a scope that is left out (IPv6 has none), and networkd's of a table.
void settle_defaults(InterfaceRoute& route) {
  if (route.table.empty() && (route.type == kLocal || route.type == kBroadcast || route.type == kAnycast)) {
    route.table = kTableLocal;
  }
  if (route.destination.address.family == Family::v6) {
    route.scope.reset();
    return;
  }
  if (route.scope) return;
  if (route.type == kLocal) route.scope = kScopeHost;
  const bool without_gateway = route.type == kUnicast && !route.gateway;
  if (without_gateway || route.type == kBroadcast || route.type == kMulticast || route.type == kAnycast) {
    route.scope = kScopeLink;
  }
}

Done settle(const Entry& entry, RouteText& text) {
  InterfaceRoute& route = text.route;
  if (!text.to) return fail(entry, "a route needs 'to'");
  const auto& named = route.gateway ? route.gateway : route.preferred_source;
  if (text.destination) {
    route.destination = *text.destination;
  } else {
    if (!named) return fail(*text.to, "'default' needs 'via', or write 0.0.0.0/0 or ::/0");
    route.destination.address.family = named->family;
  }
  const Family family = route.destination.address.family;
  for (const auto& part : {route.gateway, route.preferred_source}) {
    if (part && part->family != family) {
      return fail(*text.to, "'to', 'via' and 'from' are not all IPv4 or all IPv6");
    }
  }
  if (route.type == kUnicast && !route.gateway && route.scope == kScopeUniverse) {
    return fail(entry, "a route of scope global needs 'via'; without one the scope is link");
  }
  if (route.type >= kBlackhole && route.gateway) {
    return fail(entry, "a " + std::string(kRouteTypes[route.type - kUnicast]) + " route has no 'via'");
  }
  settle_defaults(route);
  return {};
}

constexpr auto kAddressKeys = std::to_array<MapKey<InterfaceAddress>>({
    {"lifetime",
     [](Context&, const Entry& e, InterfaceAddress& a) -> Done {
       constexpr auto kLifetimes = std::to_array<std::string_view>({"0", "forever"});
       const auto lifetime = read_word(e, kLifetimes);
       if (!lifetime) return std::unexpected(lifetime.error());
       a.preferred_lifetime_s.reset();
       if (*lifetime == 0) a.preferred_lifetime_s = 0;
       return {};
     }},
    {"label",
     [](Context& context, const Entry& e, InterfaceAddress& a) -> Done {
       const auto label = read_text(e);
       if (!label) return std::unexpected(label.error());
       if (label->size() > kLongestLabel) {
         return fail(e, quoted(*label) + " is too long; a label has at most " +
                            std::to_string(kLongestLabel) + " characters");
       }
       if (a.prefix.address.family == Family::v6) {
         context.warn(e, "an IPv6 address has no label; it is ignored");
         return {};
       }
       a.label = *label;
       return {};
     }},
});

}  // namespace

ConfigResult<InterfaceRoute> read_route(Context& context, const Entry& entry) {
  RouteText text;
  text.route.line = entry.value.line();
  text.route.file = entry.value.file();
  const size_t before = context.faults().count();
  if (auto done = read_mapping(context, entry.value, entry.key, "a route", kRouteKeys, text); !done) {
    return std::unexpected(done.error());
  }
  // A part that is faulty may be what the whole seems to lack.
  const bool whole = context.faults().count() == before;
  if (auto done = whole ? settle(entry, text) : Done{}; !done) return std::unexpected(done.error());
  return std::move(text.route);
}

ConfigResult<InterfaceRoute> read_gateway(Context& context, const Entry& entry, Family family) {
  const auto address = read_address(entry);
  if (!address) return std::unexpected(address.error());
  if (address->family != family) {
    return fail(entry,
                quoted(entry.value.text()) + " is not of this key's family; there are gateway4 and gateway6");
  }
  context.warn(entry, "is deprecated; write routes: [{to: default, via: " + address->text() + "}]");
  InterfaceRoute route;
  route.destination.address.family = family;
  route.gateway = *address;
  route.line = entry.value.line();
  route.file = entry.value.file();
  return route;
}

ConfigResult<AddressItem> read_address_item(Context& context, const Entry& entry) {
  AddressItem item;
  item.with_options = entry.value.is_mapping();
  Entry address = entry;
  if (item.with_options) {
    if (const auto message = braces_message(entry.value)) return fail(entry, *message);
    if (entry.value.size() != 2)
      return fail(entry, "one address is expected here, with a mapping of its options");
    address.value = entry.value.at(0);
  }
  const auto text = read_text(address);
  if (!text) return std::unexpected(text.error());
  const auto prefix = read_prefix(address, *text, false);
  if (!prefix) return std::unexpected(prefix.error());
  item.address.prefix = *prefix;
  item.address.line = entry.value.line();
  item.address.file = entry.value.file();
  if (item.with_options) {
    if (auto done =
            read_mapping(context, entry.value.at(1), entry.key, "an address", kAddressKeys, item.address);
        !done) {
      return std::unexpected(done.error());
    }
  }
  return item;
}

}  // namespace hats::config::netplan
