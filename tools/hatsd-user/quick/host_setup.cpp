#include "tools/hatsd-user/quick/host_setup.hpp"

#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/config/mtu_advice.hpp"
#include "crypto/secret.hpp"
#include "tools/hatsd-user/quick/atomic_file.hpp"
#include "tools/hatsd-user/quick/command.hpp"
#include "tools/hatsd-user/quick/dns.hpp"
#include "tools/hatsd-user/quick/hooks.hpp"
#include "tools/hatsd-user/quick/link_mtu.hpp"
#include "tools/hatsd-user/quick/save_config.hpp"
#include "tools/hatsd-user/quick/undo_item.hpp"

namespace hats::app {
namespace {

bool has_default_by_policy(const config::InterfaceConfig& config) {
  if (config.table.kind != config::RouteTable::Kind::automatic) return false;
  for (const auto& peer : config.peers) {
    for (const auto& change : peer.allowed_ips) {
      if (change.prefix.length == 0) return true;
    }
  }
  return false;
}

std::vector<Endpoint> endpoints_of(const wg::DeviceSnapshot& device) {
  std::vector<Endpoint> out;
  for (const auto& peer : device.peers) {
    if (peer.endpoint.is_set()) out.push_back(peer.endpoint);
  }
  return out;
}

bool has_hooks(const config::InterfaceConfig& config) {
  return !config.pre_up.empty() || !config.post_up.empty() || !config.pre_down.empty() ||
         !config.post_down.empty();
}

}  // namespace

HostSetup::HostSetup(config::InterfaceConfig config, std::string interface, std::string file,
                     HostOptions options)
    : config_(std::move(config)),
      interface_(std::move(interface)),
      file_(std::move(file)),
      options_(std::move(options)),
      record_(options_.run_directory, interface_, file_) {}

bool HostSetup::needs_keeper(const config::InterfaceConfig& config) {
  return has_hooks(config) || config.save_config || !config.dns_servers.empty() ||
         has_default_by_policy(config);
}

std::expected<void, SetupError> HostSetup::up(DeviceControl& device) {
  auto done = bring_up(device);
  if (done) {
    hand_over_warnings(device);
    return done;
  }
  if (post_up_begun_) run_down_hooks(config_.pre_down, "PreDown");
  undo_all_but_hooks();
  return done;
}

/// formats.md 1.4.
HostSetup::Done HostSetup::bring_up(DeviceControl& device) {
  if (auto done = open(); !done) return done;
  if (!config_.pre_up.empty()) {
    // A hook that has begun may have left something for PostDown to take away.
    if (auto done = owe_post_down(); !done) return done;
    if (auto done = run_hooks(config_.pre_up, "PreUp"); !done) return done;
  }
  if (auto done = device.configure(config_); !done) return done;
  if (!config_.addresses_elsewhere) {
    for (const auto& address : config_.addresses) {
      if (auto done = add_address(address); !done) return done;
    }
  }
  if (auto done = set_mtu(device, config_); !done) return done;
  if (const int error = netlink_->set_up(index_, true); error != 0) {
    return fail(1, "", interface_ + " cannot be set up: " + std::strerror(error));
  }
  if (auto done = set_dns(config_); !done) return done;
  if (!config_.addresses_elsewhere) {
    if (auto done = add_written_routes(config_.routes); !done) return done;
  }
  const auto snapshot = device.snapshot();
  if (!snapshot) return fail(1, "", snapshot.error());
  if (auto done = add_routes(device, wanted_routes(*snapshot)); !done) return done;
  if (auto done = owe_post_down(); !done) return done;
  post_up_begun_ = true;
  if (auto done = run_hooks(config_.post_up, "PostUp"); !done) return done;
  return interrupted();
}

HostSetup::Done HostSetup::open() {
  auto netlink = tun::Netlink::open();
  if (!netlink) return fail(1, "", std::string("netlink: ") + std::strerror(netlink.error()));
  netlink_ = std::make_unique<tun::Netlink>(std::move(*netlink));
  const auto link = netlink_->link(interface_);
  if (!link) return fail(1, "", interface_ + ": " + std::strerror(link.error()));
  index_ = link->index;
  return {};
}

void HostSetup::before_delete(DeviceControl* device) {
  if (device != nullptr) {
    run_down_hooks(config_.pre_down, "PreDown");
    if (config_.save_config) save(*device);
  } else if (config_.save_config) {
    options_.warn(file_ + ": SaveConfig: the interface is gone, so the file stays as it is");
  }
  undo_all_but_hooks();
}

void HostSetup::after_delete() {
  while (!record_.items().empty()) {
    undo_item(record_.items().front(), interface_, file_, options_.warn);
    record_.drop(0);
  }
  record_.remove();
}

std::expected<bool, std::string> HostSetup::finish_undo(const std::string& interface,
                                                        const HostOptions& options) {
  auto loaded = UndoRecord::load(options.run_directory, interface);
  if (!loaded) return std::unexpected(loaded.error());
  std::optional<UndoRecord>& found = *loaded;
  if (!found) return false;
  UndoRecord& record = *found;
  if (record.owner_alive()) {
    return std::unexpected(interface + " is still being brought up or down by another hatsd-user (" +
                           record.path() + ")");
  }
  // Of a namespace that is gone, only the host's name servers are left.
  const bool here = record.same_namespace();
  for (size_t i = record.items().size(); i-- > 0;) {
    const auto& item = record.items()[i];
    if (std::holds_alternative<UndoHook>(item)) continue;
    if (here || std::holds_alternative<UndoDns>(item))
      undo_item(item, interface, record.config_file(), options.warn);
    record.drop(i);
  }
  while (!record.items().empty()) {
    if (here) undo_item(record.items().front(), interface, record.config_file(), options.warn);
    record.drop(0);
  }
  record.remove();
  return true;
}

// ---- Hooks ----

HostSetup::Done HostSetup::run_hooks(const std::vector<config::Hook>& hooks, const char* key) {
  for (const auto& hook : hooks) {
    if (auto done = interrupted(); !done) return done;
    const std::string command = expand_hook(hook.command, interface_);
    options_.note(command);
    const auto done = run_hook(command, options_.interrupt_fd,
                               [&](const std::string& text) { warn_at(hook.line, key, text); });
    if (!done) return fail(hook.line, key, done.error());
  }
  return {};
}

void HostSetup::run_down_hooks(const std::vector<config::Hook>& hooks, const char* key) {
  for (const auto& hook : hooks) {
    const std::string command = expand_hook(hook.command, interface_);
    options_.note(command);
    const auto warn = [&](const std::string& text) { warn_at(hook.line, key, text); };
    const auto done = run_hook(command, -1, warn);
    if (!done) warn(done.error());
  }
}

std::vector<UndoHook> HostSetup::post_down_hooks(const config::InterfaceConfig& config) const {
  std::vector<UndoHook> out;
  out.reserve(config.post_down.size());
  for (const auto& hook : config.post_down) out.push_back({expand_hook(hook.command, interface_), hook.line});
  return out;
}

HostSetup::Done HostSetup::owe_post_down() {
  const auto done = record_.replace_hooks(post_down_hooks(config_));
  if (!done) return fail(1, "PostDown", done.error());
  return {};
}

// ---- Addresses, MTU, DNS ----

HostSetup::Done HostSetup::add_address(const config::InterfaceAddress& address) {
  if (auto done = interrupted(); !done) return done;
  const int error = netlink_->add_address(index_, address.prefix,
                                          {.peer = address.peer,
                                           .label = address.label,
                                           .preferred_lifetime_s = address.preferred_lifetime_s,
                                           .scope = address.scope,
                                           .route_metric = address.route_metric,
                                           .prefix_route = address.prefix_route,
                                           .duplicate_detection = address.duplicate_detection});
  if (error == 0 || error == EEXIST) return {};  // a PreUp hook may have been there first
  std::string message = address.prefix.text() + ": " + std::strerror(error);
  const bool refused = error == EACCES || error == EPERM || error == EOPNOTSUPP || error == EAFNOSUPPORT;
  if (address.prefix.address.family == Family::v6 && refused) {
    message =
        address.prefix.text() +
        ": this host has no IPv6 (no such kernel module, or the sysctl disable_ipv6 is 1): enable it, or "
        "remove the address";
  }
  return fail(address.line, "Address", std::move(message), address.file);
}

/// formats.md 1.5: the key's value as it is, else what the narrowest path leaves; of an unencrypted tunnel
/// what the device had from the start.
uint32_t HostSetup::wanted_mtu(const config::InterfaceConfig& config, const wg::DeviceSnapshot& device) {
  if (config.mtu) return *config.mtu;
  if (config.tunnel)
    return config::default_mtu(config.tunnel->tunnel, tunnel_path_mtu(*netlink_, *config.tunnel));
  return automatic_mtu(*netlink_, endpoints_of(device), device.fwmark);
}

HostSetup::Done HostSetup::set_mtu(DeviceControl& device, const config::InterfaceConfig& config) {
  const auto snapshot = device.snapshot();
  if (!snapshot) return fail(1, "", snapshot.error());
  const uint32_t mtu = wanted_mtu(config, *snapshot);
  // First of all: the device, when it hears of its MTU, looks at the same path, and need not tell it again.
  warn_of_mtu(config, mtu, *snapshot);
  hand_over_warnings(device);
  const auto link = netlink_->link(index_);
  if (link && link->mtu == mtu) return {};
  if (const int error = netlink_->set_mtu(index_, mtu); error != 0) {
    return fail(mtu_line(config), "MTU",
                std::to_string(mtu) + " is refused by the kernel: " + std::strerror(error), config.mtu_file);
  }
  return {};
}

void HostSetup::warn_of_mtu(const config::InterfaceConfig& config, uint32_t mtu,
                            const wg::DeviceSnapshot& device) {
  if (config.mtu) {
    std::optional<std::string> warning;
    if (!config.tunnel) {
      warning = path_warning(mtu, paths_to(*netlink_, endpoints_of(device), device.fwmark));
    } else if (const auto path = tunnel_path_mtu(*netlink_, *config.tunnel)) {
      warning = config::mtu_warning(config::encapsulation_of(config.tunnel->tunnel), mtu, *path);
    }
    if (warning) warn_at(mtu_line(config), "MTU", *warning, config.mtu_file);
  }
  const bool has_v6 = std::any_of(config.addresses.begin(), config.addresses.end(), [](const auto& address) {
    return address.prefix.address.family == Family::v6;
  });
  if (has_v6 && mtu < config::kLeastIpv6Mtu) {
    warn_at(mtu_line(config), "MTU",
            std::to_string(mtu) + " is below 1280: the kernel takes the IPv6 addresses off the interface",
            config.mtu_file);
  }
}

int HostSetup::mtu_line(const config::InterfaceConfig& config) const {
  if (!config.mtu) return 1;
  return config.mtu_line != 0 ? config.mtu_line : line_of("MTU");
}

std::optional<SetupError> HostSetup::dns_fault(const config::InterfaceConfig& config,
                                               const std::string& file) {
  if (config.dns_servers.empty() || find_program("resolvconf")) return std::nullopt;
  return SetupError{line_in(file, "DNS"),
                    "DNS",
                    "needs the program resolvconf, which is not here: install openresolv, or remove the line",
                    {}};
}

HostSetup::Done HostSetup::set_dns(const config::InterfaceConfig& config) {
  if (auto done = interrupted(); !done) return done;
  if (config.dns_servers.empty()) {
    if (!config.dns_search.empty()) {
      warn_at(line_of("DNS"), "DNS", "search domains without a server do nothing, as in wg-quick");
    }
    return {};
  }
  const std::string name = resolvconf_name(interface_);
  if (auto fault = dns_fault(config, file_)) return std::unexpected(std::move(*fault));
  if (auto recorded = record_.add(UndoDns{name}); !recorded) {
    return fail(line_of("DNS"), "DNS", recorded.error());
  }
  const auto done = app::set_dns(name, config.dns_servers, config.dns_search);
  if (!done) return fail(line_of("DNS"), "DNS", done.error());
  return {};
}

void HostSetup::unset_dns() {
  undo_where([](const UndoItem& item) { return std::holds_alternative<UndoDns>(item); });
}

// ---- The way back ----

void HostSetup::save(DeviceControl& device) {
  const auto snapshot = device.snapshot();
  std::expected<void, std::string> done;
  if (!snapshot) {
    done = std::unexpected(snapshot.error());
  } else if (netlink_ == nullptr) {
    done = std::unexpected("the interface was not brought up");
  } else if (const auto link = netlink_->link(index_); !link || link->name != interface_) {
    done = std::unexpected("the interface is no longer in the namespace where it was made");
  } else {
    done = save_config(file_, config_, *snapshot, *netlink_, index_);
  }
  if (!done) warn_at(1, "SaveConfig", "the file stays as it is: " + done.error());
}

void HostSetup::undo_all_but_hooks() {
  undo_where([](const UndoItem& item) { return !std::holds_alternative<UndoHook>(item); });
}

void HostSetup::undo_where(const std::function<bool(const UndoItem&)>& which) {
  for (size_t i = record_.items().size(); i-- > 0;) {
    if (!which(record_.items()[i])) continue;
    undo_item(record_.items()[i], interface_, file_, options_.warn);
    record_.drop(i);
  }
}

// ---- Small change ----

HostSetup::Done HostSetup::interrupted() const {
  if (!readable_now(options_.interrupt_fd)) return {};
  return fail(1, "", "interrupted: everything done so far is undone");
}

/// The line of a key that the parsed value does not carry: the last one, which is the one that counts.
int HostSetup::line_in(const std::string& file, const char* key) {
  auto text = read_whole_file(file);
  if (!text) return 1;
  const std::string_view wanted(key);
  int number = 0, found = 1;
  for (std::string_view left = *text; !left.empty();) {
    ++number;
    const std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    const std::string_view rest = line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
    const bool same = rest.size() > wanted.size() && std::equal(wanted.begin(), wanted.end(), rest.begin(),
                                                                [](unsigned char a, unsigned char b) {
                                                                  return std::tolower(a) == std::tolower(b);
                                                                });
    if (same && rest.find_first_not_of(" \t", wanted.size()) == rest.find('=')) found = number;
  }
  crypto::wipe({reinterpret_cast<uint8_t*>(text->data()), text->size()});
  return found;
}

void HostSetup::warn_at(int line, const char* key, const std::string& message, const std::string& file) {
  warn(key, ConfigError{line, key, message, file}.text(file_));
}

void HostSetup::warn(const std::string& key, const std::string& text) {
  options_.warn(text);
  standing_.push_back({.key = key, .text = text});
}

void HostSetup::forget_warnings(const std::string& key) {
  std::erase_if(standing_, [&](const Standing& warning) { return warning.key == key; });
}

void HostSetup::hand_over_warnings(DeviceControl& device) {
  std::vector<std::string> texts;
  texts.reserve(standing_.size());
  for (const Standing& warning : standing_) texts.push_back(warning.text);
  device.set_warnings(std::move(texts));
}

std::unexpected<SetupError> HostSetup::fail(int line, const char* key, std::string message,
                                            const std::string& file) const {
  return std::unexpected(SetupError{line, key, std::move(message), file});
}

}  // namespace hats::app
