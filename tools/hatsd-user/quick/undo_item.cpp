#include "tools/hatsd-user/quick/undo_item.hpp"

#include <cerrno>
#include <cstring>

#include "core/base/config_error.hpp"
#include "tools/hatsd-user/quick/dns.hpp"
#include "tools/hatsd-user/quick/firewall.hpp"
#include "tools/hatsd-user/quick/hooks.hpp"
#include "tools/hatsd-user/quick/policy_routing.hpp"

namespace hats::app {
namespace {

using Warn = std::function<void(const std::string&)>;

void undo_rule(const tun::Rule& rule, const Warn& warn) {
  auto netlink = tun::Netlink::open();
  const int error = netlink ? netlink->remove_rule(rule) : netlink.error();
  if (error != 0 && error != ENOENT) {
    warn("a routing rule for table " + std::to_string(rule.table) + " stays: " + std::strerror(error));
  }
}

void undo_sysctl(const UndoSysctl& sysctl, const Warn& warn) {
  // Another tunnel's default route still needs it; its own record restores it in the end.
  auto netlink = tun::Netlink::open();
  if (sysctl.path == kSrcValidMark && netlink && has_default_route_rule(*netlink, Family::v4)) return;
  if (!write_sysctl(sysctl.path, sysctl.old_value)) {
    warn(sysctl.path + " cannot be set back to " + sysctl.old_value + ": " + std::strerror(errno));
  }
}

}  // namespace

void undo_item(const UndoItem& item, const std::string& interface, const std::string& file,
               const Warn& warn_of) {
  const Warn warn = [&](const std::string& text) { warn_of(file + ": " + text); };

  if (const auto* rule = std::get_if<UndoRule>(&item)) {
    undo_rule(rule->rule, warn);
  } else if (const auto* firewall = std::get_if<UndoFirewall>(&item)) {
    const auto tool = firewall->tool == "nft" ? FirewallTool::nft : FirewallTool::iptables;
    const auto done = remove_firewall(tool, firewall->family, interface);
    if (!done) warn("the packet filter for " + interface + " stays: " + done.error());
  } else if (const auto* dns = std::get_if<UndoDns>(&item)) {
    const auto done = unset_dns(dns->name);
    if (!done) warn("the name servers of " + interface + " stay: " + done.error());
  } else if (const auto* sysctl = std::get_if<UndoSysctl>(&item)) {
    undo_sysctl(*sysctl, warn);
  } else if (const auto* hook = std::get_if<UndoHook>(&item)) {
    const Warn of_hook = [&](const std::string& text) {
      warn_of(ConfigError{.line = hook->line, .key = "PostDown", .message = text}.text(file));
    };
    const auto done = run_hook(hook->command, -1, of_hook);
    if (!done) of_hook(done.error());
  }
}

}  // namespace hats::app
