#include "tools/hatsd-user/daemon/interface_file.hpp"

#include <array>
#include <sstream>
#include <utility>

#include "core/config/ip_tunnel.hpp"
#include "core/config/netdev.hpp"
#include "core/config/netplan.hpp"
#include "core/config/wg_quick.hpp"
#include "crypto/secret.hpp"
#include "tools/hatsd-user/quick/dsfield_file.hpp"
#include "tools/hatsd-user/quick/file_guard.hpp"
#include "tools/hatsd-user/quick/rt_tables.hpp"
#include "tools/hatsd-user/quick/service_port.hpp"

namespace hats::app {

using nlohmann::json;

namespace {

void wipe_texts(std::vector<config::SourceText>& texts) noexcept {
  for (config::SourceText& one : texts) {
    crypto::wipe({reinterpret_cast<uint8_t*>(one.text.data()), one.text.size()});
  }
}

json texts_to_json(std::span<const config::SourceText> texts) {
  json out = json::array();
  for (const config::SourceText& one : texts) out.push_back({{"path", one.path}, {"text", one.text}});
  return out;
}

std::vector<config::SourceText> texts_from_json(const json& from, const char* name) {
  std::vector<config::SourceText> out;
  const auto found = from.find(name);
  if (found == from.end() || !found->is_array()) return out;
  for (const json& one : *found) {
    if (one.is_object()) out.push_back({.path = one.value("path", ""), .text = one.value("text", "")});
  }
  return out;
}

constexpr std::array kHostFacts = {std::pair{"host_name", &config::HostFacts::host_name},
                                   std::pair{"machine_id", &config::HostFacts::machine_id},
                                   std::pair{"architecture", &config::HostFacts::architecture},
                                   std::pair{"kernel_release", &config::HostFacts::kernel_release},
                                   std::pair{"kernel_command_line", &config::HostFacts::kernel_command_line}};

json networkd_to_json(const config::NetworkdSources& from) {
  json keys = json::array();
  for (const auto& key : from.key_files) {
    keys.push_back({{"path", key.path}, {"text", key.text}, {"fault", key.fault}});
  }
  json host = json::object();
  for (const auto& [name, fact] : kHostFacts) {
    if (from.host.*fact) host[name] = *(from.host.*fact);
  }
  return {{"netdev", texts_to_json(from.netdev)},
          {"network", texts_to_json(from.network)},
          {"key_files", std::move(keys)},
          {"host", std::move(host)},
          {"networkd_takes_link", from.networkd_takes_link}};
}

config::NetworkdSources networkd_from_json(const json& from) {
  config::NetworkdSources out;
  out.netdev = texts_from_json(from, "netdev");
  out.network = texts_from_json(from, "network");
  if (const auto keys = from.find("key_files"); keys != from.end()) {
    for (const json& key : *keys) {
      out.key_files.push_back(
          {.path = key.value("path", ""), .text = key.value("text", ""), .fault = key.value("fault", "")});
    }
  }
  if (const auto host = from.find("host"); host != from.end()) {
    for (const auto& [name, fact] : kHostFacts) {
      if (host->contains(name)) out.host.*fact = host->value(name, "");
    }
  }
  out.networkd_takes_link = from.value("networkd_takes_link", false);
  return out;
}

/// In words there are no lines.
ConfigResult<config::InterfaceConfig> parse_words(const std::string& text) {
  const auto command = config::parse_ip_tunnel(split_words(text), dsfield_names());
  if (!command) return std::unexpected(ConfigError{.key = {}, .message = command.error()});
  auto config = config::interface_config(*command);
  if (!config) return std::unexpected(ConfigError{.key = {}, .message = config.error()});
  return std::move(*config);
}

ConfigResult<config::InterfaceConfig> parse(const InterfaceSources& sources, const std::string& name) {
  using config::Format;
  switch (sources.format) {
    case Format::networkd:
      return config::parse_networkd(sources.networkd);
    case Format::netplan:
      return config::parse_netplan(sources.files.all(), name, sources.key_files);
    case Format::ip_tunnel:
      return parse_words(sources.files.front().text);
    case Format::wg_quick:
      break;
  }
  return config::parse_wg_quick(sources.files.front().text);
}

/// Such a route is no interface's: it would stay behind.
std::optional<ConfigError> route_fault(const config::InterfaceConfig& config) {
  constexpr uint8_t kUnicast = 1;
  for (const config::InterfaceRoute& route : config.routes) {
    if (route.type == kUnicast) continue;
    return ConfigError{
        route.line, "Type",
        "a route that leads nowhere belongs to no interface: put it where the routes of the host are "
        "(a tunnel's own routes are unicast)",
        route.file};
  }
  return std::nullopt;
}

/// Names that this host does not know: of a service, of routing tables.
std::optional<ConfigError> name_fault(const config::InterfaceConfig& config) {
  if (!config.listen_service.empty() && !service_port(config.listen_service)) {
    return ConfigError{
        config.listen_port_line, "ListenPort",
        "'" + config.listen_service +
            "' is no service that this host knows; a port is a number, 0 to 65535, or a name in "
            "/etc/services"};
  }
  const config::RouteTable& table = config.table;
  if (table.kind == config::RouteTable::Kind::table && !routing_table(table.table)) {
    return ConfigError{table.line, "Table",
                       "'" + table.table +
                           "' is no routing table: auto, off, a number from 1 to 4294967295, or a name in "
                           "/etc/iproute2/rt_tables"};
  }
  return std::nullopt;
}

}  // namespace

SharedTexts::SharedTexts(std::vector<config::SourceText> texts)
    : texts_(new std::vector<config::SourceText>(std::move(texts)),
             [](std::vector<config::SourceText>* last) {
               wipe_texts(*last);
               delete last;
             }) {}

void InterfaceSources::wipe() noexcept {
  files.reset();
  wipe_texts(key_files);
  networkd.wipe();
}

InterfaceSources words_as_sources(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += word + '\n';
  std::vector<config::SourceText> texts;
  texts.push_back({.path = {}, .text = std::move(out)});
  InterfaceSources sources;
  sources.format = config::Format::ip_tunnel;
  sources.files = std::move(texts);
  return sources;
}

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string word; std::getline(lines, word);) out.push_back(word);
  return out;
}

