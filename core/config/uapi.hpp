// The text of wg's cross-platform socket (peers.md 4): codec only. Pure.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/zone.hpp"
#include "core/wg/update.hpp"

namespace hats::config {

/// How a `set` ended: everything read before the error takes effect all the same, since lines take effect as
/// read.
struct UapiSet {
  wg::DeviceUpdate update;
  int error = 0;  // errno value, positive: EINVAL, EPROTO; 0 if the text was right
};

/// Parses the body of a set operation (the lines after "set=1", without the blank line).
[[nodiscard]] UapiSet parse_uapi_set(std::string_view body, const ZoneIndex& zone_index);

/// The reply to get=1, without "errno=0" and the blank line. Holds secrets: the caller wipes it.
[[nodiscard]] std::string format_uapi_get(const wg::DeviceSnapshot& device, const ZoneName& zone_name);

}  // namespace hats::config
