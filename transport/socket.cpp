#include "transport/socket.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace hats::transport {
namespace {

void set_buffer(int fd, int forced, int plain, int bytes) {
  if (set_int(fd, SOL_SOCKET, forced, bytes) != 0) {
    static_cast<void>(set_int(fd, SOL_SOCKET, plain, bytes));
  }
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void UniqueFd::reset() noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

int set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

void set_buffers(int fd, int receive_bytes, int send_bytes) {
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_bytes);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, send_bytes);
}

}  // namespace hats::transport
