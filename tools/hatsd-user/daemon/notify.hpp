// sd_notify(3) without libsystemd: one datagram to the socket that NOTIFY_SOCKET names.
#pragma once

#include <string_view>

namespace hats::app {

/// Sends `state` ("READY=1", "STOPPING=1", ...) to the service manager. Does nothing without NOTIFY_SOCKET.
void notify_service_manager(std::string_view state) noexcept;

}  // namespace hats::app
