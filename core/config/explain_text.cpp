#include "core/config/explain_text.hpp"

#include <algorithm>

namespace hats::config {
namespace {

constexpr size_t kListedItems = 16;  // the rest are counted
constexpr size_t kLabelWidth = 16;   // columns

/// RTN_* of linux/rtnetlink.h, for those that are not unicast.
const char* type_text(uint8_t type) {
  switch (type) {
    case 2:
      return "local ";
    case 6:
      return "blackhole ";
    case 7:
      return "unreachable ";
    case 8:
      return "prohibit ";
    case 9:
      return "throw ";
    default:
      return "";
  }
}

std::string route_text(const InterfaceRoute& route) {
  std::string out = type_text(route.type);
  out +=
      route.destination.length == 0
          ? std::string(route.destination.address.family == Family::v6 ? "default (IPv6)" : "default (IPv4)")
          : route.destination.text();
  if (route.source) out += " from " + route.source->text();
  if (route.gateway) out += " via " + route.gateway->text() + (route.on_link ? " onlink" : "");
  if (route.preferred_source) out += " src " + route.preferred_source->text();
  if (route.metric) out += " metric " + std::to_string(*route.metric);
  if (route.mtu) out += " mtu " + std::to_string(*route.mtu);
  if (route.advertised_mss) out += " advmss " + std::to_string(*route.advertised_mss);
  if (!route.table.empty()) out += " table " + route.table;
  return out;
}

}  // namespace

void ExplainLines::add(std::string_view label, const std::string& text) {
  std::string padded(label);
  padded.resize(std::max(kLabelWidth, padded.size() + 1), ' ');
  lines_.push_back("  " + padded + text);
}

void ExplainLines::list(const char* heading, const std::vector<std::string>& items) {
  if (items.empty()) return;
  head(heading);
  for (const std::string& text : items) item(text);
}

void ExplainLines::routes(const InterfaceConfig& config) {
  if (config.addresses_elsewhere) return;
  head("routes");
  if (config.routes.empty()) item("those of its addresses alone; set others yourself or with BIRD or FRR");
  for (const InterfaceRoute& route : config.routes) item(route_text(route));
}

std::string listed(const std::vector<std::string>& items) {
  std::string out;
  for (size_t i = 0; i < std::min(items.size(), kListedItems); ++i) out += (i == 0 ? "" : ", ") + items[i];
  if (items.size() > kListedItems) out += " and " + std::to_string(items.size() - kListedItems) + " more";
  return out;
}

std::string addresses_line(const InterfaceConfig& config) {
  if (config.addresses_elsewhere) return "by systemd-networkd, which runs here";
  std::vector<std::string> texts;
  texts.reserve(config.addresses.size());
  for (const InterfaceAddress& address : config.addresses)
    texts.push_back(address.prefix.text() + (address.peer ? " peer " + address.peer->text() : ""));
  return texts.empty() ? "none" : listed(texts);
}

std::vector<std::string> warning_texts(const InterfaceConfig& config, const ExplainFacts& facts) {
  std::vector<std::string> out;
  out.reserve(config.warnings.size());
  for (const ConfigError& warning : config.warnings) out.push_back(warning.text(facts.file));
  return out;
}

}  // namespace hats::config
