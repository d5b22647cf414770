// wg-quick's NAME.conf (formats.md 1). Pure: text in, value or error out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/config_error.hpp"
#include "core/config/interface_config.hpp"
#include "core/config/zone.hpp"
#include "core/wg/update.hpp"

namespace hats::config {

/// Parses a file by the rules of both wg-quick and wg(8). The first fault is the error.
[[nodiscard]] ConfigResult<InterfaceConfig> parse_wg_quick(std::string_view text);

/// Whether `name` may be an interface: 1..15 of [a-zA-Z0-9_=+.-], not "." or "..".
[[nodiscard]] bool valid_interface_name(std::string_view name) noexcept;
/// What is wrong with `name` and what would be right, for people; "" if it is valid.
[[nodiscard]] std::string interface_name_fault(std::string_view name);

/// The file that SaveConfig writes: wg-quick's keys kept from `config`, everything else as it is on the live
/// device (wg-quick(8) SaveConfig). `addresses`, `mtu`, `dns` are what the interface has now. Holds secrets.
struct LiveInterface {
  std::vector<Prefix> addresses;
  std::optional<uint32_t> mtu;  // only if it was set in the file
};
/// `zone_name` names the zone of a link-local endpoint, since an index may be another one's after a boot.
[[nodiscard]] std::string format_wg_quick(const InterfaceConfig& config, const wg::DeviceSnapshot& device,
                                          const LiveInterface& live, const ZoneName& zone_name = {});

}  // namespace hats::config
