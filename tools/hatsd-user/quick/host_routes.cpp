// HostSetup, routes: those the file writes out (networkd, netplan), and AllowedIPs into the table that
// `Table` names (formats.md 1.6).
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "tools/hatsd-user/quick/firewall.hpp"
#include "tools/hatsd-user/quick/host_setup.hpp"
#include "tools/hatsd-user/quick/policy_routing.hpp"
#include "tools/hatsd-user/quick/rt_tables.hpp"

namespace hats::app {
namespace {

constexpr uint32_t kMainTable = 254;
using Kind = config::RouteTable::Kind;

std::string no_route(const Prefix& destination) {
  return "no route for " + destination.text() + ": this host has no IPv6";
}

/// The kernel has no IPv6, or it is switched off: then there is nothing to route, and nothing that could
/// leak.
bool no_ipv6(const Prefix& destination, int error) {
  return destination.address.family == Family::v6 &&
         (error == EACCES || error == EOPNOTSUPP || error == EAFNOSUPPORT);
}

/// But for where it stands.
bool same_route(const config::InterfaceRoute& a, const config::InterfaceRoute& b) {
  const auto all = [](const config::InterfaceRoute& r) {
    return std::tie(r.destination, r.gateway, r.preferred_source, r.source, r.metric, r.mtu, r.advertised_mss,
                    r.table, r.scope, r.type, r.on_link);
  };
  return all(a) == all(b);
}

}  // namespace

/// What the device routes now, which hooks may have changed: longest prefix first.
std::vector<HostSetup::WantedRoute> HostSetup::wanted_routes(const wg::DeviceSnapshot& device) const {
  std::vector<WantedRoute> out;
  if (config_.table.kind == Kind::off) return out;
  for (const auto& peer : device.peers) {
    const auto in_file = std::find_if(config_.peers.begin(), config_.peers.end(), [&](const auto& candidate) {
      return candidate.public_key == peer.public_key;
    });
    std::map<Prefix, int> lines;
    for (size_t i = 0; in_file != config_.peers.end() && i < in_file->allowed_ips.size(); ++i) {
      lines.insert_or_assign(in_file->allowed_ips[i].prefix, in_file->line_of_allowed_ip(i));
    }
    const int of_peer = in_file == config_.peers.end() ? 1 : in_file->line;
    for (const auto& prefix : peer.allowed_ips) {
      const auto line = lines.find(prefix.masked());
      out.push_back({prefix.masked(), line == lines.end() ? of_peer : line->second});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const WantedRoute& a, const WantedRoute& b) {
    return a.destination.length > b.destination.length;
  });
  return out;
}

// ---- Routes that the file writes out ----

/// nullopt: the table is unknown.
std::optional<tun::Route> HostSetup::written_route(const config::InterfaceRoute& route) const {
  tun::Route out;
  out.destination = route.destination;
  out.gateway = route.gateway;
  out.interface_index = index_;
  out.metric = route.metric;
  out.mtu = route.mtu;
  out.source = route.preferred_source;
  out.from = route.source;
  out.advertised_mss = route.advertised_mss;
  out.scope = route.scope;
  out.type = route.type;
  out.on_link = route.on_link;
  if (!route.table.empty()) {
    const auto table = routing_table(route.table);
    if (!table) return std::nullopt;
    out.table = *table;
  }
  return out;
}

HostSetup::Done HostSetup::add_written_routes(const std::vector<config::InterfaceRoute>& routes) {
  // A gateway may lie behind another route of the file: those without one come first, in file order, as
  // networkd has it.
  for (const bool with_gateway : {false, true}) {
    for (const auto& route : routes) {
      if (route.gateway.has_value() != with_gateway) continue;
      if (auto done = interrupted(); !done) return done;
      if (auto done = add_written_route(route); !done) return done;
    }
  }
  return {};
}

HostSetup::Done HostSetup::add_written_route(const config::InterfaceRoute& route) {
  const auto wanted = written_route(route);
  if (!wanted) {
    return fail(
        route.line, "Table",
        "'" + route.table +
            "' is no routing table: a number from 1 to 4294967295, or a name in /etc/iproute2/rt_tables",
        route.file);
  }
  const int error = netlink_->add_route(*wanted);
  const std::string text = route.destination.text();
  if (error == 0 || error == EEXIST) return {};  // a connected route may be the same
  if (no_ipv6(route.destination, error)) {
    warn_at(route.line, "Route", no_route(route.destination), route.file);
    return {};
  }
  std::string message = "route to " + text + ": " + std::strerror(error);
  if (route.gateway && (error == ENETUNREACH || error == EHOSTUNREACH || error == EINVAL)) {
    message += "; the gateway " + route.gateway->text() +
               " lies in no prefix of this interface: give the interface such an address, or set on-link";
  }
  return fail(route.line, "Route", std::move(message), route.file);
}

HostSetup::Done HostSetup::reload_written_routes(const config::InterfaceConfig& next) {
  const auto has = [](const config::InterfaceConfig& config, const config::InterfaceRoute& wanted) {
    return std::any_of(config.routes.begin(), config.routes.end(),
                       [&](const auto& route) { return same_route(route, wanted); });
  };
  for (const auto& route : config_.routes) {
    if (has(next, route)) continue;
    if (const auto old = written_route(route)) (void)netlink_->remove_route(*old);
    const std::string untold = no_route(route.destination);
    std::erase_if(standing_, [&](const Standing& warning) { return warning.text.contains(untold); });
  }
  std::vector<config::InterfaceRoute> fresh;
  for (const auto& route : next.routes) {
    if (!has(config_, route)) fresh.push_back(route);
  }
  return add_written_routes(fresh);
}

// ---- Routes of AllowedIPs ----

HostSetup::Done HostSetup::add_routes(DeviceControl& device, const std::vector<WantedRoute>& wanted) {
  // Connected routes, and what hooks have added.
  RouteCover present;
  for (const Family family : {Family::v4, Family::v6}) {
    if (const auto routes = netlink_->routes(family, index_, kMainTable)) {
      for (const auto& route : *routes) present.add(route.destination);
    }
  }
  for (const auto& route : wanted) {
    if (auto done = interrupted(); !done) return done;
    if (auto done = add_route(device, route, present); !done) return done;
  }
  return {};
}

HostSetup::Done HostSetup::add_route(DeviceControl& device, const WantedRoute& wanted, RouteCover& present) {
  if (config_.table.kind == Kind::table) {
    const auto table = routing_table(config_.table.table);
    if (!table) {
      return fail(config_.table.line, "Table",
                  "'" + config_.table.table +
                      "' is no routing table: auto, off, a number from 1 to 4294967295, or a name in "
                      "/etc/iproute2/rt_tables");
    }
    return add_plain_route(wanted, *table);
  }
  if (wanted.destination.length == 0) return add_default_route(device, wanted);
  if (present.covers(wanted.destination)) return {};
  present.add(wanted.destination);
  return add_plain_route(wanted, kMainTable);
}

HostSetup::Done HostSetup::add_plain_route(const WantedRoute& wanted, uint32_t table) {
  tun::Route route;
  route.destination = wanted.destination;
  route.interface_index = index_;
  route.table = table;
  const int error = netlink_->add_route(route);
  const std::string text = wanted.destination.text();
  if (error == 0) {
    routes_.push_back(route);
    return {};
  }
  if (no_ipv6(wanted.destination, error)) {
    warn_at(wanted.line, "AllowedIPs", no_route(wanted.destination));
    return {};
  }
  if (error == EEXIST) {
    return fail(wanted.line, "AllowedIPs",
                "a route to " + text + " is there already: remove it, or set Table = off");
  }
  return fail(wanted.line, "AllowedIPs", "route to " + text + ": " + std::strerror(error));
}

HostSetup::Done HostSetup::add_default_route(DeviceControl& device, const WantedRoute& wanted) {
  if (auto done = choose_default_table(device, wanted); !done) return done;
  const size_t before = routes_.size();
  if (auto done = add_plain_route(wanted, default_table_); !done) return done;
  if (routes_.size() == before) return {};  // no IPv6 here
  if (wanted.destination.address.family == Family::v4) set_src_valid_mark();
  if (auto done = add_default_rules(wanted); !done) return done;
  return add_firewall(wanted);
}

/// The mark that the device has (from FwMark or a hook) names the table; else a free table names the mark.
HostSetup::Done HostSetup::choose_default_table(DeviceControl& device, const WantedRoute& wanted) {
  if (default_table_ != 0) return {};
  const auto snapshot = device.snapshot();
  if (!snapshot) return fail(1, "", snapshot.error());
  if (snapshot->fwmark != 0) {
    default_table_ = snapshot->fwmark;
    return {};
  }
  const auto table = first_free_table(*netlink_);
  if (!table) {
    return fail(wanted.line, "AllowedIPs",
                std::string("routing tables cannot be read: ") + std::strerror(table.error()));
  }
  if (auto done = device.set_fwmark(*table); !done) return fail(wanted.line, "AllowedIPs", done.error());
  default_table_ = *table;
  return {};
}

HostSetup::Done HostSetup::add_default_rules(const WantedRoute& wanted) {
  const Family family = wanted.destination.address.family;
  for (tun::Rule rule : default_route_rules(family, default_table_)) {
    if (const auto present = netlink_->rules(family)) rule.priority = next_rule_priority(*present);
    if (auto recorded = record_.add(UndoRule{rule}); !recorded) {
      return fail(wanted.line, "AllowedIPs", recorded.error());
    }
    const int error = netlink_->add_rule(rule);
    if (error == 0) continue;
    record_.drop_last();
    return fail(wanted.line, "AllowedIPs",
                "a default route through the tunnel needs policy routing rules, which the kernel refuses (" +
                    std::string(std::strerror(error)) + "): set Table = off and route by hand");
  }
  return {};
}

/// nft first; a host whose kernel lacks nf_tables (OpenVZ) may still have iptables.
HostSetup::Done HostSetup::add_firewall(const WantedRoute& wanted) {
  FirewallRules rules{wanted.destination.address.family, interface_, {}, default_table_};
  if (const auto addresses = netlink_->addresses(index_)) {
    for (const auto& address : *addresses) {
      if (address.address.family == rules.family) rules.addresses.push_back(address.address);
    }
  }
  std::string faults;
  for (const FirewallTool tool : firewall_tools(rules.family)) {
    if (auto recorded = record_.add(UndoFirewall{rules.family, firewall_tool_name(tool)}); !recorded) {
      return fail(wanted.line, "AllowedIPs", recorded.error());
    }
    const auto done = install_firewall(tool, rules);
    if (done) return {};
    record_.drop_last();  // each tool changes all or nothing
    faults += (faults.empty() ? "" : "; ") + done.error();
  }
  if (faults.empty()) faults = "neither nft nor iptables-restore is here";
  return fail(wanted.line, "AllowedIPs",
              "a default route through the tunnel needs a packet filter (" + faults +
                  "): install nftables, or set Table = off and route by hand");
}

/// Checked first: many containers mount /proc/sys read-only (peers.md 2, #9).
void HostSetup::set_src_valid_mark() {
  const auto value = read_sysctl(kSrcValidMark);
  if (value == "1") {
    // Another tunnel's default route has set it and may end before ours: the promise to restore it is ours
    // too.
    const auto promised = record_.others_old_value(kSrcValidMark);
    if (promised && !record_.add(UndoSysctl{kSrcValidMark, *promised})) {
      warn(kSrcValidMark, std::string(kSrcValidMark) + " will stay 1");
    }
    return;
  }
  const auto recorded = record_.add(UndoSysctl{kSrcValidMark, value.value_or("0")});
  if (recorded && write_sysctl(kSrcValidMark, "1")) return;
  if (recorded) record_.drop_last();
  warn(kSrcValidMark,
       std::string(kSrcValidMark) +
           " cannot be set to 1; with strict reverse path filtering (rp_filter = 1) answers of the peer are "
           "dropped: set the sysctl net.ipv4.conf.all.src_valid_mark=1 where the container is started");
}

void HostSetup::remove_default_route(Family family) {
  undo_where([&](const UndoItem& item) {
    if (const auto* rule = std::get_if<UndoRule>(&item)) return rule->rule.family == family;
    if (const auto* firewall = std::get_if<UndoFirewall>(&item)) return firewall->family == family;
    return std::holds_alternative<UndoSysctl>(item) && family == Family::v4;
  });
}

}  // namespace hats::app
