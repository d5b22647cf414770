// /run/hatsd-user: sockets of running processes, records of what they owe the host, and the lock of `tunnel
// add`. It is there while it holds something.
#pragma once

#include <cerrno>

#include "transport/udp_socket.hpp"

namespace hats::app {

inline constexpr const char* kRunDirectory = "/run/hatsd-user";

/// Makes the folder where it is missing, and waits for its lock, which is the folder's own, so that nothing
/// is left of it. Empty if the folder cannot be made or read.
[[nodiscard]] transport::UniqueFd lock_run_directory();

/// Removes the folder if it is empty and nobody holds its lock: who does is about to put something in.
void remove_run_directory_if_unused();

/// Makes something in the folder: calls `make()`, which makes the folder too, and gives 0 or an errno; again
/// where the folder was taken away in between, because the last process had ended.
template <typename Make>
int make_in_run_directory(Make make) {
  constexpr int kTries = 100;
  int error = make();
  for (int i = 1; i < kTries && error == ENOENT; ++i) error = make();
  return error;
}

}  // namespace hats::app
