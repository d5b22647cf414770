#include "tools/hatsd-user/daemon/stop_signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace hats::app {

transport::UniqueFd take_stop_signals() noexcept {
  (void)std::signal(SIGPIPE, SIG_IGN);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigset_t blocked = stop;
  sigaddset(&blocked, SIGHUP);  // a terminal that closes is no reason to end a tunnel
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  return transport::UniqueFd(signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK));
}

bool consume_stop_signal(int fd) noexcept {
  signalfd_siginfo info{};
  return read(fd, &info, sizeof info) == sizeof info;
}

}  // namespace hats::app
