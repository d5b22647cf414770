// Standard output and error of another process, for what hooks say: `hatsd-user down` asks a daemon that has
// long left its terminal, and the person who asked wants to read it.
#pragma once

#include <sys/types.h>

#include <array>

#include "transport/udp_socket.hpp"

namespace hats::app {

/// While it lives, our output and error are those of `process`. What cannot be opened (a process that is
/// gone, a socket) stays as it was; 0 borrows nothing.
class BorrowedOutput {
 public:
  explicit BorrowedOutput(pid_t process);
  ~BorrowedOutput();
  BorrowedOutput(const BorrowedOutput&) = delete;
  BorrowedOutput& operator=(const BorrowedOutput&) = delete;

 private:
  std::array<transport::UniqueFd, 2> kept_;  // our own, where another has its place
};

}  // namespace hats::app
