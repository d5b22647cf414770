#include "core/config/networkd_rules.hpp"

#include <algorithm>
#include <array>

#include "core/config/networkd_values.hpp"
#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr size_t kMaxWarnings = 50;  // of one interface

using enum Treatment;
constexpr std::string_view kNoEffect = "has no effect on this kind of tunnel, in networkd as here";
constexpr std::string_view kNotMade = "hatsd-user cannot make such a tunnel";
constexpr std::string_view kEnslaved = "hatsd-user cannot put a tunnel into another device";
constexpr std::string_view kStacked = "hatsd-user makes no devices on top of the tunnel; make it by hand";
constexpr std::string_view kSysctl =
    "is a sysctl, and hatsd-user leaves those alone: set it in /etc/sysctl.d if you need it";
constexpr std::string_view kNoService = "hatsd-user does not offer this service on a tunnel";
constexpr std::string_view kLeftOut = "is not applied by hatsd-user";
constexpr std::string_view kNeedsOther =
    "hatsd-user cannot set this; take the line out, or let networkd configure the interface";

constexpr auto kNetdevRules = std::to_array<KeyRule>({
    {"NetDev", "Name", read},
    {"NetDev", "Kind", read},
    {"NetDev", "MTUBytes", read},
    {"NetDev", "Description", silent},
    {"NetDev", "MACAddress", silent},
    {"Match", "Host", silent},  // conditions have been asked before (networkd_match.hpp)
    {"Match", "Virtualization", silent},
    {"Match", "KernelCommandLine", silent},
    {"Match", "KernelVersion", silent},
    {"Match", "Credential", silent},
    {"Match", "Architecture", silent},
    {"Match", "Firmware", silent},
    {"Tunnel", "Local", read},
    {"Tunnel", "Remote", read},
    {"Tunnel", "TTL", read},
    {"Tunnel", "TOS", read},
    {"Tunnel", "DiscoverPathMTU", read},
    {"Tunnel", "IgnoreDontFragment", read},
    {"Tunnel", "Key", read},
    {"Tunnel", "InputKey", read},
    {"Tunnel", "OutputKey", read},
    {"Tunnel", "IPv6FlowLabel", read},
    {"Tunnel", "EncapsulationLimit", read},
    {"Tunnel", "SerializeTunneledPackets", read},
    {"Tunnel", "AssignToLoopback", read},
    {"Tunnel", "Independent", silent},  // we make the device in any case
    {"Tunnel", "CopyDSCP", warn_if_on, kNoEffect},
    {"Tunnel", "AllowLocalRemote", warn_if_on, kNoEffect},
    {"Tunnel", "Mode", warn, kNoEffect},
    {"Tunnel", "ERSPANVersion", warn, kNoEffect},
    {"Tunnel", "ERSPANIndex", warn, kNoEffect},
    {"Tunnel", "ERSPANDirection", warn, kNoEffect},
    {"Tunnel", "ERSPANHardwareId", warn, kNoEffect},
    {"Tunnel", "FooOverUDP", refuse_if_on, "foo over UDP: hatsd-user cannot make such a tunnel"},
    {"Tunnel", "FOUDestinationPort", warn, "has no effect without FooOverUDP=yes"},
    {"Tunnel", "FOUSourcePort", warn, "has no effect without FooOverUDP=yes"},
    {"Tunnel", "Encapsulation", warn, "has no effect without FooOverUDP=yes"},
    {"Tunnel", "ISATAP", refuse_if_on, kNotMade},
    {"Tunnel", "IPv6RapidDeploymentPrefix", refuse, "6rd: hatsd-user cannot make such a tunnel"},
    {"Tunnel", "External", refuse_if_on, "metadata mode: hatsd-user cannot make such a tunnel"},
    {"WireGuard", "PrivateKey", read},
    {"WireGuard", "PrivateKeyFile", read},
    {"WireGuard", "ListenPort", read},
    {"WireGuard", "FirewallMark", read},
    {"WireGuard", "FwMark", read},
    {"WireGuard", "RouteTable", read},
    {"WireGuard", "RouteMetric", read},
    {"WireGuardPeer", "PublicKey", read},
    {"WireGuardPeer", "PublicKeyFile", read},
    {"WireGuardPeer", "PresharedKey", read},
    {"WireGuardPeer", "PresharedKeyFile", read},
    {"WireGuardPeer", "AllowedIPs", read},
    {"WireGuardPeer", "Endpoint", read},
    {"WireGuardPeer", "PersistentKeepalive", read},
    {"WireGuardPeer", "RouteTable", read},
    {"WireGuardPeer", "RouteMetric", read},
});

