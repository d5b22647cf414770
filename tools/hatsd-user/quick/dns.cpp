#include "tools/hatsd-user/quick/dns.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "tools/hatsd-user/quick/command.hpp"

namespace hats::app {
namespace {

std::expected<void, std::string> resolvconf(std::vector<std::string> words, std::string input) {
  words.insert(words.begin(), "resolvconf");
  const auto outcome = run_command(
      {.words = std::move(words), .input = std::move(input), .capture = true, .interrupt_fd = -1});
  if (!outcome && outcome.error() == ENOENT) {
    return std::unexpected(
        "needs the program resolvconf, which is not here: install openresolv (or resolvconf, or "
        "systemd-resolved), "
        "or remove the line");
  }
  if (!outcome) return std::unexpected("resolvconf: " + std::string(std::strerror(outcome.error())));
  if (!outcome->succeeded()) {
    const std::string said = outcome->output.substr(0, outcome->output.find('\n'));
    return std::unexpected("resolvconf: " + outcome->how() + (said.empty() ? "" : ": " + said));
  }
  return {};
}

}  // namespace

std::string resolvconf_name(const std::string& interface, const std::string& order_file) {
  std::ifstream in(order_file);
  for (std::string line; std::getline(in, line);) {
    const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
    line.erase(line.begin(), std::find_if_not(line.begin(), line.end(), blank));
    while (!line.empty() && blank(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (line.size() < 2 || line.back() != '*') continue;
    const std::string prefix = line.substr(0, line.size() - 1);
    const bool plain = std::all_of(prefix.begin(), prefix.end(),
                                   [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
    if (plain) return std::string(prefix).append(".").append(interface);
  }
  return interface;
}

std::string resolvconf_record(const std::vector<std::string>& servers,
                              const std::vector<std::string>& search) {
  std::string out;
  for (const auto& server : servers) out.append("nameserver ").append(server).append("\n");
  if (!search.empty()) {
    out += "search";
    for (const auto& domain : search) out.append(" ").append(domain);
    out += "\n";
  }
  return out;
}

std::expected<void, std::string> set_dns(const std::string& name, const std::vector<std::string>& servers,
                                         const std::vector<std::string>& search) {
  return resolvconf({"-a", name, "-m", "0", "-x"}, resolvconf_record(servers, search));
}

std::expected<void, std::string> unset_dns(const std::string& name) {
  return resolvconf({"-d", name, "-f"}, "");
}

}  // namespace hats::app
