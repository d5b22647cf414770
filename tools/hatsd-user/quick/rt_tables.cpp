#include "tools/hatsd-user/quick/rt_tables.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace hats::app {
namespace {

namespace fs = std::filesystem;

std::optional<uint32_t> number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.starts_with("0")) {
    base = 8;
  }
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint32_t> look_up(const fs::path& file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string id, text;
    if (words >> id >> text && text == name) return number(id);
  }
  return std::nullopt;
}

std::vector<fs::path> files_of(const std::string& folder) {
  std::vector<fs::path> files{fs::path(folder) / "rt_tables"};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "rt_tables.d", error)) {
    if (entry.path().extension() == ".conf") files.push_back(entry.path());
  }
  std::sort(files.begin() + 1, files.end());
  return files;
}

}  // namespace

std::vector<std::string> rt_tables_folders() {
  return {"/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"};
}

std::optional<uint32_t> routing_table(std::string_view text, const std::vector<std::string>& folders) {
  std::optional<uint32_t> found;
  for (const auto& folder : folders) {
    for (const auto& file : files_of(folder)) {
      if (!found) found = look_up(file, text);
    }
  }
  if (!found && text == "main") found = 254;
  if (!found && text == "local") found = 255;
  if (!found && text == "default") found = 253;
  if (!found) found = number(text);
  if (found == 0U) return std::nullopt;
  return found;
}

}  // namespace hats::app
