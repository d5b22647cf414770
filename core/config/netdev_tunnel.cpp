// [Tunnel] of a .netdev (formats.md 2.4).
#include <algorithm>
#include <array>

#include "core/config/faults.hpp"
#include "core/config/netdev_sections.hpp"
#include "core/config/networkd_values.hpp"
#include "core/config/text.hpp"

namespace hats::config {
namespace {

constexpr uint8_t kIp6greTtl = 64;  // networkd's default for kinds over IPv6; 0 for the others
constexpr uint32_t kLargestFlowLabel = 0xFFFFF;

class TunnelReader {
 public:
  TunnelReader(std::string_view kind, const std::string& file, Warnings& warnings)
      : kind_(kind), file_(file), warnings_(warnings) {}
  ConfigResult<TunnelSpec> read(const IniText& text);

 private:
  using Done = ConfigResult<void>;
  using Read = Done (TunnelReader::*)(const Assignment&);
  struct Handler {
    std::string_view key;
    Read read;
  };
  static const std::array<Handler, 13> kHandlers;

  Done read_key(const Assignment& at);
  Done read_end(const Assignment& at);
  Done read_ttl(const Assignment& at);
  Done read_tos(const Assignment& at);
  Done read_boolean(const Assignment& at);
  Done read_tunnel_key(const Assignment& at);
  Done read_flow_label(const Assignment& at);
  Done read_encapsulation_limit(const Assignment& at);

  Done check_ends(const IniText& text) const;
  Done check_family(const Assignment& at, Family family) const;
  Done apply(TunnelSpec& spec);
  Done apply_fragmentation(encap::TunnelConfig& tunnel);
  void fragment_as_kernel(encap::TunnelConfig& tunnel);
  void apply_gre(encap::TunnelConfig& tunnel, bool real_ip6gre);
  void without_effect(std::string_view key);

  std::string_view kind_;
  const std::string& file_;
  Warnings& warnings_;
  int section_line_ = 0;  // of the first [Tunnel]; 0: there is none
  std::string section_file_;

