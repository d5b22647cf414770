#include "tools/hatsd-user/daemon/memory_limit.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

#include "transport/loop.hpp"

namespace hats::app {

namespace {

constexpr uint64_t kMib = uint64_t{1024} * 1024;
/// The part of the available memory that packets take if nothing else is said: 1 / kShare.
constexpr uint64_t kShare = 4;

std::optional<uint64_t> leading_number(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Takes the first line off `text`.
std::string_view take_line(std::string_view& text) noexcept {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

std::optional<uint64_t> parse_cgroup_limit(std::string_view text) noexcept {
  return leading_number(text);
}

std::optional<uint64_t> parse_mem_total(std::string_view text) noexcept {
  constexpr std::string_view kKey = "MemTotal:";
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (!line.starts_with(kKey)) continue;
    const auto kib = leading_number(line.substr(kKey.size()));
    return kib ? std::optional(*kib * 1024) : std::nullopt;
  }
  return std::nullopt;
}

CgroupPath parse_cgroup_path(std::string_view text) noexcept {
  CgroupPath unified;
  while (!text.empty()) {
    // "4:memory:/path", or "0::/path"
    const std::string_view line = take_line(text);
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers == "memory") return {.path = path, .unified = false};
    if (controllers.empty()) unified = {.path = path, .unified = true};
  }
  return unified;
}

uint64_t memory_available() {
  uint64_t least = parse_mem_total(content_of("/proc/meminfo")).value_or(0);
  const std::string cgroups = content_of("/proc/self/cgroup");
  const CgroupPath own = parse_cgroup_path(cgroups);
  const std::string root = own.unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  const char* const file = own.unified ? "/memory.max" : "/memory.limit_in_bytes";
  // In a container the path may be the host's, and only the root of what is mounted is there.
  std::string path(own.path == "/" ? std::string_view{} : own.path);
  while (true) {
    const auto limit = parse_cgroup_limit(content_of(root + path + file));
    if (limit && (least == 0 || *limit < least)) least = *limit;
    if (path.empty()) return least;
    const size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
}

uint32_t slabs_for(uint64_t bytes, unsigned workers) noexcept {
  const uint64_t each = bytes / std::max(workers, 1U) / transport::kSlabSize;
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(each, transport::kMinSlabs, transport::LoopOptions{}.slabs));
}

uint32_t slabs_of_setting(unsigned memory_mib, unsigned workers) {
  if (memory_mib != 0) return slabs_for(memory_mib * kMib, workers);
  const uint64_t available = memory_available();
  return available == 0 ? transport::LoopOptions{}.slabs : slabs_for(available / kShare, workers);
}

}  // namespace hats::app
