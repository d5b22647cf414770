// hatsd-user: layer-3 tunnels in user space. Everything else is a library, so that tests link the same code.
#include "tools/hatsd-user/cli/cli.hpp"

int main(int argc, char** argv) {
  return hats::app::run_command_line(argc, argv);
}
