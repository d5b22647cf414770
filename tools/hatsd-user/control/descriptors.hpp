// Descriptors that travel with bytes over a Unix stream: `down` gives its own output and error away, for what
// hooks say. Shared so, a file has one offset for the shell and the hooks, and a socket or a closed terminal
// is one like any other.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "transport/udp_socket.hpp"

namespace hats::app {

using Descriptors = std::vector<transport::UniqueFd>;

/// Of one request at the most; more are closed.
inline constexpr size_t kMaxDescriptors = 2;

/// send(2) with MSG_NOSIGNAL; `descriptors` go with the first byte.
ssize_t send_with(int fd, std::span<const uint8_t> bytes, std::span<const int> descriptors) noexcept;

/// recv(2); what came along is put behind `descriptors`. `flags`: MSG_DONTWAIT or none.
ssize_t receive_with(int fd, std::span<uint8_t> bytes, Descriptors& descriptors, int flags = 0);

}  // namespace hats::app
