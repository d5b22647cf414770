// What each command does. Faults go to standard error; the return value is the exit code.
#pragma once

#include "tools/hatsd-user/cli/cli.hpp"

namespace hats::app {

[[nodiscard]] int run_command(const CommandLine& line);

}  // namespace hats::app
