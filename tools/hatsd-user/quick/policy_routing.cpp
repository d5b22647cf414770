#include "tools/hatsd-user/quick/policy_routing.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tools/hatsd-user/quick/atomic_file.hpp"

namespace hats::app {
namespace {

constexpr uint32_t kMainTable = 254;

/// Whether `table` has a route of that family. A family that the kernel lacks has none.
std::expected<bool, int> in_use(tun::Netlink& netlink, Family family, uint32_t table) {
  const auto routes = netlink.routes(family, 0, table);
  if (routes) return !routes->empty();
  if (routes.error() == ENOENT || routes.error() == EAFNOSUPPORT || routes.error() == EOPNOTSUPP)
    return false;
  return std::unexpected(routes.error());
}

}  // namespace

std::expected<uint32_t, int> first_free_table(tun::Netlink& netlink) {
  for (uint32_t table = kFirstDefaultTable;; ++table) {
    bool used = false;
    for (const Family family : {Family::v4, Family::v6}) {
      const auto busy = in_use(netlink, family, table);
      if (!busy) return std::unexpected(busy.error());
      used = used || *busy;
    }
    if (!used) return table;
  }
}

std::array<tun::Rule, 2> default_route_rules(Family family, uint32_t table) {
  tun::Rule marked;
  marked.family = family;
  marked.invert = true;
  marked.fwmark = table;
  marked.table = table;
  tun::Rule main;
  main.family = family;
  main.table = kMainTable;
  main.suppress_prefix_length = 0;
  return {marked, main};
}

std::optional<uint32_t> next_rule_priority(const std::vector<tun::Rule>& rules) {
  std::vector<uint32_t> priorities;
  priorities.reserve(rules.size());
  for (const auto& rule : rules) priorities.push_back(rule.priority.value_or(0));
  std::sort(priorities.begin(), priorities.end());
  if (priorities.size() < 2 || priorities[1] < 2) return std::nullopt;
  return priorities[1] - 1;
}

bool has_default_route_rule(tun::Netlink& netlink, Family family) {
  const auto rules = netlink.rules(family);
  if (!rules) return false;
  return std::any_of(rules->begin(), rules->end(), [](const tun::Rule& rule) {
    return rule.invert && rule.fwmark && *rule.fwmark == rule.table;
  });
}

std::optional<std::string> read_sysctl(const std::string& path) {
  auto text = read_whole_file(path);
  if (!text) return std::nullopt;
  return text->substr(0, text->find('\n'));
}

bool write_sysctl(const std::string& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t written = write(fd, value.data(), value.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written == static_cast<ssize_t>(value.size());
}

}  // namespace hats::app
