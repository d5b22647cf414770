// A daemon of our own as a child: this very program with a bare NAME, as wg-quick would start it.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "tools/hatsd-user/bench/network_space.hpp"

namespace hats::app::bench {

using Variables = std::vector<std::pair<std::string, std::string>>;

/// Ends with its owner: terminated and waited for by the destructor, killed by the kernel if this process
/// dies.
class DaemonChild {
 public:
  /// Starts it in the namespace, with `variables` added to the environment, and waits until the interface's
  /// wg socket is there. To be called on the main thread: the child goes with the thread that made it.
  [[nodiscard]] static AppResult<DaemonChild> start(const NetworkSpace& space, const std::string& interface,
                                                    const Variables& variables);
  DaemonChild(DaemonChild&& other) noexcept : process_(std::exchange(other.process_, 0)) {}
  DaemonChild& operator=(DaemonChild&&) = delete;
  ~DaemonChild();

  /// User and system time of all its threads so far, seconds.
  [[nodiscard]] double cpu_seconds() const;

 private:
  explicit DaemonChild(pid_t process) : process_(process) {}
  pid_t process_ = 0;
};

/// Carries out a `set` of wg's protocol on the interface's socket; `lines` without "set=1".
[[nodiscard]] AppResult<void> set_by_uapi(const std::string& interface, const std::string& lines);

}  // namespace hats::app::bench