constexpr auto kNetworkRules = std::to_array<KeyRule>({
    {"Match", "Name", silent},  // asked before (networkd_match.hpp), as all of [Match]
    {"Match", "OriginalName", silent},
    {"Match", "Kind", silent},
    {"Match", "Type", silent},
    {"Match", "Driver", silent},
    {"Match", "Path", silent},
    {"Match", "MACAddress", silent},
    {"Match", "PermanentMACAddress", silent},
    {"Match", "Property", silent},
    {"Match", "SSID", silent},
    {"Match", "BSSID", silent},
    {"Match", "WLANInterfaceType", silent},
    {"Match", "Host", silent},
    {"Match", "Virtualization", silent},
    {"Match", "KernelCommandLine", silent},
    {"Match", "KernelVersion", silent},
    {"Match", "Credential", silent},
    {"Match", "Architecture", silent},
    {"Match", "Firmware", silent},

    {"Link", "MTUBytes", read},
    {"Link", "Unmanaged", read},
    {"Link", "ActivationPolicy", read},
    {"Link", "Group", refuse, kNeedsOther},
    {"Link", "MACAddress", silent},
    {"Link", "ARP", silent},
    {"Link", "Multicast", silent},
    {"Link", "AllMulticast", silent},
    {"Link", "Promiscuous", silent},
    {"Link", "RequiredForOnline", silent},
    {"Link", "RequiredFamilyForOnline", silent},

    {"Network", "Address", read},
    {"Network", "Gateway", read},
    {"Network", "DNS", read},
    {"Network", "Domains", read},
    {"Network", "DHCP", read},
    {"Network", "LinkLocalAddressing", read},
    {"Network", "IPv6AcceptRA", read},
    {"Network", "IPv6AcceptRouterAdvertisements", read},
    {"Network", "DefaultRouteOnDevice", read},
    {"Network", "Description", silent},
    {"Network", "ConfigureWithoutCarrier", silent},
    {"Network", "IgnoreCarrierLoss", silent},
    {"Network", "KeepConfiguration", silent},
    {"Network", "DNSDefaultRoute", silent},
    {"Network", "LLMNR", silent},
    {"Network", "MulticastDNS", silent},
    {"Network", "DNSOverTLS", silent},
    {"Network", "DNSSEC", silent},
    {"Network", "DNSSECNegativeTrustAnchors", silent},
    {"Network", "NTP", silent},
    {"Network", "LLDP", silent},
    {"Network", "EmitLLDP", silent},
    {"Network", "IPv6LinkLocalAddressGenerationMode", silent},
    {"Network", "IPv4LL", silent},
    {"Network", "IPv4LLRoute", silent},
    {"Network", "IPv4LLStartAddress", silent},
    {"Network", "IPv6StableSecretAddress", silent},
    {"Network", "IPv6PrivacyExtensions", silent},
    {"Network", "UseDomains", silent},
    {"Network", "Tunnel", silent},  // devices over this one, which have files of their own
    {"Network", "ActiveSlave", silent},
    {"Network", "PrimarySlave", silent},
    {"Network", "KeepMaster", silent},
    {"Network", "BindCarrier", warn, kLeftOut},
    {"Network", "DHCPServer", refuse_if_on, kNoService},
    {"Network", "IPv6SendRA", refuse_if_on, kNoService},
    {"Network", "IPv6PrefixDelegation", refuse_if_on, kNoService},
    {"Network", "DHCPPrefixDelegation", refuse_if_on, kNeedsOther},
    {"Network", "DHCPv6PrefixDelegation", refuse_if_on, kNeedsOther},
    {"Network", "IPv6Token", refuse, kNeedsOther},
    {"Network", "IPMasquerade", refuse_if_on,
     "hatsd-user makes no NAT rules; take the line out, and make them with nft or iptables"},
    {"Network", "VRF", refuse, kEnslaved},
    {"Network", "Bridge", refuse, kEnslaved},
    {"Network", "Bond", refuse, kEnslaved},
    {"Network", "BatmanAdvanced", refuse, kEnslaved},
    {"Network", "VLAN", warn, kStacked},
    {"Network", "MACVLAN", warn, kStacked},
    {"Network", "MACVTAP", warn, kStacked},
    {"Network", "IPVLAN", warn, kStacked},
    {"Network", "IPVTAP", warn, kStacked},
    {"Network", "IPoIB", warn, kStacked},
    {"Network", "L2TP", warn, kStacked},
    {"Network", "MACsec", warn, kStacked},
    {"Network", "VXLAN", warn, kStacked},
    {"Network", "Xfrm", warn, kStacked},
    {"Network", "IPForward", warn_if_on, kSysctl},
    {"Network", "IPv4Forwarding", warn, kSysctl},
    {"Network", "IPv6Forwarding", warn, kSysctl},
    {"Network", "IPv4ReversePathFilter", warn, kSysctl},
    {"Network", "IPv4AcceptLocal", warn, kSysctl},
    {"Network", "IPv4RouteLocalnet", warn, kSysctl},
    {"Network", "IPv4ProxyARP", warn_if_on, kSysctl},
    {"Network", "ProxyARP", warn_if_on, kSysctl},
    {"Network", "IPv4ProxyARPPrivateVLAN", warn_if_on, kSysctl},
    {"Network", "IPv6ProxyNDP", warn_if_on, kSysctl},
    {"Network", "IPv6ProxyNDPAddress", warn, kSysctl},
    {"Network", "IPv6DuplicateAddressDetection", warn, kSysctl},
    {"Network", "IPv6HopLimit", warn, kSysctl},
    {"Network", "IPv6RetransmissionTimeSec", warn, kSysctl},
    {"Network", "IPv6MTUBytes", warn, kSysctl},
    {"Network", "MPLSRouting", warn, kSysctl},

    {"Address", "Address", read},
    {"Address", "Peer", read},
    {"Address", "Label", read},
    {"Address", "Scope", read},
    {"Address", "PreferredLifetime", read},
    {"Address", "RouteMetric", read},
    {"Address", "AddPrefixRoute", read},
    {"Address", "PrefixRoute", read},
    {"Address", "DuplicateAddressDetection", read},
    {"Address", "Broadcast", warn_if_on, kNoEffect},
    {"Address", "HomeAddress", warn_if_on, kLeftOut},
    {"Address", "ManageTemporaryAddress", warn_if_on, kLeftOut},
    {"Address", "AutoJoin", warn_if_on, kLeftOut},
    {"Address", "NetLabel", warn, kLeftOut},
    {"Address", "NFTSet", warn, kLeftOut},

    {"Route", "Gateway", read},
    {"Route", "Destination", read},
    {"Route", "Source", read},
    {"Route", "Metric", read},
    {"Route", "Scope", read},
    {"Route", "PreferredSource", read},
    {"Route", "Table", read},
    {"Route", "MTUBytes", read},
    {"Route", "GatewayOnLink", read},
    {"Route", "GatewayOnlink", read},
    {"Route", "Type", read},
    {"Route", "TCPAdvertisedMaximumSegmentSize", read},
    {"Route", "MultiPathRoute", refuse, kNeedsOther},
    {"Route", "NextHop", refuse, kNeedsOther},
    {"Route", "Protocol", silent},
    {"Route", "IPv6Preference", warn, kLeftOut},
    {"Route", "InitialCongestionWindow", warn, kLeftOut},
    {"Route", "InitialAdvertisedReceiveWindow", warn, kLeftOut},
    {"Route", "QuickAck", warn_if_on, kLeftOut},
    {"Route", "FastOpenNoCookie", warn_if_on, kLeftOut},
    {"Route", "TTLPropagate", warn_if_on, kLeftOut},
    {"Route", "HopLimit", warn, kLeftOut},
    {"Route", "TCPCongestionControlAlgorithm", warn, kLeftOut},
    {"Route", "TCPRetransmissionTimeoutSec", warn, kLeftOut},

    {"RoutingPolicyRule", "", refuse,
     "hatsd-user makes no policy rules; take the section out, and make them with `ip rule`"},
    {"NextHop", "", refuse, kNeedsOther},
    {"Neighbor", "", warn, kNoEffect},
    {"IPv6AddressLabel", "", warn, kLeftOut},
    {"IPv6AcceptRA", "", warn, "is not applied: the kernel takes router advertisements by its own rules"},
    // Of services that are off, or refused where they are turned on, and of devices that are no tunnels.
    {"DHCP", "", silent},
    {"DHCPv4", "", silent},
    {"DHCPv6", "", silent},
    {"DHCPServer", "", silent},
    {"DHCPServerStaticLease", "", silent},
    {"DHCPPrefixDelegation", "", silent},
    {"DHCPv6PrefixDelegation", "", silent},
    {"IPv6SendRA", "", silent},
    {"IPv6PrefixDelegation", "", silent},
    {"IPv6Prefix", "", silent},
    {"IPv6RoutePrefix", "", silent},
    {"IPv6PREF64Prefix", "", silent},
    {"LLDP", "", silent},
    {"Bridge", "", silent},
    {"BridgeFDB", "", silent},
    {"BridgeMDB", "", silent},
    {"BridgeVLAN", "", silent},
    {"CAN", "", silent},
    {"IPoIB", "", silent},
    {"SR-IOV", "", silent},
    {"QDisc", "", warn, kLeftOut},
    {"BFIFO", "", warn, kLeftOut},
    {"CAKE", "", warn, kLeftOut},
    {"ControlledDelay", "", warn, kLeftOut},
    {"DeficitRoundRobinScheduler", "", warn, kLeftOut},
    {"DeficitRoundRobinSchedulerClass", "", warn, kLeftOut},
    {"EnhancedTransmissionSelection", "", warn, kLeftOut},
    {"FairQueueing", "", warn, kLeftOut},
    {"FairQueueingControlledDelay", "", warn, kLeftOut},
    {"FlowQueuePIE", "", warn, kLeftOut},
    {"GenericRandomEarlyDetection", "", warn, kLeftOut},
    {"HeavyHitterFilter", "", warn, kLeftOut},
    {"HierarchyTokenBucket", "", warn, kLeftOut},
    {"HierarchyTokenBucketClass", "", warn, kLeftOut},
    {"NetworkEmulator", "", warn, kLeftOut},
    {"PFIFO", "", warn, kLeftOut},
    {"PFIFOFast", "", warn, kLeftOut},
    {"PFIFOHeadDrop", "", warn, kLeftOut},
    {"PIE", "", warn, kLeftOut},
    {"QuickFairQueueing", "", warn, kLeftOut},
    {"QuickFairQueueingClass", "", warn, kLeftOut},
    {"StochasticFairBlue", "", warn, kLeftOut},
    {"StochasticFairnessQueueing", "", warn, kLeftOut},
    {"TokenBucketFilter", "", warn, kLeftOut},
    {"TrivialLinkEqualizer", "", warn, kLeftOut},
});

