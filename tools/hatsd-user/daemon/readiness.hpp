// How a daemon that starts in the background tells the command that started it how it went: one byte, the
// exit code, through a pipe. Faults themselves go to the standard error that both share until then.
#pragma once

#include "transport/udp_socket.hpp"

namespace hats::app {

class Readiness {
 public:
  /// In the foreground nobody waits.
  Readiness() = default;
  explicit Readiness(transport::UniqueFd pipe) : pipe_(std::move(pipe)) {}

  /// Reports once; if `exit_code` is 0 and somebody waits, leaves the terminal first. Without a report, the
  /// exit code of the process is taken for it.
  void report(int exit_code) noexcept;

 private:
  transport::UniqueFd pipe_;
};

/// Standard descriptors on the null device, working directory "/".
void leave_terminal() noexcept;

/// Forks the daemon off. In the child: returns its Readiness. The parent never returns: it waits for the
/// report, and exits with it.
[[nodiscard]] Readiness fork_daemon();

}  // namespace hats::app
