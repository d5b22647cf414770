#include "tools/hatsd-user/control/tunnel_json.hpp"

#include <string>

namespace hats::app {

using nlohmann::json;

namespace {

json optional_number(const auto& value) {
  return value ? json(*value) : json();
}

template <typename T>
T number(const json& from, const char* name, T otherwise) {
  const auto found = from.find(name);
  return found != from.end() && found->is_number_unsigned() ? static_cast<T>(found->get<uint64_t>())
                                                            : otherwise;
}

template <typename T>
std::optional<T> maybe_number(const json& from, const char* name) {
  const auto found = from.find(name);
  if (found == from.end() || !found->is_number_unsigned()) return std::nullopt;
  return static_cast<T>(found->get<uint64_t>());
}

bool flag(const json& from, const char* name, bool otherwise) {
  const auto found = from.find(name);
  return found != from.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

std::string text(const json& from, const char* name) {
  const auto found = from.find(name);
  return found != from.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

const char* kind_name(encap::Kind kind) noexcept {
  switch (kind) {
    case encap::Kind::sit:
      return "sit";
    case encap::Kind::ipip:
      return "ipip";
    case encap::Kind::gre:
      break;
  }
  return "gre";
}

json tunnel_to_json(const encap::TunnelConfig& t) {
  return {{"kind", kind_name(t.kind)},
          {"local", t.local.text()},
          {"remote", t.remote.text()},
          {"underlay", t.underlay},
          {"ttl", t.ttl},
          {"tos", t.tos},
          {"tos_inherit", t.tos_inherit},
          {"path_mtu_discovery", t.path_mtu_discovery},
          {"ignore_df", t.ignore_df},
          {"in_key", optional_number(t.in_key)},
          {"out_key", optional_number(t.out_key)},
          {"in_checksum", t.in_checksum},
          {"out_checksum", t.out_checksum},
          {"in_sequence", t.in_sequence},
          {"out_sequence", t.out_sequence},
          {"encapsulation_limit", optional_number(t.encapsulation_limit)},
          {"flow_label", t.flow_label},
          {"flow_label_inherit", t.flow_label_inherit},
          {"dscp_inherit", t.dscp_inherit},
          {"allow_local_remote", t.allow_local_remote},
          {"keepalive_interval", t.keepalive.interval_s},
          {"keepalive_retries", t.keepalive.retries}};
}

encap::TunnelConfig tunnel_from_json(const json& j) {
  encap::TunnelConfig t;
  if (!j.is_object()) return t;
  const std::string kind = text(j, "kind");
  t.kind = kind == "sit" ? encap::Kind::sit : kind == "ipip" ? encap::Kind::ipip : encap::Kind::gre;
  t.local = IpAddress::parse(text(j, "local")).value_or(IpAddress{});
  t.remote = IpAddress::parse(text(j, "remote")).value_or(IpAddress{});
  t.underlay = number<uint32_t>(j, "underlay", 0);
  t.ttl = number<uint8_t>(j, "ttl", 0);
  t.tos = number<uint8_t>(j, "tos", 0);
  t.tos_inherit = flag(j, "tos_inherit", false);
  t.path_mtu_discovery = flag(j, "path_mtu_discovery", true);
  t.ignore_df = flag(j, "ignore_df", false);
  t.in_key = maybe_number<uint32_t>(j, "in_key");
  t.out_key = maybe_number<uint32_t>(j, "out_key");
  t.in_checksum = flag(j, "in_checksum", false);
  t.out_checksum = flag(j, "out_checksum", false);
  t.in_sequence = flag(j, "in_sequence", false);
  t.out_sequence = flag(j, "out_sequence", false);
  t.encapsulation_limit = maybe_number<uint8_t>(j, "encapsulation_limit");
  t.flow_label = number<uint32_t>(j, "flow_label", 0);
  t.flow_label_inherit = flag(j, "flow_label_inherit", false);
  t.dscp_inherit = flag(j, "dscp_inherit", false);
  t.allow_local_remote = flag(j, "allow_local_remote", false);
  t.keepalive = {.interval_s = number<uint32_t>(j, "keepalive_interval", 0),
                 .retries = number<uint32_t>(j, "keepalive_retries", 0)};
  return t;
}

}  // namespace hats::app
