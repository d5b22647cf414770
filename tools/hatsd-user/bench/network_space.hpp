// Network namespaces as descriptors, and a thread's stay in one.
#pragma once

#include <string>

#include "tools/hatsd-user/daemon/app_error.hpp"
#include "transport/socket.hpp"

namespace hats::app::bench {

/// A network namespace. One that was made here vanishes with its last descriptor and process.
class NetworkSpace {
 public:
  /// A new one with nothing but a loopback interface that is up. Needs CAP_SYS_ADMIN.
  [[nodiscard]] static AppResult<NetworkSpace> make();
  /// That of a path: /run/netns/NAME, /proc/PID/ns/net.
  [[nodiscard]] static AppResult<NetworkSpace> open(const std::string& path);

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit NetworkSpace(int fd) : fd_(fd) {}
  transport::UniqueFd fd_;
};

/// While this lives, what the thread makes (sockets, devices, processes) belongs to the namespace. Sockets
/// stay there afterwards. Must end on the thread that made it.
class StayInSpace {
 public:
  explicit StayInSpace(const NetworkSpace& space);
  ~StayInSpace();
  StayInSpace(const StayInSpace&) = delete;
  StayInSpace& operator=(const StayInSpace&) = delete;

  /// False: the kernel refused (CAP_SYS_ADMIN); the thread is where it was.
  [[nodiscard]] bool entered() const { return entered_; }

 private:
  transport::UniqueFd back_;
  bool entered_ = false;
};

}  // namespace hats::app::bench
