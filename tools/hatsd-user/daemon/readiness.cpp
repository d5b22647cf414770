#include "tools/hatsd-user/daemon/readiness.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

namespace {

[[noreturn]] void wait_for_report(int pipe, pid_t child) {
  uint8_t code = kExitFailure;
  ssize_t count = 0;
  do {
    count = read(pipe, &code, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1) _exit(code);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    (void)std::fprintf(stderr, "hatsd-user: the daemon was killed by signal %d while it started\n",
                       WTERMSIG(status));
  }
  _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : kExitFailure);
}

}  // namespace

void Readiness::report(int exit_code) noexcept {
  if (!pipe_) return;
  const auto code = static_cast<uint8_t>(exit_code);
  if (exit_code == 0) leave_terminal();
  (void)!write(pipe_.get(), &code, 1);
  pipe_.reset();
}

void leave_terminal() noexcept {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; null >= 0 && fd <= 2; ++fd) (void)dup2(null, fd);
  if (null > 2) (void)close(null);
  (void)!chdir("/");
}

Readiness fork_daemon() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    std::perror("hatsd-user: pipe");
    _exit(kExitFailure);
  }
  transport::UniqueFd reading(ends[0]), writing(ends[1]);
  (void)std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) {
    std::perror("hatsd-user: fork");
    _exit(kExitFailure);
  }
  if (child > 0) {
    writing.reset();
    wait_for_report(reading.get(), child);
  }
  (void)setsid();
  return Readiness(std::move(writing));
}

}  // namespace hats::app
