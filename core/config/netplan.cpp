// Finds a tunnel in the merged files and reads it. netplan reads file after file into one definition, so that
// a later scalar overwrites and a later list goes on; so does this.
#include "core/config/netplan.hpp"

#include <algorithm>
#include <set>

#include "core/config/netplan_tunnel.hpp"
#include "core/config/text.hpp"
#include "core/config/wg_quick.hpp"
#include "core/config/wg_quick_values.hpp"

namespace hats::config {
namespace {

using namespace netplan;

constexpr auto kNetworkKeys = std::to_array<std::string_view>(
    {"version", "renderer", "ethernets", "wifis", "bonds", "bridges", "vlans", "tunnels", "vrfs", "modems",
     "nm-devices", "dummy-devices", "virtual-ethernets", "openvswitch"});

/// A file without a value, as one with comments alone.
bool is_empty(const Value& value) {
  return value.is_scalar() && value.text().empty();
}

/// Calls read(Entry, key) for each entry under network: tunnels: of a file. What stands beside them is not
/// judged.
template <typename Read>
Done each_tunnel(Context& context, const Tree& tree, const Read& read) {
  const auto root = tree.root();
  if (!root || is_empty(*root)) return {};
  return each_entry(context, *root, "", [&](const Entry& top, const Value&) -> Done {
    if (top.key != "network") return {};
    return each_entry(context, top.value, "network", [&](const Entry& section, const Value&) -> Done {
      if (section.key != "tunnels") return {};
      return each_entry(context, section.value, "tunnels", [&](const Entry& entry, const Value& key) -> Done {
        // Beside the tunnels stands who is to make them, which is us.
        return entry.key == "renderer" ? Done{} : read(entry, key);
      });
    });
  });
}

/// Where `name` was looked for, and what may be meant instead.
ConfigError not_found(const std::string& first_path, const std::vector<Tree>& trees, std::string_view name) {
  ConfigError error{1, "", "there is no tunnel " + quoted(name) + " under network: tunnels:", first_path};
  Context context;
  std::vector<std::string> names;
  for (const Tree& tree : trees) {
    const auto noted = each_tunnel(context, tree, [&](const Entry& entry, const Value&) -> Done {
      names.emplace_back(entry.key);
      return {};
    });
    const auto root = tree.root();
    if (!noted || !root || !root->is_mapping()) continue;
    for (size_t i = 0; i + 1 < root->size(); i += 2) {
      const Value network = root->at(i + 1);
      if (!root->at(i).is_scalar() || root->at(i).text() != "network" || !network.is_mapping()) continue;
      for (size_t k = 0; k + 1 < network.size(); k += 2) {
        const Value key = network.at(k);
        if (!key.is_scalar() || std::ranges::find(kNetworkKeys, key.text()) != kNetworkKeys.end()) continue;
        if (nearest(key.text(), kNetworkKeys) != "tunnels") continue;
        error.line = key.line();
        error.file = key.file();
        error.message += "; " + quoted(key.text()) + " should be called tunnels";
        return error;
      }
    }
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view close = nearest(name, views);
  if (!close.empty()) error.message += "; did you mean " + quoted(close) + "?";
  return error;
}

}  // namespace

ConfigResult<NetplanFiles> NetplanFiles::read(std::span<const SourceText> sources) {
  NetplanFiles out;
  out.trees_.reserve(sources.size());
  Faults faults;
  for (const SourceText& source : sources) {
    auto tree = Tree::read(source);
    if (faults.passed(tree)) out.trees_.push_back(std::move(*tree));
  }
  if (faults.any()) return std::unexpected(faults.take());
  if (!sources.empty()) out.first_path_ = sources.front().path;
  return out;
}

std::expected<void, ConfigError> NetplanFiles::read_tunnel(Context& context, std::string_view name,
                                                           InterfaceConfig& out) const {
  TunnelReader reader(context, out);
  for (const Tree& tree : trees_) {
    const auto root = tree.root();
    if (tree.second_document_line() != 0 && root) {
      context.warn(*root, "",
                   "line " + std::to_string(tree.second_document_line()) +
                       " begins a second document, which is not read");
    }
    auto done = each_tunnel(context, tree, [&](const Entry& entry, const Value& key) -> Done {
      return entry.key == name ? reader.read(entry, key) : Done{};
    });
    context.faults().passed(done);
  }
  if (reader.found()) {
    reader.finish();
  } else if (!context.faults().any()) {
    context.faults().add(not_found(first_path_, trees_, name));
  }
  return context.faults().result();
}

ConfigResult<InterfaceConfig> NetplanFiles::tunnel(std::string_view name,
                                                   std::span<const SourceText> key_files) const {
  Context context(key_files);
  InterfaceConfig out;
  if (auto done = read_tunnel(context, name, out); !done) return std::unexpected(done.error());
  if (!context.missing_key_files().empty()) {
    const NetplanKeyFile& missing = context.missing_key_files().front();
    ConfigError error = missing.named;
    error.message = "the key file " + quoted(missing.path) + " has not been read";
    return std::unexpected(std::move(error));
  }
  out.warnings = context.take_warnings();
  return out;
}

ConfigResult<std::vector<std::string>> NetplanFiles::tunnel_names() const {
  Context context;
  std::vector<std::string> names;
  std::set<std::string, std::less<>> seen;
  for (const Tree& tree : trees_) {
    auto done = each_tunnel(context, tree, [&](const Entry& entry, const Value&) -> Done {
      if (seen.emplace(entry.key).second) names.emplace_back(entry.key);
      return {};
    });
    context.faults().passed(done);
  }
  if (context.faults().any()) return std::unexpected(context.faults().take());
  return names;
}

std::vector<NetplanKeyFile> NetplanFiles::key_files(std::string_view name) const {
  Context context;
  InterfaceConfig out;
  // A fault is tunnel()'s to tell.
  static_cast<void>(read_tunnel(context, name, out).has_value());
  return context.missing_key_files();
}

std::string NetplanFiles::file_of(std::string_view name) const {
  for (const Tree& tree : trees_) {
    Context context;
    std::string out;
    // A fault is tunnel()'s to tell.
    static_cast<void>(each_tunnel(context, tree, [&](const Entry& entry, const Value& key) -> Done {
                        if (entry.key == name) out = key.file();
                        return {};
                      }).has_value());
    if (!out.empty()) return out;
  }
  return {};
}

ConfigResult<InterfaceConfig> parse_netplan(std::span<const SourceText> sources, std::string_view name,
                                            std::span<const SourceText> key_files) {
  const auto files = NetplanFiles::read(sources);
  if (!files) return std::unexpected(files.error());
  return files->tunnel(name, key_files);
}

ConfigResult<std::vector<std::string>> netplan_tunnel_names(std::span<const SourceText> sources) {
  const auto files = NetplanFiles::read(sources);
  if (!files) return std::unexpected(files.error());
  return files->tunnel_names();
}

std::vector<NetplanKeyFile> netplan_key_files(std::span<const SourceText> sources, std::string_view name) {
  const auto files = NetplanFiles::read(sources);
  return files ? files->key_files(name) : std::vector<NetplanKeyFile>{};
}

}  // namespace hats::config
