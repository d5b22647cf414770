#include "tools/hatsd-user/daemon/borrowed_output.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace hats::app {

BorrowedOutput::BorrowedOutput(const Descriptors& theirs) {
  if (theirs.size() < kept_.size()) return;
  for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const auto place = static_cast<size_t>(fd - STDOUT_FILENO);
    kept_[place] = transport::UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (kept_[place]) dup2(theirs[place].get(), fd);
  }
}

BorrowedOutput::~BorrowedOutput() {
  for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const transport::UniqueFd& kept = kept_[static_cast<size_t>(fd - STDOUT_FILENO)];
    if (kept) dup2(kept.get(), fd);
  }
}

}  // namespace hats::app
