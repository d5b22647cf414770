#include "transport/loop.hpp"

#include <cstring>

#include "transport/epoll_loop.hpp"
#include "transport/uring_loop.hpp"

namespace hats::transport {

namespace {

using Made = std::expected<std::unique_ptr<LoopBase>, int>;

Made make_backend(const LoopOptions& options, bool uring) {
  auto arena = Arena::make(options.slabs);
  if (!arena) return std::unexpected(arena.error());
  Made made =
      uring ? UringLoop::make(std::move(*arena), options.uring_basic) : make_epoll_loop(std::move(*arena));
  if (made) (*made)->set_realtime(options.realtime);
  return made;
}

}  // namespace

std::expected<std::unique_ptr<Loop>, std::string> Loop::make(const LoopOptions& options) {
  if (options.slabs < kMinSlabs || options.slabs > kMaxSlabs) {
    return std::unexpected("an arena has " + std::to_string(kMinSlabs) + " to " + std::to_string(kMaxSlabs) +
                           " slabs, not " + std::to_string(options.slabs));
  }
  Made loop = make_backend(options, options.io != IoChoice::epoll);
  if (!loop && options.io == IoChoice::automatic) loop = make_backend(options, false);
  if (loop) return std::move(*loop);
  if (options.io == IoChoice::uring) {
    return std::unexpected(std::string("io_uring cannot be used on this host (") +
                           std::strerror(loop.error()) +
                           "): it needs Linux 6.0 and a seccomp profile and "
                           "kernel.io_uring_disabled that allow it; epoll does the same work");
  }
  return std::unexpected(std::string("the packet loop cannot be made: ") + std::strerror(loop.error()));
}

}  // namespace hats::transport
