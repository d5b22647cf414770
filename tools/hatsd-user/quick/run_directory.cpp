#include "tools/hatsd-user/quick/run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hats::app {

namespace {

transport::UniqueFd open_run_directory() {
  return transport::UniqueFd(open(kRunDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

transport::UniqueFd lock_run_directory() {
  while (true) {
    if (mkdir(kRunDirectory, 0700) != 0 && errno != EEXIST) return {};
    transport::UniqueFd fd = open_run_directory();
    if (!fd && errno == ENOENT) continue;  // taken away just now
    while (fd && flock(fd.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
    // The last process to end, or an add that failed, has taken away what we waited for: others lock the
    // next one.
    struct stat folder{};
    if (!fd || fstat(fd.get(), &folder) != 0 || folder.st_nlink != 0) return fd;
  }
}

void remove_run_directory_if_unused() {
  const transport::UniqueFd fd = open_run_directory();
  if (fd && flock(fd.get(), LOCK_EX | LOCK_NB) == 0) (void)rmdir(kRunDirectory);
}

}  // namespace hats::app
