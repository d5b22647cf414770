// How the program says no: a message for people and the exit code that goes with it (DESIGN.md 7).
#pragma once

#include <cstring>
#include <expected>
#include <string>

namespace hats::app {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;  // configuration or usage

struct AppError {
  std::string message;
  int exit_code = kExitFailure;
};

template <typename T>
using AppResult = std::expected<T, AppError>;

[[nodiscard]] inline std::unexpected<AppError> fail(std::string message, int exit_code = kExitFailure) {
  return std::unexpected(AppError{std::move(message), exit_code});
}

/// "what: No such file or directory".
[[nodiscard]] inline std::string errno_text(const std::string& what, int error) {
  return what + ": " + std::strerror(error);  // NOLINT(concurrency-mt-unsafe): glibc's is thread-safe
}

}  // namespace hats::app