bool is_secret_key(std::string_view key) {
  return key == "PrivateKey" || key == "PresharedKey";
}

/// A key as messages repeat it: in full if it is one of ours, else only what cannot be a secret.
std::string shown_key(const std::string& key) {
  const bool known =
      std::ranges::find(kNetdevRules, std::string_view(key), &KeyRule::key) != kNetdevRules.end() ||
      std::ranges::find(kNetworkRules, std::string_view(key), &KeyRule::key) != kNetworkRules.end();
  return known ? key : printable_key(key);
}

const KeyRule* rule_of(std::span<const KeyRule> rules, const Assignment& at) {
  const KeyRule* of_section = nullptr;
  for (const KeyRule& rule : rules) {
    if (rule.section != at.section->name) continue;
    if (rule.key == at.key()) return &rule;
    if (rule.key.empty()) of_section = &rule;
  }
  return of_section;
}

void warn_of_unknown_key(std::span<const KeyRule> rules, const Assignment& at, Warnings& warnings) {
  if (at.key().starts_with("X-")) return;
  std::vector<std::string_view> keys, elsewhere;
  for (const KeyRule& rule : rules) {
    if (rule.section == at.section->name) keys.push_back(rule.key);
    if (rule.key == at.key()) elsewhere.push_back(rule.section);
  }
  std::string message = "unknown key in [" + printable_key(at.section->name) + "]";
  const std::string_view close = nearest(at.key(), keys);
  if (!close.empty()) {
    message += "; did you mean " + std::string(close) + "?";
  } else if (!elsewhere.empty()) {
    message += "; it belongs in [" + std::string(elsewhere.front()) + "]";
  }
  warnings.add(at, message + " It is skipped, as networkd does");
}

