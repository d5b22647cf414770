#include "transport/gso_paths.hpp"

#include <algorithm>
#include <span>

namespace hats::transport {

bool GsoPaths::allows_listed(const IpAddress& to, uint32_t segment_size, BootTime now) const noexcept {
  for (const Path& path : std::span(paths_).first(used_)) {
    if (path.to == to) return path.expires <= now || segment_size < path.refused_size;
  }
  return true;
}

bool GsoPaths::learn(const IpAddress& to, uint32_t segment_size, BootTime now) noexcept {
  for (Path& path : std::span(paths_).first(used_)) {
    if (path.to != to) continue;
    const bool known = path.expires > now;
    path.refused_size = known ? std::min(path.refused_size, segment_size) : segment_size;
    path.expires = now + kLifetime;
    return !known;
  }
  Path* place = nullptr;
  if (used_ < kMaxPaths) {
    place = &paths_[used_++];
  } else {
    place = &*std::ranges::min_element(paths_, {}, &Path::expires);
  }
  *place = {to, segment_size, now + kLifetime};
  return true;
}

}  // namespace hats::transport
