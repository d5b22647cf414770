// SaveConfig (wg-quick(8)): the file rewritten from the live interface when it goes down.
#pragma once

#include <expected>
#include <string>

#include "core/config/wg_quick.hpp"
#include "tun/link.hpp"

namespace hats::app {

/// Replaces `file` (what a symlink points to) atomically, mode 0600, with its old owner. Addresses, and the
/// MTU if the file has one, are read from the link `index`. On an error the old file is untouched; the error
/// is a sentence.
[[nodiscard]] std::expected<void, std::string> save_config(const std::string& file,
                                                           const config::InterfaceConfig& config,
                                                           const wg::DeviceSnapshot& device,
                                                           tun::Netlink& netlink, uint32_t index);

}  // namespace hats::app
