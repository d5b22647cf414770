#include "transport/ring.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "transport/udp_socket.hpp"

namespace hats::transport {
namespace {

/// Completions a ring holds: every posted buffer of both groups, and the polls.
constexpr uint32_t kCompletions = 1'024;

// True if a registered file is closed as soon as its slot is cleared, while a request on another slot goes
// on.
bool releases_registered_files(io_uring* ring) {
  std::array<int, 2> released{}, busy{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, released.data()) != 0) return false;
  UniqueFd released_end(released[0]), released_peer(released[1]);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, busy.data()) != 0) return false;
  const UniqueFd busy_end(busy[0]), busy_peer(busy[1]);
  if (io_uring_register_files_sparse(ring, 2) != 0) return false;
  const std::array<int, 2> files{released_end.get(), busy_end.get()};
  if (io_uring_register_files_update(ring, 0, files.data(), 2) != 2) return false;

  io_uring_sqe* entry = io_uring_get_sqe(ring);
  io_uring_prep_poll_multishot(entry, 1, POLLIN);
  entry->flags |= IOSQE_FIXED_FILE;
  if (io_uring_submit(ring) != 1) return false;

  const int none = -1;
  if (io_uring_register_files_update(ring, 0, &none, 1) != 1) return false;
  released_end.reset();
  return send(released_peer.get(), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
}

}  // namespace

std::expected<std::unique_ptr<Ring>, int> Ring::make(uint32_t entries, bool enabled) {
  // SINGLE_ISSUER came with multishot recvmsg (Linux 6.0), without which this backend has no sense: a kernel
  // that knows neither says EINVAL. DEFER_TASKRUN is 6.1.
  const uint32_t common = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                          (enabled ? 0U : IORING_SETUP_R_DISABLED);
  int error = EINVAL;
  for (const uint32_t mode : {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN}) {
    std::unique_ptr<Ring> out(new Ring);
    io_uring_params params{};
    params.flags = common | mode;
    params.cq_entries = kCompletions;
    error = -io_uring_queue_init_params(entries, &out->ring_, &params);
    if (error == 0) return out;
    out->ring_.ring_fd = -1;
    if (error != EINVAL) break;
  }
  return std::unexpected(error);
}

Ring::~Ring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

int Ring::enable() {
  // Not io_uring_enable_rings: Debian 12's shared liburing forgot to export it.
  return -io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

io_uring_sqe* Ring::entry() {
  io_uring_sqe* out = io_uring_get_sqe(&ring_);
  while (!out) {
    io_uring_submit(&ring_);
    out = io_uring_get_sqe(&ring_);
  }
  return out;
}

std::expected<UringFeatures, int> probe_uring() {
  auto ring = Ring::make(8, true);
  if (!ring) return std::unexpected(ring.error());
  UringFeatures out;
  out.registered_files = releases_registered_files((*ring)->get());
  return out;
}

}  // namespace hats::transport
