#include "tools/hatsd-user/quick/file_guard.hpp"

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <filesystem>

namespace hats::app {
namespace {

std::string octal(mode_t mode) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%04o", mode & 07777U);
  return text.data();
}

}  // namespace

std::vector<std::string> file_guard(const std::string& path) {
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error) return {};
  const std::string folder = real.parent_path().string();
  struct stat file_status{};
  struct stat folder_status{};
  if (stat(real.c_str(), &file_status) != 0 || stat(folder.c_str(), &folder_status) != 0) return {};
  std::vector<std::string> out;
  const bool enterable = (folder_status.st_mode & S_IXOTH) != 0;
  if ((file_status.st_mode & (S_IROTH)) != 0 && enterable) {
    out.push_back(real.string() + " is readable by everyone (mode " + octal(file_status.st_mode) +
                  ") and holds secrets: make it 0600");
  }
  // Who can write to the folder can put another file in place, hooks for root included.
  if ((folder_status.st_mode & S_IWOTH) != 0 && (folder_status.st_mode & S_ISVTX) == 0) {
    out.push_back(real.string() + " lies in a folder that everyone can write to (mode " +
                  octal(folder_status.st_mode) + "): make " + folder + " 0700");
  }
  return out;
}

}  // namespace hats::app
