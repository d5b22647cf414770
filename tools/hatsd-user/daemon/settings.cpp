#include "tools/hatsd-user/daemon/settings.hpp"

#include <charconv>
#include <optional>
#include <utility>

#include "tools/hatsd-user/daemon/memory_limit.hpp"

namespace hats::app {

namespace {

template <typename T>
struct Choice {
  std::string_view text;
  T value;
};

constexpr Choice<transport::IoChoice> kIoChoices[] = {{"auto", transport::IoChoice::automatic},
                                                      {"uring", transport::IoChoice::uring},
                                                      {"epoll", transport::IoChoice::epoll}};
constexpr Choice<tun::OffloadChoice> kOffloadChoices[] = {{"auto", tun::OffloadChoice::automatic},
                                                          {"off", tun::OffloadChoice::off}};
constexpr Choice<bool> kSwitch[] = {{"on", true}, {"off", false}};
constexpr Choice<LogLevel> kLogLevels[] = {{"silent", LogLevel::silent},   {"error", LogLevel::error},
                                           {"warning", LogLevel::warning}, {"info", LogLevel::info},
                                           {"debug", LogLevel::debug},     {"verbose", LogLevel::debug}};

template <typename T, size_t N>
bool choose(const Choice<T> (&choices)[N], std::string_view text, T& out) {
  for (const auto& choice : choices) {
    if (choice.text == text) {
      out = choice.value;
      return true;
    }
  }
  return false;
}

bool number(std::string_view text, unsigned least, unsigned most, unsigned& out) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) return false;
  out = value;
  return true;
}

std::unexpected<AppError> refuse(const std::string& source, std::string_view text, const char* allowed) {
  return fail(source + ": '" + std::string(text) + "' is not possible; it may be " + allowed, kExitUsage);
}

}  // namespace

AppResult<void> apply_setting(Settings& settings, std::string_view name, std::string_view text,
                              const std::string& source) {
  if (name == "io") {
    if (!choose(kIoChoices, text, settings.io)) return refuse(source, text, "auto, uring or epoll");
  } else if (name == "tun-offload") {
    if (!choose(kOffloadChoices, text, settings.tun_offload)) return refuse(source, text, "auto or off");
  } else if (name == "aead") {
    const auto choice = crypto::aead_choice_from(text);
    if (!choice) return refuse(source, text, "auto, sodium or ipsec-mb");
    settings.aead = *choice;
  } else if (name == "workers") {
    if (!number(text, 1, kMaxWorkers, settings.workers)) return refuse(source, text, "a number from 1 to 64");
  } else if (name == "memory") {
    if (!number(text, kLeastMemoryMib, kMostMemoryMib, settings.memory_mib)) {
      return refuse(source, text, "MiB for packets, from 2 to 4096");
    }
  } else if (name == "realtime") {
    if (!choose(kSwitch, text, settings.realtime)) return refuse(source, text, "on or off");
  } else {
    if (!choose(kLogLevels, text, settings.log_level)) {
      return refuse(source, text, "silent, error, warning, info, debug or verbose");
    }
    settings.log_level_given = true;
  }
  return {};
}

AppResult<Settings> settings_from_environment(Environment environment) {
  Settings settings;
  constexpr std::pair<const char*, const char*> kVariables[] = {
      {"HATSD_IO", "io"},           {"HATSD_TUN_OFFLOAD", "tun-offload"},
      {"HATSD_WORKERS", "workers"}, {"HATSD_REALTIME", "realtime"},
      {"HATSD_MEMORY", "memory"},   {"HATSD_LOG_LEVEL", "log-level"},
      {"HATSD_AEAD", "aead"}};
  for (const auto& [variable, name] : kVariables) {
    const char* text = environment(variable);
    if (text == nullptr || *text == '\0') continue;
    if (auto applied = apply_setting(settings, name, text, variable); !applied) {
      return std::unexpected(applied.error());
    }
  }
  // wg-quick's users set LOG_LEVEL for whatever program runs; a word we do not know is somebody else's.
  if (const char* text = environment("LOG_LEVEL"); text != nullptr && !settings.log_level_given) {
    settings.log_level_given = choose(kLogLevels, text, settings.log_level);
  }
  return settings;
}

}  // namespace hats::app
