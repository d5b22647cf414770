// The keys of a netplan tunnel: what each is read into, and which are refused, warned of, or harmless
// (README.md).
#include "core/config/netplan_tunnel.hpp"

#include <algorithm>
#include <set>

#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config::netplan {
namespace {

using Scalars = TunnelReader::Scalars;
using Key = MapKey<Scalars>;

/// Kept until the mode is known, which may come last. Its value is one text.
template <std::optional<Entry> Scalars::* member, bool secret = false>
Done keep(Context& /*context*/, const Entry& entry, Scalars& scalars) {
  if (const auto text = read_text(entry, secret); !text) return std::unexpected(text.error());
  scalars.*member = entry;
  return {};
}

constexpr auto kKeysKeys = std::to_array<Key>({
    {"input", keep<&Scalars::input_key, true>},
    {"output", keep<&Scalars::output_key, true>},
    {"private", keep<&Scalars::private_key, true>},
    {"private-key-flags",
     [](Context& c, const Entry& e, Scalars&) {
       c.warn(e, "is for NetworkManager, and is ignored");
       return expect_sequence(e);
     }},
});

/// `key` and `keys` are the same: one value for all, or a mapping.
Done read_keys(Context& context, const Entry& entry, Scalars& scalars) {
  if (entry.value.is_mapping()) {
    return read_mapping(context, entry.value, entry.key, "a tunnel's keys", kKeysKeys, scalars);
  }
  for (const Key& key : kKeysKeys) {
    if (key.name == "private-key-flags") continue;
    if (auto done = key.read(context, entry, scalars); !done) return done;
  }
  return {};
}

Done read_peers(Context& context, const Entry& entry, Scalars& scalars) {
  return each_item(context, entry, [&](const Entry& item) -> Done {
    scalars.peers.push_back(item);
    return {};
  });
}

Done read_addresses(Context& context, const Entry& entry, Scalars& scalars) {
  return each_item(context, entry, [&](const Entry& item) -> Done {
    auto address = read_address_item(context, item);
    if (!address) return std::unexpected(address.error());
    // What comes later counts, and what has options comes after what has none.
    const auto same = [&](const InterfaceAddress& other) { return other.prefix == address->address.prefix; };
    std::vector<InterfaceAddress>& others = scalars.other_addresses;
    if (address->with_options) {
      std::erase_if(others, same);
      others.push_back(std::move(address->address));
    } else if (std::ranges::none_of(scalars.plain_addresses, same)) {
      scalars.plain_addresses.push_back(std::move(address->address));
    }
    return {};
  });
}

/// Equal but for where they stand.
bool same_route(const InterfaceRoute& a, const InterfaceRoute& b) {
  return a.destination == b.destination && a.gateway == b.gateway &&
         a.preferred_source == b.preferred_source && a.metric == b.metric && a.mtu == b.mtu &&
         a.advertised_mss == b.advertised_mss && a.table == b.table && a.scope == b.scope &&
         a.type == b.type && a.on_link == b.on_link;
}

Done read_routes(Context& context, const Entry& entry, Scalars& scalars) {
  return each_item(context, entry, [&](const Entry& item) -> Done {
    auto route = read_route(context, item);
    if (!route) return std::unexpected(route.error());
    scalars.routes.push_back(std::move(*route));
    return {};
  });
}

template <Family family>
Done read_gateway_key(Context& context, const Entry& entry, Scalars& scalars) {
  auto route = read_gateway(context, entry, family);
  if (!route) return std::unexpected(route.error());
  // A scalar: the last one counts.
  std::erase_if(scalars.gateways,
                [](const InterfaceRoute& other) { return other.destination.address.family == family; });
  scalars.gateways.push_back(std::move(*route));
  return {};
}

constexpr auto kNameserverKeys = std::to_array<Key>({
    {"addresses",
     [](Context& c, const Entry& e, Scalars& s) {
       return each_item(c, e, [&](const Entry& item) -> Done {
         const auto address = read_address(item);
         if (!address) return std::unexpected(address.error());
         s.dns_servers.push_back(address->text());
         return {};
       });
     }},
    {"search",
     [](Context& c, const Entry& e, Scalars& s) {
       return each_item(c, e, [&](const Entry& item) -> Done {
         const auto domain = read_text(item);
         if (!domain) return std::unexpected(domain.error());
         s.dns_search.emplace_back(*domain);
         return {};
       });
     }},
});

Done read_link_local(Context& context, const Entry& entry, Scalars& scalars) {
  scalars.link_local = LinkLocal::none;
  return each_item(context, entry, [&](const Entry& item) -> Done {
    constexpr auto kFamilies = std::to_array<std::string_view>({"ipv6", "ipv4"});
    const auto family = read_word(item, kFamilies);
    if (!family) return std::unexpected(family.error());
    if (*family == 1) return fail(item, "hatsd-user makes no IPv4 link-local addresses; remove ipv4");
    scalars.link_local = LinkLocal::as_kernel;
    return {};
  });
}

Done read_renderer(Context& /*context*/, const Entry& entry, Scalars& /*scalars*/) {
  constexpr auto kRenderers = std::to_array<std::string_view>({"networkd", "NetworkManager"});
  const auto word = read_word(entry, kRenderers);
  if (!word) return std::unexpected(word.error());
  return {};
}

Done read_activation_mode(Context& context, const Entry& entry, Scalars& /*scalars*/) {
  constexpr auto kModes = std::to_array<std::string_view>({"manual", "off"});
  const auto mode = read_word(entry, kModes);
  if (!mode) return std::unexpected(mode.error());
  if (*mode == 1) return fail(entry, "'off' keeps the interface down, and `hatsd-user up` is to bring it up");
  context.warn(entry, "`hatsd-user up` is the manual activation, and brings the interface up");
  return {};
}

/// A switch whose two positions are the same to a tunnel of ours.
Done harmless_switch(Context& /*context*/, const Entry& entry, Scalars& /*scalars*/) {
  if (const auto on = read_bool(entry); !on) return std::unexpected(on.error());
  return {};
}

Done must_be_off(Context& /*context*/, const Entry& entry, Scalars& /*scalars*/) {
  const auto on = read_bool(entry);
  if (!on) return std::unexpected(on.error());
  if (*on) return fail(entry, "hatsd-user cannot do this on a tunnel; write false, or remove the line");
  return {};
}

Done refuse(Context& /*context*/, const Entry& entry, Scalars& /*scalars*/) {
  return fail(entry, "hatsd-user cannot do this on a tunnel; remove it");
}

/// Lists that may be there as long as they are empty.
Done must_be_empty(Context& context, const Entry& entry, Scalars& /*scalars*/) {
  return each_item(context, entry, [](const Entry& item) -> Done {
    return fail(item, "hatsd-user makes no policy rules; remove them, and use ip rule");
  });
}

/// Settings of programs that have no part in a tunnel of ours.
Done others_mapping(Context& /*context*/, const Entry& entry, Scalars& /*scalars*/) {
  return expect_mapping(entry.value, entry.key);
}

Done ignored(Context& context, const Entry& entry, Scalars& /*scalars*/) {
  context.warn(entry, "has no meaning for a tunnel, and is ignored");
  return {};
}

/// netplan takes them with every mode and heeds them with vxlan alone.
Done vxlan_key(Context& context, const Entry& entry, Scalars& /*scalars*/) {
  context.warn(entry, "is for the mode vxlan alone, and is ignored");
  return {};
}

constexpr auto kTunnelKeys = std::to_array<Key>({
    {"mode", keep<&Scalars::mode>},
    {"local", keep<&Scalars::local>},
    {"remote", keep<&Scalars::remote>},
    {"ttl", keep<&Scalars::ttl>},
    {"key", read_keys},
    {"keys", read_keys},
    {"port", keep<&Scalars::port>},
    {"mark", keep<&Scalars::mark>},
    {"peers", read_peers},
    {"addresses", read_addresses},
    {"routes", read_routes},
    {"gateway4", read_gateway_key<Family::v4>},
    {"gateway6", read_gateway_key<Family::v6>},
    {"nameservers",
     [](Context& c, const Entry& e, Scalars& s) {
       return read_mapping(c, e.value, e.key, "nameservers", kNameserverKeys, s);
     }},
    {"mtu", keep<&Scalars::mtu>},
    {"ipv6-mtu", keep<&Scalars::ipv6_mtu>},
    {"accept-ra",
     [](Context&, const Entry& e, Scalars& s) -> Done {
       const auto on = read_bool(e);
       if (!on) return std::unexpected(on.error());
       s.accept_ra = *on;
       return {};
     }},
    {"link-local", read_link_local},
    {"renderer", read_renderer},
    {"activation-mode", read_activation_mode},
    {"optional", harmless_switch},
    {"critical", harmless_switch},
    {"ignore-carrier", harmless_switch},
    {"neigh-suppress", harmless_switch},
    {"dhcp4", must_be_off},
    {"dhcp6", must_be_off},
    {"ipv6-privacy", must_be_off},
    {"dhcp4-overrides", others_mapping},
    {"dhcp6-overrides", others_mapping},
    {"networkmanager", others_mapping},
    {"dhcp-identifier",
     [](Context&, const Entry& e, Scalars&) -> Done {
       if (const auto text = read_text(e); !text) return std::unexpected(text.error());
       return {};
     }},
    {"optional-addresses", [](Context&, const Entry& e, Scalars&) { return expect_sequence(e); }},
    {"macaddress", ignored},
    {"routing-policy", must_be_empty},
    {"openvswitch", refuse},
    {"ipv6-address-generation", refuse},
    {"ipv6-address-token", refuse},
    {"id", vxlan_key},
    {"link", vxlan_key},
    {"type-of-service", vxlan_key},
    {"mac-learning", vxlan_key},
    {"ageing", vxlan_key},
    {"aging", vxlan_key},
    {"limit", vxlan_key},
    {"arp-proxy", vxlan_key},
    {"notifications", vxlan_key},
    {"short-circuit", vxlan_key},
    {"checksums", vxlan_key},
    {"extensions", vxlan_key},
    {"port-range", vxlan_key},
    {"flow-label", vxlan_key},
    {"do-not-fragment", vxlan_key},
});

}  // namespace

