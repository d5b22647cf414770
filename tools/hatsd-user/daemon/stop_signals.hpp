// SIGTERM and SIGINT as a descriptor, so that a wait, an event loop and a running hook can all see them.
#pragma once

#include "transport/udp_socket.hpp"

namespace hats::app {

/// Blocks SIGTERM, SIGINT and SIGHUP for this thread and those it makes, ignores SIGPIPE, and gives the
/// descriptor that is readable while SIGTERM or SIGINT is pending. Before other threads exist.
[[nodiscard]] transport::UniqueFd take_stop_signals() noexcept;

/// Takes a pending signal; false if there is none.
bool consume_stop_signal(int fd) noexcept;

}  // namespace hats::app
