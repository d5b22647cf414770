#include "tools/hatsd-user/quick/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace hats::app {
namespace {

using Clock = std::chrono::steady_clock;

/// How often the end of a program is looked for where the kernel has no pidfd (before 5.3), in milliseconds.
constexpr int kWaitPollMs = 10;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  void reset() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

struct Pipe {
  Fd read, write;
};

std::expected<Pipe, int> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// A pipe that holds `input` complete, so that nobody has to write while the program runs.
std::expected<Fd, int> input_pipe(const std::string& input) {
  if (input.size() > kMaxCommandInputBytes) return std::unexpected(E2BIG);
  auto pipe = make_pipe();
  if (!pipe) return std::unexpected(pipe.error());
  fcntl(pipe->write.get(), F_SETFL, O_NONBLOCK);
  const ssize_t written = write(pipe->write.get(), input.data(), input.size());
  if (written < 0) return std::unexpected(errno);
  if (static_cast<size_t>(written) != input.size()) return std::unexpected(E2BIG);
  return std::move(pipe->read);
}

/// The environment of the child: ours, with LC_ALL=C as wg-quick exports it.
std::vector<std::string> child_environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("LC_ALL=")) out.emplace_back(*entry);
  }
  out.emplace_back("LC_ALL=C");
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// Starts `path`; stdin and stdout are descriptors of ours, or -1 for the null device and for inheriting.
std::expected<pid_t, int> spawn(const std::string& path, std::vector<std::string> words, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  if (in >= 0) {
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  if (out >= 0) {
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  auto environment = child_environment();
  pid_t pid = -1;
  const int error = posix_spawn(&pid, path.c_str(), &actions, &attributes, pointers(words).data(),
                                pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::unexpected(error);
  return pid;
}

/// Takes what the pipe holds now; false at its end.
bool drain(int fd, std::string& output) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n > 0) {
      const size_t room = kMaxCommandOutputBytes - std::min(output.size(), kMaxCommandOutputBytes);
      output.append(buffer.data(), std::min(static_cast<size_t>(n), room));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && errno == EAGAIN;
  }
}

/// A started program and what we wait for: its end, its output, an interruption.
class Child {
 public:
  Child(pid_t pid, Fd output, int interrupt_fd)
      : pid_(pid), output_(std::move(output)), interrupt_fd_(interrupt_fd) {
    pidfd_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (output_.get() >= 0) fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  }

  CommandOutcome wait() {
    CommandOutcome outcome;
    int status = 0;
    while (true) {
      const pid_t ended = waitpid(pid_, &status, WNOHANG);
      if (ended == pid_ || (ended < 0 && errno != EINTR)) break;
      sleep_until_something(outcome);
    }
    // What it wrote before its end; a process that it left behind may hold the pipe open, and is not waited
    // for.
    if (output_.get() >= 0) drain(output_.get(), outcome.output);
    if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
    return outcome;
  }

 private:
  void sleep_until_something(CommandOutcome& outcome) {
    std::array<pollfd, 3> fds{pollfd{output_.get(), POLLIN, 0},
                              pollfd{outcome.interrupted ? -1 : interrupt_fd_, POLLIN, 0},
                              pollfd{pidfd_.get(), POLLIN, 0}};
    const int limit = pidfd_.get() < 0 ? kWaitPollMs : outcome.interrupted ? grace_left_ms() : -1;
    if (poll(fds.data(), fds.size(), limit) < 0) return;
    if (fds[0].revents != 0 && !drain(output_.get(), outcome.output)) output_.reset();
    if (fds[1].revents != 0) {
      outcome.interrupted = true;
      kill(-pid_, SIGTERM);
      kill_at_ = Clock::now() + std::chrono::milliseconds(kInterruptGraceMs);
    }
    if (outcome.interrupted && grace_left_ms() == 0) kill(-pid_, SIGKILL);
  }

  [[nodiscard]] int grace_left_ms() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(kill_at_ - Clock::now());
    return static_cast<int>(std::max<int64_t>(0, left.count()));
  }

  pid_t pid_;
  Fd output_, pidfd_;
  int interrupt_fd_;
  Clock::time_point kill_at_{};
};

}  // namespace

std::string CommandOutcome::how() const {
  if (interrupted) return "interrupted";
  if (signal != 0) return "killed by signal " + std::to_string(signal);
  return "exit status " + std::to_string(exit_status);
}

std::optional<std::string> find_program(std::string_view name) {
  if (name.find('/') != std::string_view::npos) {
    std::string path(name);
    if (access(path.c_str(), X_OK) == 0) return path;
    return std::nullopt;
  }
  const char* variable = std::getenv("PATH");
  std::string folders = variable != nullptr ? variable : "/usr/bin:/bin";
  folders += ":/usr/local/sbin:/usr/sbin:/sbin";
  for (size_t start = 0; start <= folders.size();) {
    const size_t end = std::min(folders.find(':', start), folders.size());
    // An empty folder means the working directory to a shell; root has no use for that.
    if (end > start) {
      std::string path = folders.substr(start, end - start) + "/" + std::string(name);
      if (access(path.c_str(), X_OK) == 0) return path;
    }
    start = end + 1;
  }
  return std::nullopt;
}

std::expected<CommandOutcome, int> run_command(const Command& command) {
  const auto path = find_program(command.words.at(0));
  if (!path) return std::unexpected(ENOENT);
  Fd input;
  if (!command.input.empty()) {
    auto pipe = input_pipe(command.input);
    if (!pipe) return std::unexpected(pipe.error());
    input = std::move(*pipe);
  }
  Pipe output;
  if (command.capture) {
    auto pipe = make_pipe();
    if (!pipe) return std::unexpected(pipe.error());
    output = std::move(*pipe);
  }
  const auto pid = spawn(*path, command.words, input.get(), output.write.get());
  output.write.reset();
  if (!pid) return std::unexpected(pid.error());
  return Child(*pid, std::move(output.read), command.interrupt_fd).wait();
}

bool readable_now(int fd) {
  if (fd < 0) return false;
  pollfd entry{fd, POLLIN, 0};
  return poll(&entry, 1, 0) > 0;
}

}  // namespace hats::app
