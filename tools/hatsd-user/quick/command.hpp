// External programs of the host set-up (hooks, nft, resolvconf): run one to its end, without a shell of ours
// in between. The child gets default signal handlers, an empty signal mask, a process group of its own and
// none of our descriptors. Blocks for as long as the program runs.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hats::app {

/// What a program may be given on its standard input, in bytes: what a pipe holds (pipe(7)).
inline constexpr size_t kMaxCommandInputBytes = size_t{64} * 1024;
/// How much of a captured output is kept, in bytes; the rest is read and dropped.
inline constexpr size_t kMaxCommandOutputBytes = size_t{256} * 1024;
/// How long an interrupted program has between SIGTERM and SIGKILL, in milliseconds.
inline constexpr int kInterruptGraceMs = 5000;

struct Command {
  std::vector<std::string> words;  // words[0]: a path, or a name looked up by find_program
  std::string input;               // for its standard input; empty: the null device
  bool capture = false;            // keep standard output and error; else both are inherited
  int interrupt_fd = -1;           // when readable, the program is ended; -1: it is waited for
};

struct CommandOutcome {
  int exit_status = 0;  // 0..255 if it exited
  int signal = 0;       // that killed it, or 0
  bool interrupted = false;
  std::string output;  // with capture

  [[nodiscard]] bool succeeded() const { return exit_status == 0 && signal == 0 && !interrupted; }
  /// "exit status 3", "killed by signal 9", "interrupted".
  [[nodiscard]] std::string how() const;
};

/// The path of a program: PATH, then the sbin folders, which cron's and many containers' PATH lack.
[[nodiscard]] std::optional<std::string> find_program(std::string_view name);

/// Runs it to its end. The error is an errno value: ENOENT if there is no such program.
[[nodiscard]] std::expected<CommandOutcome, int> run_command(const Command& command);

/// True if `fd` is readable now; false for -1.
[[nodiscard]] bool readable_now(int fd);

}  // namespace hats::app
