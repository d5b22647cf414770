// The text of `hatsd-user check`: what a file means, before anything is brought up. Pure: the file's value
// and what the host told about its paths in, lines out. Prints no secret; the hooks' commands are printed as
// wg-quick does, with whatever may be a key taken out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/wg_quick.hpp"

namespace hats::config {

/// What the caller found out about the way to one peer, or to the other end of a tunnel.
struct PeerPath {
  std::optional<Endpoint> endpoint{};  // numeric, or what the name has resolved to
  std::optional<uint32_t> mtu{};       // bytes of the path to it, from the route or its link
};

/// Everything may be left out; less is said then.
struct ExplainFacts {
  std::string interface{};  // its name
  std::string file{};
  /// As many as peers, in their order, or none; of a tunnel: one, or none.
  std::vector<PeerPath> paths{};
  std::optional<uint32_t> default_route_mtu{};  // bytes
  bool local_is_absent = false;                 // a tunnel's local address is not on this host
};

/// Lines without their ends. The file's warnings are among them, at the end.
[[nodiscard]] std::vector<std::string> explain(const InterfaceConfig& config, const ExplainFacts& facts);

}  // namespace hats::config
