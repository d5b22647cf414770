// An unencrypted tunnel's configuration as JSON, both ways: in `show --json`, and for `tunnel show` and
// `tunnel change`.
#pragma once

#include <nlohmann/json.hpp>

#include "core/encap/tunnel_config.hpp"

namespace hats::app {

[[nodiscard]] nlohmann::json tunnel_to_json(const encap::TunnelConfig& tunnel);
/// What is missing has its default; a value of a wrong type counts as missing.
[[nodiscard]] encap::TunnelConfig tunnel_from_json(const nlohmann::json& json);

/// "gre", "sit", "ipip".
[[nodiscard]] const char* kind_name(encap::Kind kind) noexcept;

}  // namespace hats::app
