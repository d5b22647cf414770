#include "tools/hatsd-user/quick/hooks.hpp"

#include <cstring>

#include "tools/hatsd-user/quick/command.hpp"

namespace hats::app {

std::string expand_hook(std::string_view command, std::string_view interface) {
  std::string out;
  for (size_t i = 0; i < command.size();) {
    if (command.substr(i, 2) == "%i") {
      out += interface;
      i += 2;
    } else {
      out += command[i++];
    }
  }
  return out;
}

std::expected<void, std::string> run_hook(const std::string& command, int interrupt_fd,
                                          const std::function<void(const std::string&)>& warn) {
  Command call{.words = {}, .input = {}, .capture = false, .interrupt_fd = interrupt_fd};
  if (auto bash = find_program("bash")) {
    call.words = {*bash, "-e", "-o", "pipefail", "-O", "extglob", "-c", "--", command};
  } else {
    warn("no bash on this host: hooks are run by /bin/sh, which lacks bash's own words");
    call.words = {"/bin/sh", "-e", "-c", "--", command};
  }
  const auto outcome = run_command(call);
  if (!outcome) {
    return std::unexpected("cannot be run: " + std::string(std::strerror(outcome.error())));
  }
  if (!outcome->succeeded()) return std::unexpected(outcome->how());
  return {};
}

}  // namespace hats::app
