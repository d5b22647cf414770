// Zones of link-local IPv6 addresses (RFC 4007 11): who may ask the kernel turns their names into indices and
// back for the parsers, which may not.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hats::config {

/// Looks up a zone of "[fe80::1%eth0]:5"; numbers are taken as they are. 0: unknown.
using ZoneIndex = std::function<uint32_t(std::string_view zone)>;
/// The name of an interface index, or "".
using ZoneName = std::function<std::string(uint32_t index)>;

}  // namespace hats::config
