// What `up` brings up: one interface, and the texts that describe it. Formats differ in how many texts that
// are: one file of wg-quick, a .netdev with its drop-ins and .network, all of netplan, the words of `ip
// tunnel`.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/config/interface_config.hpp"
#include "core/config/netdev.hpp"
#include "core/config/source_text.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// Bytes of a configuration file at the most: 65,000 AllowedIPs are 3 MB.
inline constexpr size_t kMaxConfigFile = size_t{16} << 20;

/// Texts that several interfaces may come from: netplan's files are one set for all. Wiped when the last
/// interface lets go of them.
class SharedTexts {
 public:
  SharedTexts() = default;
  SharedTexts(std::vector<config::SourceText> texts);
  [[nodiscard]] std::span<const config::SourceText> all() const {
    return texts_ ? std::span<const config::SourceText>(*texts_) : std::span<const config::SourceText>();
  }
  [[nodiscard]] bool empty() const { return all().empty(); }
  [[nodiscard]] const config::SourceText& front() const { return all().front(); }
  void reset() noexcept { texts_.reset(); }

 private:
  std::shared_ptr<const std::vector<config::SourceText>> texts_;
};

/// The texts as they were read; they hold secrets.
struct InterfaceSources {
  config::Format format = config::Format::wg_quick;
  /// wg-quick: the file. netplan: all files in the order of merging. ip tunnel: one text, a word a line.
  SharedTexts files{};
  std::vector<config::SourceText> key_files{};  // netplan: that the files name
  config::NetworkdSources networkd{};

  void wipe() noexcept;
};

/// Words of a command as one text, and back. A word cannot hold a line's end: it becomes two.
[[nodiscard]] InterfaceSources words_as_sources(const std::vector<std::string>& words);
[[nodiscard]] std::vector<std::string> split_words(const std::string& text);

/// For the control socket and the keeper's channel.
[[nodiscard]] nlohmann::json sources_to_json(const InterfaceSources& sources);
/// Nothing is missing in what sources_to_json() made; what else is missing is empty.
[[nodiscard]] InterfaceSources sources_from_json(const nlohmann::json& from);

struct InterfaceFile {
  std::string name;   // of the interface
  std::string path;   // of its first file; for messages and SaveConfig
  std::string found;  // the word that finds it again: an absolute path, or the NAME that was looked up
  InterfaceSources sources;
  config::InterfaceConfig config;

  /// The files that hold secrets, to be looked at by file_guard(); networkd's were, as they were read.
  [[nodiscard]] std::vector<std::string> secret_paths() const;
  /// What is to be said of what it holds, and of who else can read it; while the sources are there.
  [[nodiscard]] std::vector<std::string> warnings() const;
};

/// Parses. The error is "FILE:LINE: KEY: ..." with exit code 2.
[[nodiscard]] AppResult<InterfaceFile> parse_interface_file(std::string name, std::string path,
                                                            std::string found, InterfaceSources sources);
/// The same for sources that have been parsed, with that outcome.
[[nodiscard]] AppResult<InterfaceFile> parsed_interface_file(std::string name, std::string path,
                                                             std::string found, InterfaceSources sources,
                                                             ConfigResult<config::InterfaceConfig> config);

}  // namespace hats::app
