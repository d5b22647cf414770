// The command line (DESIGN.md 7): words to a command, and its exit code.
#pragma once

#include <string>
#include <vector>

#include "tools/hatsd-user/cli/bench_command.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/settings.hpp"

namespace hats::app {

enum class Command : uint8_t { bare, up, down, show, check, reload, tunnel, bench, genkey, pubkey, genpsk };

struct CommandLine {
  Command command = Command::bare;
  Settings settings;
  std::vector<std::string> names;  // configurations, interfaces, the one NAME, or the words after `tunnel`
  bool all = false;                // down --all
  bool json = false;               // show --json
  BenchOptions bench{};
};

/// What parsing came to: a command, or text to print and an exit code (--help, --version, a fault).
struct ParsedCommandLine {
  CommandLine line;
  bool run = false;
  std::string text;
  int exit_code = 0;
};

[[nodiscard]] ParsedCommandLine parse_command_line(int argc, const char* const* argv,
                                                   Environment environment);

/// The whole program.
int run_command_line(int argc, char** argv);

}  // namespace hats::app
