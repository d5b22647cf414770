#include "tools/hatsd-user/quick/dsfield_file.hpp"

#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {

config::DsfieldNames dsfield_names() {
  for (const char* path : {"/etc/iproute2/rt_dsfield", "/usr/share/iproute2/rt_dsfield"}) {
    if (const auto text = read_whole_file(path)) return config::DsfieldNames::parse(*text);
  }
  return {};
}

}  // namespace hats::app
