#include "tools/hatsd-user/control/local_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tools/hatsd-user/quick/run_directory.hpp"

namespace hats::app {

namespace {

constexpr int kBacklog = 64;

bool fill_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

transport::UniqueFd stream_socket() {
  return transport::UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

std::string who_answers(const std::string& path, int connected) {
  const pid_t process = peer_process(connected);
  std::string text = path + " is in use: pid " + std::to_string(process) + " answers on it";
  const ino_t theirs = network_namespace_of(process);
  if (theirs != 0 && theirs != own_network_namespace()) {
    text += ", from another network namespace (net:[" + std::to_string(theirs) +
            "]), but /run is the same; give the interface another name, or this namespace its own /run";
  }
  return text;
}

int make_directory(const std::string& directory, mode_t mode) {
  if (mkdir(directory.c_str(), mode) == 0) return chmod(directory.c_str(), mode) == 0 ? 0 : errno;
  return errno == EEXIST ? 0 : errno;
}

/// Killed, and not yet gone: a process's memory goes before its files do. Who has listened may also be gone,
/// and have left its socket to another.
bool is_dying(pid_t process) {
  std::array<char, 1> program{};
  const std::string folder = "/proc/" + std::to_string(process);
  return process != 0 && readlink((folder + "/exe").c_str(), program.data(), program.size()) < 0 &&
         errno == ENOENT && access(folder.c_str(), F_OK) == 0;
}

std::expected<transport::UniqueFd, int> connect_once(const std::string& path) {
  sockaddr_un address{};
  if (!fill_address(path, address)) return std::unexpected(ENAMETOOLONG);
  transport::UniqueFd fd = stream_socket();
  if (!fd) return std::unexpected(errno);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(errno);
  }
  return fd;
}

}  // namespace

std::optional<SocketFile> SocketFile::at(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
  return SocketFile{.path = path, .device = status.st_dev, .inode = status.st_ino};
}

bool SocketFile::still_there() const {
  const auto now = at(path);
  return now && now->device == device && now->inode == inode;
}

void SocketFile::remove() const {
  if (still_there()) (void)unlink(path.c_str());
}

AppResult<void> check_nobody_answers(const std::string& path) {
  if (const auto connected = connect_to(path)) return fail(who_answers(path, connected->get()));
  return {};
}

AppResult<ListeningSocket> listen_at(const std::string& path, mode_t directory_mode) {
  const std::string directory = path.substr(0, path.rfind('/'));
  if (auto free = check_nobody_answers(path); !free) return std::unexpected(free.error());

  // Not "*.sock": wg(8) takes every such file for an interface.
  const std::string temporary = path + "." + std::to_string(getpid()) + ".new";
  sockaddr_un address{};
  if (!fill_address(temporary, address)) return fail(path + ": the path is too long for a socket");
  ListeningSocket out;
  out.fd = stream_socket();
  if (!out.fd) return fail(errno_text("socket", errno));
  const int error = make_in_run_directory([&] {
    if (const int why = make_directory(directory, directory_mode); why != 0) return why;
    (void)unlink(temporary.c_str());
    const mode_t old_mask = umask(077);
    const int bound = bind(out.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int why = bound == 0 ? 0 : errno;
    umask(old_mask);
    return why;
  });
  if (error != 0) return fail(errno_text("cannot make the socket " + path, error));
  if (listen(out.fd.get(), kBacklog) != 0 || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int why = errno;
    (void)unlink(temporary.c_str());
    return fail(errno_text("cannot make the socket " + path, why));
  }
  const auto file = SocketFile::at(path);
  if (!file) return fail(path + ": the socket vanished");
  out.file = *file;
  return out;
}

std::expected<transport::UniqueFd, int> connect_to(const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + kLettingGoTimeout;
  auto connected = connect_once(path);
  while (connected && is_dying(peer_process(connected->get())) && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    connected = connect_once(path);
  }
  return connected;
}

pid_t peer_process(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

ino_t network_namespace_of(pid_t process) {
  struct stat status{};
  return stat(("/proc/" + std::to_string(process) + "/ns/net").c_str(), &status) == 0 ? status.st_ino : 0;
}

ino_t own_network_namespace() {
  struct stat status{};
  return stat("/proc/thread-self/ns/net", &status) == 0 ? status.st_ino : 0;
}

}  // namespace hats::app
