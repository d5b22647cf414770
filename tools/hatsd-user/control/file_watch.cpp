#include "tools/hatsd-user/control/file_watch.hpp"

#include <sys/inotify.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <utility>

namespace hats::app {

std::expected<std::unique_ptr<FileWatch>, int> FileWatch::start(boost::asio::io_context& io, SocketFile file,
                                                                std::function<void()> removed) {
  transport::UniqueFd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return std::unexpected(errno);
  const std::string directory = file.path.substr(0, file.path.rfind('/'));
  constexpr uint32_t kEvents =
      IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF;
  if (inotify_add_watch(fd.get(), directory.c_str(), kEvents) < 0) return std::unexpected(errno);
  std::unique_ptr<FileWatch> watch(new FileWatch(io, fd.release(), std::move(file), std::move(removed)));
  watch->wait();
  return watch;
}

FileWatch::FileWatch(boost::asio::io_context& io, int fd, SocketFile file, std::function<void()> removed)
    : descriptor_(io, fd), file_(std::move(file)), removed_(std::move(removed)) {}

void FileWatch::wait() {
  descriptor_.async_read_some(boost::asio::buffer(events_), [this](boost::system::error_code error, size_t) {
    if (error) return;  // destroyed
    if (file_.still_there()) {
      wait();
      return;
    }
    // A copy: the call may well destroy this object.
    const auto removed = std::move(removed_);
    removed();
  });
}

}  // namespace hats::app