bool has_rules(std::span<const KeyRule> rules, std::string_view section) {
  return std::ranges::find(rules, section, &KeyRule::section) != rules.end();
}

/// The section that may have been meant, or "".
std::string_view nearest_section(std::span<const KeyRule> rules, std::string_view section) {
  std::vector<std::string_view> names;
  for (const KeyRule& rule : rules) names.push_back(rule.section);
  return nearest(section, names);
}

}  // namespace

std::unexpected<ConfigError> Assignment::fail(std::string message) const {
  return std::unexpected(ConfigError{entry->line, shown_key(entry->key), std::move(message), section->file});
}

void Warnings::add(const Assignment& at, std::string message) {
  add(at.section->file, at.entry->line, shown_key(at.key()), std::move(message));
}

void Warnings::add(std::string file, int line, std::string key, std::string message) {
  if (warnings_.size() >= kMaxWarnings) {
    ++left_out_;
    return;
  }
  warnings_.push_back({line, std::move(key), std::move(message), std::move(file)});
}

void Warnings::add(const std::vector<ConfigError>& others) {
  for (const ConfigError& other : others) add(other.file, other.line, other.key, other.message);
}

std::vector<ConfigError> Warnings::take() {
  if (left_out_ > 0) {
    warnings_.push_back(
        {1, "", "and " + std::to_string(left_out_) + " more warnings", warnings_.back().file});
  }
  left_out_ = 0;
  return std::move(warnings_);
}

