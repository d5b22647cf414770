#include "tools/hatsd-user/quick/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "crypto/secret.hpp"

namespace hats::app {
namespace {

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return 0;
}

int fill(int fd, std::string_view text, const std::optional<FileOwner>& owner) {
  if (owner && fchown(fd, owner->user, owner->group) != 0) return errno;
  if (const int error = write_all(fd, text); error != 0) return error;
  return fsync(fd) == 0 ? 0 : errno;
}

/// A std::string that grows gives its old memory back as it is; this one wipes it first.
void append(std::string& text, std::span<const char> more) {
  if (text.size() + more.size() > text.capacity()) {
    std::string bigger;
    bigger.reserve(2 * (text.size() + more.size()));
    bigger = std::string_view(text);
    crypto::wipe({reinterpret_cast<uint8_t*>(text.data()), text.size()});
    text = std::move(bigger);
  }
  text.append(more.data(), more.size());
}

}  // namespace

std::expected<void, int> replace_file(const std::string& path, std::string_view text,
                                      std::optional<FileOwner> owner) {
  std::string temporary = path + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return std::unexpected(errno);
  int error = fill(fd, text, owner);
  close(fd);
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(temporary.c_str());
    return std::unexpected(error);
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder_fd >= 0) {
    fsync(folder_fd);
    close(folder_fd);
  }
  return {};
}

std::expected<std::string, int> read_whole_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(errno);
  std::string text;
  std::array<char, 4096> buffer;
  int error = 0;
  while (true) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error = errno;
    if (n <= 0) break;
    append(text, std::span<const char>(buffer).first(static_cast<size_t>(n)));
  }
  close(fd);
  crypto::wipe({reinterpret_cast<uint8_t*>(buffer.data()), buffer.size()});
  if (error != 0) return std::unexpected(error);
  return text;
}

namespace {

std::string why_unread(int error) {
  const std::string text = std::strerror(error);
  return error == EACCES && geteuid() != 0 ? text + "; run as root" : text;
}

}  // namespace

std::expected<std::string, std::string> read_named_file(const std::string& path, size_t limit) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return std::unexpected(why_unread(errno));
  if (!S_ISREG(status.st_mode)) {
    struct stat null{};
    const bool masked =
        S_ISCHR(status.st_mode) && stat("/dev/null", &null) == 0 && status.st_rdev == null.st_rdev;
    if (masked) return std::string();
    return std::unexpected("is not a file");
  }
  if (static_cast<uintmax_t>(status.st_size) > limit) {
    return std::unexpected("is larger than " + std::to_string(limit) + " bytes");
  }
  auto text = read_whole_file(path);
  if (!text) return std::unexpected(why_unread(text.error()));
  return std::move(*text);
}

}  // namespace hats::app
