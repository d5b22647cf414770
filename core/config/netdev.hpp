// systemd-networkd's .netdev files, with the .network files that are for the same interface (formats.md 2).
// Pure: the caller finds and reads the files, and asks the host.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/interface_config.hpp"
#include "core/config/networkd_match.hpp"
#include "core/config/source_text.hpp"

namespace hats::config {

/// What PrivateKeyFile= and its like name. `fault`: why it could not be read; empty: `text` is what it holds.
struct KeyFile {
  std::string path;
  std::string text;
  std::string fault{};
};

/// All that is read for one interface. The texts hold secrets, and are wiped when they go.
struct NetworkdSources {
  std::vector<SourceText> netdev;   // the file, then its drop-ins in order
  std::vector<SourceText> network;  // likewise, of the first that matches; may be empty
  std::vector<KeyFile> key_files;   // those that key_files_of() lists
  HostFacts host;
  /// A networkd runs on this host that will configure the link of this name, if the .network is for it.
  bool networkd_takes_link = false;

  NetworkdSources() = default;
  NetworkdSources(const NetworkdSources&) = default;
  NetworkdSources& operator=(const NetworkdSources&) = default;
  NetworkdSources(NetworkdSources&&) noexcept = default;
  NetworkdSources& operator=(NetworkdSources&&) noexcept = default;
  ~NetworkdSources() { wipe(); }
  void wipe() noexcept;
};

/// Name= of a .netdev alone, for look-up; nullopt: none, not a name, or the file is broken.
[[nodiscard]] std::optional<std::string> netdev_name(std::string_view text);

/// Name= and Kind= of a .netdev and its drop-ins, without a judgement of anything else. "": there is none.
struct NetdevIdentity {
  std::string name;
  std::string kind;
};
[[nodiscard]] ConfigResult<NetdevIdentity> netdev_identity(const std::vector<SourceText>& netdev);
/// Whether Kind= is one that we make: wireguard, gre, sit, ip6gre, ipip.
[[nodiscard]] bool is_served_kind(std::string_view kind) noexcept;
/// False: [Match] rules this host out, and networkd skips the file.
[[nodiscard]] bool is_for_host(const std::vector<SourceText>& sources, const HostFacts& host);

/// Whether the text itself holds a private or preshared key.
[[nodiscard]] bool holds_secrets(const SourceText& netdev);

/// The absolute paths that PrivateKeyFile=, PresharedKeyFile= and PublicKeyFile= name, each once.
[[nodiscard]] std::vector<std::string> key_files_of(const std::vector<SourceText>& netdev);

/// Parses the whole. Every error and warning names its file.
[[nodiscard]] ConfigResult<InterfaceConfig> parse_networkd(const NetworkdSources& sources);

}  // namespace hats::config
