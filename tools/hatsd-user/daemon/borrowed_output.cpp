#include "tools/hatsd-user/daemon/borrowed_output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace hats::app {

using transport::UniqueFd;

BorrowedOutput::BorrowedOutput(pid_t process) {
  if (process <= 0) return;
  for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(fd);
    // Not waiting for a FIFO's reader, not making a terminal our own, not writing over a file from its start.
    const UniqueFd theirs(open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!theirs) continue;
    fcntl(theirs.get(), F_SETFL, O_APPEND);
    UniqueFd& kept = kept_[static_cast<size_t>(fd - STDOUT_FILENO)];
    kept = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (kept) dup2(theirs.get(), fd);
  }
}

BorrowedOutput::~BorrowedOutput() {
  for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const UniqueFd& kept = kept_[static_cast<size_t>(fd - STDOUT_FILENO)];
    if (kept) dup2(kept.get(), fd);
  }
}

}  // namespace hats::app
