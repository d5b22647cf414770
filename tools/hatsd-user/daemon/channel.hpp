// The words between keeper and data process: JSON objects over a Unix stream, each with its length before it.
// Both ends are ours and trust each other; the stream carries keys and stays between the two.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/wg/update.hpp"
#include "tools/hatsd-user/control/descriptors.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

/// A message at the most: the snapshot of a device with 65,000 AllowedIPs is 3 MB.
inline constexpr uint32_t kMaxChannelMessage = uint32_t{128} << 20;
inline constexpr size_t kChannelHeader = 4;

/// A pair of ends.
[[nodiscard]] std::pair<transport::UniqueFd, transport::UniqueFd> make_channel();

/// Waits until all of it is sent. False if the other end is gone.
bool send_message(int fd, const nlohmann::json& message, std::span<const int> descriptors = {});
/// Waits for one message; nullopt if the other end is gone. What came with it is put into `descriptors`.
[[nodiscard]] std::optional<nlohmann::json> receive_message(int fd, Descriptors& descriptors);
[[nodiscard]] std::optional<nlohmann::json> receive_message(int fd);

/// A device's state, private and preshared keys included.
[[nodiscard]] nlohmann::json snapshot_to_json(const wg::DeviceSnapshot& snapshot);
[[nodiscard]] std::optional<wg::DeviceSnapshot> snapshot_from_json(const nlohmann::json& json);

}  // namespace hats::app
