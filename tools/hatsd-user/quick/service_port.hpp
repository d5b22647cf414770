// Ports by name (formats.md 1.2): `ListenPort = openvpn`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hats::app {

/// The number of a UDP service name, as wg(8) looks it up; nullopt if there is none.
[[nodiscard]] std::optional<uint16_t> service_port(const std::string& service);

}  // namespace hats::app
