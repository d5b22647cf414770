#include "transport/loop.hpp"

#include <cerrno>
#include <cstring>

#include "transport/epoll_loop.hpp"

namespace hats::transport {

std::expected<std::unique_ptr<Loop>, std::string> Loop::make(const LoopOptions& options) {
  if (options.slabs < kMinSlabs || options.slabs > kMaxSlabs) {
    return std::unexpected("an arena has " + std::to_string(kMinSlabs) + " to " + std::to_string(kMaxSlabs) +
                           " slabs, not " + std::to_string(options.slabs));
  }
  if (options.io == IoChoice::uring)
    return std::unexpected(std::string("io_uring: ") + std::strerror(ENOSYS));
  auto arena = Arena::make(options.slabs);
  if (!arena) {
    return std::unexpected(std::string("no memory for the packet arena: ") + std::strerror(arena.error()));
  }
  auto loop = make_epoll_loop(std::move(*arena));
  if (!loop) return std::unexpected(std::string("no epoll loop: ") + std::strerror(loop.error()));
  return std::move(*loop);
}

}  // namespace hats::transport
