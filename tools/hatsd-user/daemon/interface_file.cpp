#include "tools/hatsd-user/daemon/interface_file.hpp"

#include <utility>

namespace hats::app {

AppResult<InterfaceFile> parse_interface_file(std::string name, std::string path, std::string text) {
  auto config = config::parse_wg_quick(text);
  if (!config) return fail(config.error().text(path), kExitUsage);
  return InterfaceFile{.name = std::move(name),
                       .path = std::move(path),
                       .text = std::move(text),
                       .config = std::move(*config)};
}

}  // namespace hats::app
