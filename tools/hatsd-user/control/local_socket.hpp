// Listening Unix sockets that appear under their name only when they answer: bound and listening under a
// temporary name, then renamed (peers.md 4: wg removes a socket that refuses connections).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <optional>
#include <string>

#include "tools/hatsd-user/daemon/app_error.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

/// Identity of the socket file, to tell whether the name still means our socket.
struct SocketFile {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;

  /// The file at `path` now; nullopt if it is not a socket or not there.
  static std::optional<SocketFile> at(const std::string& path);
  /// True while the name still means this very socket.
  [[nodiscard]] bool still_there() const;
  /// Removes the file if it is still this socket.
  void remove() const;
};

struct ListeningSocket {
  transport::UniqueFd fd;
  SocketFile file;
};

/// That no process answers on the socket `path`; an error names the one that does, and its network namespace
/// if that is another (to read it takes rights over that process, which a daemon has given up).
[[nodiscard]] AppResult<void> check_nobody_answers(const std::string& path);

/// Listens at `path` (mode 0600), in a directory that is made with `directory_mode` where it is missing. A
/// file that nobody answers on is replaced; one that another process answers on is an error (as above).
[[nodiscard]] AppResult<ListeningSocket> listen_at(const std::string& path, mode_t directory_mode);

/// How long what a killed process had, sockets and links, is waited for while the kernel lets go of it.
inline constexpr auto kLettingGoTimeout = std::chrono::seconds(5);

/// Connects to `path`; error: errno. While the kernel closes what a killed process had, its socket still
/// takes connections: that is waited for, kLettingGoTimeout at the most.
[[nodiscard]] std::expected<transport::UniqueFd, int> connect_to(const std::string& path);

/// The process at the other end of a connected socket, or 0.
[[nodiscard]] pid_t peer_process(int fd);

/// The inode number of a process's network namespace, 0 if it cannot be read.
[[nodiscard]] ino_t network_namespace_of(pid_t process);
[[nodiscard]] ino_t own_network_namespace();

}  // namespace hats::app