json sources_to_json(const InterfaceSources& sources) {
  return {{"format", static_cast<int>(sources.format)},
          {"files", texts_to_json(sources.files.all())},
          {"key_files", texts_to_json(sources.key_files)},
          {"networkd", networkd_to_json(sources.networkd)}};
}

InterfaceSources sources_from_json(const json& from) {
  InterfaceSources out;
  if (!from.is_object()) return out;
  out.format = static_cast<config::Format>(from.value("format", 0));
  out.files = texts_from_json(from, "files");
  out.key_files = texts_from_json(from, "key_files");
  if (from.contains("networkd")) out.networkd = networkd_from_json(from["networkd"]);
  return out;
}

std::vector<std::string> InterfaceFile::secret_paths() const {
  std::vector<std::string> out;
  if (config.tunnel) return out;
  for (const auto& one : sources.files.all()) out.push_back(one.path);
  for (const auto& one : sources.key_files) out.push_back(one.path);
  return out;
}

std::vector<std::string> InterfaceFile::warnings() const {
  std::vector<std::string> out;
  for (const std::string& secret : secret_paths()) {
    for (std::string& warning : file_guard(secret)) out.push_back(std::move(warning));
  }
  for (const ConfigError& warning : config.warnings) out.push_back(warning.text(path));
  return out;
}

AppResult<InterfaceFile> parse_interface_file(std::string name, std::string path, std::string found,
                                              InterfaceSources sources) {
  if (sources.files.empty() && sources.networkd.netdev.empty()) return fail(name + ": no configuration");
  auto config = parse(sources, name);
  return parsed_interface_file(std::move(name), std::move(path), std::move(found), std::move(sources),
                               std::move(config));
}

AppResult<InterfaceFile> parsed_interface_file(std::string name, std::string path, std::string found,
                                               InterfaceSources sources,
                                               ConfigResult<config::InterfaceConfig> config) {
  if (!config) return fail(config.error().texts(path), kExitUsage);
  if (const auto fault = route_fault(*config)) return fail(fault->text(path), kExitUsage);
  if (const auto fault = name_fault(*config)) return fail(fault->text(path), kExitUsage);
  return InterfaceFile{.name = std::move(name),
                       .path = std::move(path),
                       .found = std::move(found),
                       .sources = std::move(sources),
                       .config = std::move(*config)};
}

}  // namespace hats::app
