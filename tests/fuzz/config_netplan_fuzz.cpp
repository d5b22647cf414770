// netplan's files: any text is parsed or refused, an error names a line of one of the texts, key files that
// are asked for are enough, and a file given twice comes to what it comes to once.
#include <algorithm>
#include <string>
#include <vector>

#include "core/config/explain.hpp"
#include "core/config/netplan.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace hats;
using Sources = std::vector<config::SourceText>;

const std::string kKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

void check_error(const Sources& sources, const ConfigError& error) {
  const auto source = std::ranges::find(sources, error.file, &config::SourceText::path);
  HATS_FUZZ_CHECK(source != sources.end());
  const auto lines = std::ranges::count(source->text, '\n') + 1;
  HATS_FUZZ_CHECK(error.line >= 1 && error.line <= lines);
  HATS_FUZZ_CHECK(!error.message.empty());
  const std::string shown = error.text("?");
  HATS_FUZZ_CHECK(std::ranges::all_of(shown, [](char c) { return c >= ' ' && c <= '~'; }));
  for (const ConfigError& other : error.more) check_error(sources, other);
}

void check_tunnel(const Sources& sources, const std::string& name) {
  Sources key_files;
  for (const auto& file : config::netplan_key_files(sources, name)) {
    HATS_FUZZ_CHECK(file.path.starts_with('/'));
    key_files.push_back({file.path, kKey + "\n"});
  }
  const auto config = config::parse_netplan(sources, name, key_files);
  if (!config) {
    HATS_FUZZ_CHECK(!config.error().message.ends_with("has not been read"));
    check_error(sources, config.error());
    return;
  }
  for (const ConfigError& warning : config->warnings) check_error(sources, warning);
  HATS_FUZZ_CHECK(config->tunnel.has_value() != config->private_key.has_value());
  if (config->tunnel) HATS_FUZZ_CHECK(config->tunnel->tunnel.remote.is_set() && config->peers.empty());
  for (const auto& route : config->routes) HATS_FUZZ_CHECK(route.destination.masked() == route.destination);
  HATS_FUZZ_CHECK(config->device_update().peers.size() == config->peers.size());

  Sources twice = sources;
  twice.insert(twice.end(), sources.begin(), sources.end());
  const auto again = config::parse_netplan(twice, name, key_files);
  HATS_FUZZ_CHECK(again.has_value());
  HATS_FUZZ_CHECK(again->tunnel.has_value() == config->tunnel.has_value());
  if (config->tunnel) HATS_FUZZ_CHECK(again->tunnel->tunnel == config->tunnel->tunnel);
  HATS_FUZZ_CHECK(again->mtu == config->mtu && again->routes.size() == config->routes.size());
}

}  // namespace

/// Two files, apart at the first byte 0xff (which is in no UTF-8).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t apart = text.find('\xff');
  Sources sources{{"F", text.substr(0, apart)}};
  if (apart != std::string::npos) sources.push_back({"G", text.substr(apart + 1)});
  const auto names = config::netplan_tunnel_names(sources);
  if (!names) {
    check_error(sources, names.error());
    HATS_FUZZ_CHECK(!config::parse_netplan(sources, "hats0"));
    return 0;
  }
  if (!names->empty() && names->front() != "hats0") check_tunnel(sources, names->front());
  check_tunnel(sources, "hats0");
  return 0;
}
