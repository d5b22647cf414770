// Tells when a socket file of ours has been removed or replaced (inotify on its folder, then lstat).
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <expected>
#include <functional>
#include <memory>

#include "tools/hatsd-user/control/local_socket.hpp"

namespace hats::app {

class FileWatch {
 public:
  /// Calls `removed` once, on the io_context, when `file` is no longer there. Error: errno.
  static std::expected<std::unique_ptr<FileWatch>, int> start(boost::asio::io_context& io, SocketFile file,
                                                              std::function<void()> removed);

 private:
  FileWatch(boost::asio::io_context& io, int fd, SocketFile file, std::function<void()> removed);
  void wait();

  boost::asio::posix::stream_descriptor descriptor_;
  SocketFile file_;
  std::function<void()> removed_;
  alignas(8) std::array<char, 4096> events_{};
};

}  // namespace hats::app