  // Keyed by the key's name: what the last assignment says, and where.
  std::map<std::string_view, Assignment> where_;
  std::map<std::string_view, bool> booleans_;
  std::map<std::string_view, uint32_t> keys_;
  IpAddress local_, remote_;  // unset: any
  std::optional<uint8_t> ttl_;
  uint8_t tos_ = 0;
  uint32_t flow_label_ = 0;
  bool flow_label_inherit_ = false;
  std::optional<uint8_t> encapsulation_limit_ = 4;
};

const std::array<TunnelReader::Handler, 13> TunnelReader::kHandlers = {{
    {"Local", &TunnelReader::read_end},
    {"Remote", &TunnelReader::read_end},
    {"TTL", &TunnelReader::read_ttl},
    {"TOS", &TunnelReader::read_tos},
    {"DiscoverPathMTU", &TunnelReader::read_boolean},
    {"IgnoreDontFragment", &TunnelReader::read_boolean},
    {"SerializeTunneledPackets", &TunnelReader::read_boolean},
    {"AssignToLoopback", &TunnelReader::read_boolean},
    {"Key", &TunnelReader::read_tunnel_key},
    {"InputKey", &TunnelReader::read_tunnel_key},
    {"OutputKey", &TunnelReader::read_tunnel_key},
    {"IPv6FlowLabel", &TunnelReader::read_flow_label},
    {"EncapsulationLimit", &TunnelReader::read_encapsulation_limit},
}};

ConfigResult<TunnelSpec> TunnelReader::read(const IniText& text) {
  section_file_ = file_;
  Faults faults;
  for (const IniSection& section : text.sections()) {
    if (section.name != "Tunnel") continue;
    if (section_line_ == 0) {
      section_line_ = section.line;
      section_file_ = section.file;
    }
    for (const IniEntry& entry : section.entries) {
      const Assignment at{&section, &entry};
      const auto wanted = is_to_be_read(netdev_rules(), at, warnings_);
      if (faults.passed(wanted) && *wanted) faults.passed(read_key(at));
    }
  }
  if (!faults.any()) faults.passed(check_ends(text));
  if (auto done = faults.result(); !done) return std::unexpected(done.error());
  TunnelSpec spec;
  spec.mode = kind_;
  spec.line = section_line_;
  spec.file = section_file_;
  if (auto done = apply(spec); !done) return std::unexpected(done.error());
  return spec;
}

TunnelReader::Done TunnelReader::read_key(const Assignment& at) {
  const auto* handler = std::ranges::find(kHandlers, std::string_view(at.key()), &Handler::key);
  if (handler == kHandlers.end()) return {};
  where_.insert_or_assign(handler->key, at);
  return (this->*handler->read)(at);
}

/// An address; `any`, an address of zeros and nothing stand for none.
TunnelReader::Done TunnelReader::read_end(const Assignment& at) {
  constexpr auto kLookedUp =
      std::to_array<std::string_view>({"ipv4_link_local", "ipv6_link_local", "dhcp4", "dhcp6", "slaac"});
  const bool is_local = at.key() == "Local";
  IpAddress& end = is_local ? local_ : remote_;
  end = {};
  if (at.empty() || at.value() == "any") return {};
  if (std::ranges::find(kLookedUp, std::string_view(at.value())) != kLookedUp.end()) {
    return at.fail(quoted(at.value()) +
                   " asks networkd for an address that it gave to another interface; write " +
                   (is_local ? "the address itself, or any" : "the address itself"));
  }
  const auto address = parse_plain_address(at.value());
  if (!address) return at.fail(address.error());
  if (*address == IpAddress{address->family, {}}) return {};
  const uint8_t first = address->bytes[0];
  const bool multicast = address->family == Family::v4 ? first >= 224 : first == 0xFF;
  if (multicast) return at.fail(quoted(at.value()) + " is not the address of one host");
  end = *address;
  return {};
}

TunnelReader::Done TunnelReader::read_ttl(const Assignment& at) {
  ttl_.reset();
  if (at.empty()) return {};
  if (at.value() == "inherit" && kind_ != "ip6gre") {
    warnings_.add(at, "networkd knows no 'inherit' here, but has 0, which is the same; taken as 0");
    return {};
  }
  const auto ttl = parse_number(at.value(), "a TTL", 0, 255);
  if (!ttl) return at.fail(ttl.error() + ", 0 copies that of the inner packet");
  ttl_ = static_cast<uint8_t>(*ttl);
  return {};
}

TunnelReader::Done TunnelReader::read_tos(const Assignment& at) {
  tos_ = 0;
  if (at.empty()) return {};
  const auto tos = parse_number(at.value(), "a TOS", 0, 255);
  if (!tos) return at.fail(tos.error() + ", 1 copies that of the inner packet");
  tos_ = static_cast<uint8_t>(*tos);
  return {};
}

TunnelReader::Done TunnelReader::read_boolean(const Assignment& at) {
  booleans_.erase(at.key());
  if (at.empty()) return {};
  const auto value = parse_networkd_boolean(at.value());
  if (!value) return at.fail(value.error());
  booleans_[at.entry->key] = *value;
  return {};
}

TunnelReader::Done TunnelReader::read_tunnel_key(const Assignment& at) {
  keys_.erase(at.key());
  if (at.empty()) return {};
  const auto key = parse_networkd_tunnel_key(at.value());
  if (!key) return at.fail(key.error());
  if (*key == 0) {
    warnings_.add(at, "is 0, which networkd takes as no key");
    return {};
  }
  keys_[at.entry->key] = *key;
  return {};
}

TunnelReader::Done TunnelReader::read_flow_label(const Assignment& at) {
  flow_label_ = 0;
  flow_label_inherit_ = at.value() == "inherit";
  if (at.empty() || flow_label_inherit_) return {};
  const auto label = parse_number(at.value(), "a flow label", 0, kLargestFlowLabel);
  if (!label) return at.fail(label.error() + ", or inherit");
  flow_label_ = *label;
  return {};
}

TunnelReader::Done TunnelReader::read_encapsulation_limit(const Assignment& at) {
  encapsulation_limit_ = 4;
  if (at.empty()) return {};
  if (at.value() == "none") {
    encapsulation_limit_.reset();
    return {};
  }
  const auto limit = parse_number(at.value(), "an encapsulation limit", 0, 255);
  if (!limit) return at.fail(limit.error() + ", or none");
  encapsulation_limit_ = static_cast<uint8_t>(*limit);
  return {};
}

// ---- The whole ----

TunnelReader::Done TunnelReader::check_ends(const IniText& text) const {
  if (!remote_.is_set()) {
    const auto at = where_.find("Remote");
    const std::string remedy =
        "write the address of the other end (a tunnel to several ends cannot be made here)";
    if (at != where_.end()) return at->second.fail("is missing; " + remedy);
    return std::unexpected(missing_key(text, netdev_rules(), "Tunnel", "Remote", remedy, file_));
  }
  if (local_.is_set() && local_.family != remote_.family) {
    const Assignment& a = where_.at("Local");
    const Assignment& b = where_.at("Remote");
    // networkd goes on without the later of the two; that would be another tunnel.
    const bool local_later = a.section == b.section ? a.entry > b.entry : a.section > b.section;
    return (local_later ? a : b).fail("Local and Remote must both be IPv4 or both IPv6");
  }
  return check_family(where_.at("Remote"), remote_.family);
}

TunnelReader::Done TunnelReader::check_family(const Assignment& at, Family family) const {
  if (family == Family::v4 || kind_ == "ip6gre") return {};
  std::string message = "Kind=" + std::string(kind_) + " runs over IPv4, and this is an IPv6 address";
  if (kind_ == "gre") message += "; GRE over IPv6 is Kind = ip6gre";
  return at.fail(message);
}

void TunnelReader::without_effect(std::string_view key) {
  const auto at = where_.find(key);
  if (at == where_.end() || at->second.empty()) return;
  const auto boolean = booleans_.find(key);
  if (boolean != booleans_.end() && !boolean->second) return;
  warnings_.add(at->second, "has no effect for Kind=" + std::string(kind_) + ", in networkd as here");
}

TunnelReader::Done TunnelReader::apply(TunnelSpec& spec) {
  encap::TunnelConfig& tunnel = spec.tunnel;
  tunnel.kind = kind_ == "sit" ? encap::Kind::sit : kind_ == "ipip" ? encap::Kind::ipip : encap::Kind::gre;
  tunnel.local = local_;
  tunnel.remote = remote_;
  tunnel.ttl = ttl_.value_or(kind_ == "ip6gre" ? kIp6greTtl : 0);
  if (booleans_["AssignToLoopback"]) spec.underlay = "lo";
  const bool over_v6 = remote_.family == Family::v6;
  if (kind_ == "ip6gre" && !over_v6) {
    warnings_.add(where_.at("Remote"), "ip6gre with IPv4 endpoints taken as GRE over IPv4");
  }
  if (over_v6) {
    tunnel.flow_label = flow_label_;
    tunnel.flow_label_inherit = flow_label_inherit_;
    tunnel.encapsulation_limit = encapsulation_limit_;
    for (const char* key : {"TOS", "DiscoverPathMTU", "IgnoreDontFragment"}) without_effect(key);
  } else {
    // Bit 0, in the kernel's words: copy the inner field.
    tunnel.tos_inherit = (tos_ & 1) != 0;
    tunnel.tos = tos_ & 0xFE;
    for (const char* key : {"IPv6FlowLabel", "EncapsulationLimit"}) without_effect(key);
    if (auto done = apply_fragmentation(tunnel); !done) return done;
  }
  if (tunnel.kind == encap::Kind::gre) {
    apply_gre(tunnel, over_v6);
  } else {
    for (const char* key : {"Key", "InputKey", "OutputKey", "SerializeTunneledPackets"}) without_effect(key);
  }
  return {};
}

TunnelReader::Done TunnelReader::apply_fragmentation(encap::TunnelConfig& tunnel) {
  const auto flag = [this](std::string_view key) -> std::optional<bool> {
    const auto found = booleans_.find(key);
    return found == booleans_.end() ? std::nullopt : std::optional(found->second);
  };
  tunnel.ignore_df = flag("IgnoreDontFragment").value_or(false);
  tunnel.path_mtu_discovery = flag("DiscoverPathMTU").value_or(!tunnel.ignore_df);
  if (tunnel.ignore_df && tunnel.path_mtu_discovery) {
    return where_.at("IgnoreDontFragment")
        .fail("cannot be together with DiscoverPathMTU=yes; take one of the two out");
  }
  if (tunnel.kind != encap::Kind::gre) fragment_as_kernel(tunnel);
  return {};
}

/// networkd hands its words over by netlink, where the kernel's sit and ipip know no ignore-df, and set DF
/// with every fixed TTL, whatever is said of discovery; its gre does not.
void TunnelReader::fragment_as_kernel(encap::TunnelConfig& tunnel) {
  const std::string of_kind = "Kind=" + std::string(kind_);
  const bool df_stays = tunnel.ttl != 0 && !tunnel.path_mtu_discovery;
  if (df_stays) tunnel.path_mtu_discovery = true;
  if (df_stays && booleans_.contains("DiscoverPathMTU")) {
    warnings_.add(
        where_.at("DiscoverPathMTU"),
        "has no effect for " + of_kind +
            " with a fixed TTL: DF stays set on outer packets, as with the kernel's; TTL=0 lifts it");
  }
  if (tunnel.ignore_df) {
    warnings_.add(where_.at("IgnoreDontFragment"),
                  df_stays ? "has no effect for " + of_kind +
                                 " with a fixed TTL: DF stays set on outer packets, as with the kernel's"
                           : "is no more than DiscoverPathMTU=no for " + of_kind + ", as with the kernel's");
  }
  tunnel.ignore_df = false;
}

void TunnelReader::apply_gre(encap::TunnelConfig& tunnel, bool real_ip6gre) {
  const auto key = [this](std::string_view name) -> std::optional<uint32_t> {
    const auto found = keys_.find(name);
    return found == keys_.end() ? std::nullopt : std::optional(found->second);
  };
  tunnel.in_key = key("InputKey") ? key("InputKey") : key("Key");
  tunnel.out_key = key("OutputKey") ? key("OutputKey") : key("Key");
  if (real_ip6gre) {
    without_effect("SerializeTunneledPackets");
    return;
  }
  tunnel.in_sequence = tunnel.out_sequence = booleans_["SerializeTunneledPackets"];
}

}  // namespace

ConfigResult<TunnelSpec> read_tunnel(const IniText& text, std::string_view kind, const std::string& file,
                                     Warnings& warnings) {
  return TunnelReader(kind, file, warnings).read(text);
}

}  // namespace hats::config