Done TunnelReader::read(const Entry& tunnel, const Value& name) {
  name_ = name;
  if (const std::string fault = interface_name_fault(tunnel.key); !fault.empty())
    return fail(name, "", fault);
  return read_mapping(context_, tunnel.value, tunnel.key, "a tunnel", kTunnelKeys, scalars_);
}

Done TunnelReader::finish_mtu() {
  for (const auto& entry : {scalars_.mtu, scalars_.ipv6_mtu}) {
    if (!entry) continue;
    const auto number = read_number(context_, *entry);
    if (!number) return std::unexpected(number.error());
    if (*number == 0) continue;  // netplan: unset
    const auto mtu = parse_mtu(std::to_string(*number));
    if (!mtu) return fail(*entry, mtu.error());
    if (entry->key == "ipv6-mtu" && out_.mtu != *mtu) {
      return fail(*entry, "IPv6 has no MTU of its own here; set mtu, and remove this line");
    }
    out_.mtu = *mtu;
    out_.mtu_line = entry->value.line();
    out_.mtu_file = entry->value.file();
  }
  return {};
}

void TunnelReader::finish_common() {
  out_.format = Format::netplan;
  out_.table.kind = RouteTable::Kind::off;
  out_.link_local = scalars_.link_local;
  out_.accept_route_advertisements = scalars_.accept_ra;
  out_.dns_servers = std::move(scalars_.dns_servers);
  out_.dns_search = std::move(scalars_.dns_search);
  std::set<Prefix> with_options;
  for (const auto& address : scalars_.other_addresses) with_options.insert(address.prefix);
  for (auto& address : scalars_.plain_addresses) {
    if (!with_options.contains(address.prefix)) out_.addresses.push_back(std::move(address));
  }
  for (auto& address : scalars_.other_addresses) out_.addresses.push_back(std::move(address));
  out_.routes = std::move(scalars_.gateways);
  for (auto& route : scalars_.routes) {
    const auto same = [&](const InterfaceRoute& other) { return same_route(route, other); };
    if (std::ranges::none_of(out_.routes, same)) out_.routes.push_back(std::move(route));
  }
}

}  // namespace hats::config::netplan
