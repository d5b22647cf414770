// What the host set-up needs of the tunnel's device. The process that owns the link answers it, over its
// control socket or over wg's own; HostSetup knows neither.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "core/base/config_error.hpp"
#include "core/config/wg_quick.hpp"
#include "core/wg/update.hpp"

namespace hats::app {

class DeviceControl {
 public:
  DeviceControl() = default;
  DeviceControl(const DeviceControl&) = delete;
  DeviceControl& operator=(const DeviceControl&) = delete;
  virtual ~DeviceControl() = default;

  /// Gives a new device the keys, port, mark and peers of its file, as `wg addconf` does: what the file does
  /// not name stays (a PreUp hook may have set it). Endpoints by name are resolved later, behind the caller's
  /// back.
  [[nodiscard]] virtual std::expected<void, ConfigError> configure(const config::InterfaceConfig& config) = 0;
  /// Brings the device from `old_config` to `new_config`, leaving unchanged peers and their sessions alone.
  [[nodiscard]] virtual std::expected<void, ConfigError> reconfigure(
      const config::InterfaceConfig& old_config, const config::InterfaceConfig& new_config) = 0;
  [[nodiscard]] virtual std::expected<wg::DeviceSnapshot, std::string> snapshot() = 0;
  [[nodiscard]] virtual std::expected<void, std::string> set_fwmark(uint32_t mark) = 0;
  /// The standing warnings of the host set-up, for `show`, in the place of those it gave before. The log has
  /// them already.
  virtual void set_warnings(std::vector<std::string> texts) = 0;
};

}  // namespace hats::app