std::span<const KeyRule> netdev_rules() noexcept {
  return kNetdevRules;
}

std::span<const KeyRule> network_rules() noexcept {
  return kNetworkRules;
}

ConfigResult<bool> is_to_be_read(std::span<const KeyRule> rules, const Assignment& at, Warnings& warnings) {
  const KeyRule* rule = rule_of(rules, at);
  if (rule == nullptr) {
    warn_of_unknown_key(rules, at, warnings);
    return false;
  }
  if (rule->treatment == silent) return false;
  if (const auto message = placeholder_message(at.value(), is_secret_key(at.key()))) return at.fail(*message);
  if (rule->treatment == read) return true;
  const bool conditional = rule->treatment == warn_if_on || rule->treatment == refuse_if_on;
  if (at.empty() || (conditional && networkd_boolean(at.value()) == false)) return false;
  if (rule->treatment == warn || rule->treatment == warn_if_on) {
    warnings.add(at, std::string(rule->why));
    return false;
  }
  return at.fail(std::string(rule->why));
}

ConfigError missing_key(const IniText& text, std::span<const KeyRule> rules, std::string_view section,
                        std::string key, const std::string& remedy, const std::string& file) {
  const std::string header = "[" + std::string(section) + "]";
  const std::string misspelt_key =
      "unknown key in " + header + "; did you mean " + key + "? Without it there is none";
  const auto is_it = [&](const IniSection& one) { return one.name == section; };
  const auto may_be_it = [&](const IniSection& one) {
    return !has_rules(rules, one.name) && nearest_section(rules, one.name) == section;
  };
  const std::array<std::string_view, 1> wanted{key};
  for (const IniSection& one : text.sections()) {
    if (one.name != section) continue;
    for (const IniEntry& entry : one.entries) {
      const bool known = rule_of(rules, {&one, &entry}) != nullptr;
      if (known || nearest(entry.key, wanted).empty()) continue;
      return {entry.line, printable_key(entry.key), misspelt_key, one.file};
    }
  }
  const auto found = std::ranges::find_if(text.sections(), is_it);
  if (found != text.sections().end()) {
    return {found->line, std::move(key), "is missing in " + header + "; " + remedy, found->file};
  }
  const auto misspelt = std::ranges::find_if(text.sections(), may_be_it);
  if (misspelt != text.sections().end()) {
    return {misspelt->line, "",
            "unknown section [" + printable_key(misspelt->name) + "]; did you mean " + header +
                "? Without it there is no " + key,
            misspelt->file};
  }
  return {1, std::move(key), "is missing, as there is no section " + header + "; " + remedy, file};
}

bool is_known_section(std::span<const KeyRule> rules, const IniSection& section, Warnings& warnings) {
  if (has_rules(rules, section.name)) return true;
  if (section.name.starts_with("X-")) return false;
  const std::string_view close = nearest_section(rules, section.name);
  warnings.add(section.file, section.line, "",
               "unknown section [" + printable_key(section.name) + "]" +
                   (close.empty() ? ";" : "; did you mean [" + std::string(close) + "]?") +
                   " It is skipped, as networkd does");
  return false;
}

}  // namespace hats::config
