// systemd-networkd's files: any text is parsed or refused, an error names a file and a line of it, no message
// repeats what cannot be printed, and what was parsed keeps the laws of its value. A line of "%%" parts the
// .netdev from its drop-in, from the .network, and from the text of a key file.
#include <algorithm>
#include <array>
#include <string>

#include "core/config/netdev.hpp"
#include "core/config/network.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace hats;

void check_message(const config::NetworkdSources& sources, const ConfigError& error) {
  HATS_FUZZ_CHECK(!error.message.empty());
  const std::string shown = error.text("F");
  HATS_FUZZ_CHECK(std::ranges::all_of(shown, [](char c) { return c >= ' ' && c <= '~'; }));
  bool found = false;
  for (const auto* texts : {&sources.netdev, &sources.network}) {
    for (const config::SourceText& source : *texts) {
      if (source.path != error.file) continue;
      found = true;
      HATS_FUZZ_CHECK(error.line >= 1);
      HATS_FUZZ_CHECK(error.line <= std::ranges::count(source.text, '\n') + 1);
    }
  }
  HATS_FUZZ_CHECK(found);
  for (const ConfigError& other : error.more) check_message(sources, other);
}

void check_value(const config::InterfaceConfig& config) {
  HATS_FUZZ_CHECK(config.format == config::Format::networkd);
  HATS_FUZZ_CHECK(config.tunnel.has_value() != config.private_key.has_value());
  HATS_FUZZ_CHECK(!config.mtu || (*config.mtu >= 68 && *config.mtu <= 65'535));
  if (config.tunnel) {
    const encap::TunnelConfig& tunnel = config.tunnel->tunnel;
    HATS_FUZZ_CHECK(tunnel.remote.is_set());
    HATS_FUZZ_CHECK(!tunnel.local.is_set() || tunnel.local.family == tunnel.remote.family);
    HATS_FUZZ_CHECK(tunnel.kind == encap::Kind::gre || tunnel.outer() == Family::v4);
    HATS_FUZZ_CHECK(tunnel.flow_label <= 0xFFFFF);
    HATS_FUZZ_CHECK(config.peers.empty());
  }
  for (const config::InterfaceAddress& address : config.addresses) {
    HATS_FUZZ_CHECK(address.prefix.length <= address.prefix.address.bit_count());
    HATS_FUZZ_CHECK(!address.peer || address.peer->family == address.prefix.address.family);
  }
  for (const config::InterfaceRoute& route : config.routes) {
    const Family family = route.destination.address.family;
    HATS_FUZZ_CHECK(family != Family::none);
    HATS_FUZZ_CHECK(route.destination == route.destination.masked());
    HATS_FUZZ_CHECK(!route.gateway || route.gateway->family == family);
    HATS_FUZZ_CHECK(route.line >= 1 && !route.file.empty());
  }
  HATS_FUZZ_CHECK(config.device_update().peers.size() == config.peers.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string, 4> parts;
  for (std::string& part : parts) {
    const size_t end = rest.find("\n%%\n");
    part = rest.substr(0, end);
    rest = end == std::string::npos ? "" : rest.substr(end + 4);
  }
  config::NetworkdSources sources;
  sources.netdev = {{"a.netdev", parts[0]}};
  if (!parts[1].empty()) sources.netdev.push_back({"a.netdev.d/b.conf", parts[1]});
  if (!parts[2].empty()) sources.network = {{"a.network", parts[2]}};
  for (const std::string& path : config::key_files_of(sources.netdev)) {
    sources.key_files.push_back({path, parts[3], ""});
  }
  sources.host = {.host_name = "h",
                  .machine_id = "m",
                  .architecture = "x86_64",
                  .kernel_release = "6.1.0",
                  .kernel_command_line = "quiet root=/dev/vda"};
  (void)config::netdev_name(parts[0]);
  (void)config::network_matches(sources.network, "a", "gre", sources.host);
  for (const bool runs : {false, true}) {
    sources.networkd_takes_link = runs;
    const auto config = config::parse_networkd(sources);
    if (!config) {
      check_message(sources, config.error());
      continue;
    }
    for (const ConfigError& warning : config->warnings) check_message(sources, warning);
    check_value(*config);
  }
  return 0;
}
