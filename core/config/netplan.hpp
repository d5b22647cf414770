// netplan's `tunnels:` (formats.md 3). Pure: texts in, value or error out. In netplan's files only `tunnels:`
// is ours; the rest is not judged, but each file must be YAML.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/interface_config.hpp"
#include "core/config/netplan_tree.hpp"
#include "core/config/source_text.hpp"

namespace hats::config {

namespace netplan {
class Context;
}

/// A file that a tunnel takes a key from: `key` or `peers: keys: shared` that begins with '/'.
struct NetplanKeyFile {
  std::string path;
  ConfigError named{};  // where and by which key; its message is for the caller to fill in
};

/// netplan's files, read once for all tunnels that are asked of them.
class NetplanFiles {
 public:
  /// Refused is what is not YAML. `sources` are in merge order.
  [[nodiscard]] static ConfigResult<NetplanFiles> read(std::span<const SourceText> sources);
  /// As the functions below.
  [[nodiscard]] ConfigResult<InterfaceConfig> tunnel(std::string_view name,
                                                     std::span<const SourceText> key_files = {}) const;
  [[nodiscard]] ConfigResult<std::vector<std::string>> tunnel_names() const;
  [[nodiscard]] std::vector<NetplanKeyFile> key_files(std::string_view name) const;
  /// The path of the first file that has the tunnel; later ones only change it. "": none has it.
  [[nodiscard]] std::string file_of(std::string_view name) const;

 private:
  [[nodiscard]] std::expected<void, ConfigError> read_tunnel(netplan::Context& context, std::string_view name,
                                                             InterfaceConfig& out) const;

  std::vector<netplan::Tree> trees_;
  std::string first_path_;
};

/// The tunnel `name` out of the merged files. `sources` are in merge order: a later scalar overwrites,
/// sequences go on, mappings merge. `key_files` are the texts of netplan_key_files(), by path. Every
/// fault names its file; so do warnings.
[[nodiscard]] ConfigResult<InterfaceConfig> parse_netplan(std::span<const SourceText> sources,
                                                          std::string_view name,
                                                          std::span<const SourceText> key_files = {});

/// The names under `tunnels:` in all files, each once, in the order of their first mention; whatever their
/// mode.
[[nodiscard]] ConfigResult<std::vector<std::string>> netplan_tunnel_names(
    std::span<const SourceText> sources);

/// The key files that parse_netplan() will want, each once. Only text is looked at: a file that is faulty
/// yields none, and parse_netplan() says why.
[[nodiscard]] std::vector<NetplanKeyFile> netplan_key_files(std::span<const SourceText> sources,
                                                            std::string_view name);

}  // namespace hats::config
