// HostSetup::reload: the difference between two files, applied to the host and the device.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "tools/hatsd-user/quick/host_setup.hpp"
#include "tools/hatsd-user/quick/policy_routing.hpp"

namespace hats::app {
namespace {

using Kind = config::RouteTable::Kind;

bool has_address(const config::InterfaceConfig& config, const config::InterfaceAddress& wanted) {
  return std::any_of(config.addresses.begin(), config.addresses.end(), [&](const auto& address) {
    return address.prefix == wanted.prefix && address.peer == wanted.peer;
  });
}

/// A default route in a table of its own, with rules.
bool by_policy(const tun::Route& route, uint32_t default_table) {
  return route.destination.length == 0 && route.table == default_table;
}

}  // namespace

std::optional<SetupError> HostSetup::keeper_reason(const config::InterfaceConfig& next) const {
  if (!needs_keeper(next)) return std::nullopt;
  const std::string why = "is new in this file, and takes root's rights, which the process of " + interface_ +
                          " has given up: take the interface down and up again";
  const std::pair<const char*, const std::vector<config::Hook>*> hooks[] = {{"PreUp", &next.pre_up},
                                                                            {"PostUp", &next.post_up},
                                                                            {"PreDown", &next.pre_down},
                                                                            {"PostDown", &next.post_down}};
  for (const auto& [key, of_key] : hooks) {
    if (!of_key->empty()) return SetupError{of_key->front().line, key, why, {}};
  }
  if (next.save_config) return SetupError{line_of("SaveConfig"), "SaveConfig", why, {}};
  if (!next.dns_servers.empty()) return SetupError{line_of("DNS"), "DNS", why, {}};
  for (const config::WgPeer& peer : next.peers) {
    for (size_t i = 0; i < peer.allowed_ips.size(); ++i) {
      const Prefix& prefix = peer.allowed_ips[i].prefix;
      if (prefix.length == 0) {
        return SetupError{peer.line_of_allowed_ip(i), "AllowedIPs", "the default route " + why, {}};
      }
    }
  }
  return SetupError{1, "", why, {}};
}

std::expected<void, SetupError> HostSetup::reload(config::InterfaceConfig next, DeviceControl& device) {
  auto done = apply_difference(std::move(next), device);
  hand_over_warnings(device);
  return done;
}

HostSetup::Done HostSetup::apply_difference(config::InterfaceConfig next, DeviceControl& device) {
  if (auto done = device.reconfigure(config_, next); !done) return done;
  if (!next.addresses_elsewhere) {
    if (auto done = reload_addresses(next); !done) return done;
    if (auto done = reload_written_routes(next); !done) return done;
  }
  if (auto done = reload_mtu(device, next); !done) return done;
  if (next.dns_servers != config_.dns_servers || next.dns_search != config_.dns_search) {
    unset_dns();
    forget_warnings("DNS");
    if (auto done = set_dns(next); !done) return done;
  }
  const bool table_changed = next.table.kind != config_.table.kind || next.table.table != config_.table.table;
  const bool mark_changed = next.fwmark != config_.fwmark;
  config_ = std::move(next);
  if (auto done = owe_post_down(); !done) return done;
  if (table_changed || mark_changed) {
    // Another table or mark: nothing of the old routing is of use.
    forget_warnings(kSrcValidMark);
    remove_default_route(Family::v4);
    remove_default_route(Family::v6);
    for (const auto& route : routes_) (void)netlink_->remove_route(route);
    routes_.clear();
    default_table_ = 0;
    // A mark that we chose ourselves is not the operator's.
    if (!config_.fwmark) {
      if (auto done = device.set_fwmark(0); !done) return fail(1, "FwMark", done.error());
    }
  } else if (default_table_ != 0 && !config_.fwmark) {
    if (auto done = device.set_fwmark(default_table_); !done) return fail(1, "FwMark", done.error());
  }
  return reload_routes(device);
}

HostSetup::Done HostSetup::reload_mtu(DeviceControl& device, const config::InterfaceConfig& next) {
  forget_warnings("MTU");
  if (next.mtu != config_.mtu) return set_mtu(device, next);
  // It is said again, with the line it has now, unless the link was given another one since.
  const auto link = netlink_->link(index_);
  const auto snapshot = device.snapshot();
  if (link && snapshot && link->mtu == next.mtu.value_or(link->mtu)) warn_of_mtu(next, link->mtu, *snapshot);
  return {};
}

HostSetup::Done HostSetup::reload_addresses(const config::InterfaceConfig& next) {
  // New ones first: an interface that is never without an address keeps the routes that depend on one.
  for (const auto& address : next.addresses) {
    if (has_address(config_, address)) continue;
    if (auto done = add_address(address); !done) return done;
  }
  for (const auto& address : config_.addresses) {
    if (has_address(next, address)) continue;
    const int error = netlink_->remove_address(index_, address.prefix, address.peer);
    if (error != 0 && error != EADDRNOTAVAIL) {
      return fail(address.line, "Address",
                  address.prefix.text() + " cannot be removed: " + std::strerror(error), address.file);
    }
  }
  return {};
}

HostSetup::Done HostSetup::reload_routes(DeviceControl& device) {
  const auto snapshot = device.snapshot();
  if (!snapshot) return fail(1, "", snapshot.error());
  forget_warnings("AllowedIPs");  // what is missing is tried again
  auto wanted = wanted_routes(*snapshot);
  std::set<Prefix> wanted_prefixes, present;
  for (const auto& route : wanted) wanted_prefixes.insert(route.destination);
  std::erase_if(routes_, [&](const tun::Route& route) {
    if (wanted_prefixes.contains(route.destination)) {
      present.insert(route.destination);
      return false;
    }
    if (by_policy(route, default_table_)) remove_default_route(route.destination.address.family);
    (void)netlink_->remove_route(route);
    return true;
  });
  std::erase_if(wanted, [&](const WantedRoute& route) { return present.contains(route.destination); });
  return add_routes(device, wanted);
}

}  // namespace hats::app
