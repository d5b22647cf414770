#include "tools/hatsd-user/daemon/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

#include <memory>

namespace hats::app {

namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::silent:
      return spdlog::level::off;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::debug:
      break;
  }
  return spdlog::level::debug;
}

/// "warning: " and the like; nothing for an error, which is told as the command line tells its own.
class LevelWord final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    if (message.level >= spdlog::level::err) return;
    const spdlog::string_view_t word = spdlog::level::to_string_view(message.level);
    out.append(word.data(), word.data() + word.size());
    out.push_back(':');
    out.push_back(' ');
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelWord>();
  }
};

}  // namespace

void set_up_log(LogTo to, LogLevel level) {
  spdlog::sink_ptr sink;
  if (to == LogTo::standard_error) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else if (to == LogTo::system_log) {
    sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("hatsd-user", LOG_PID, LOG_DAEMON, false);
  } else {
    sink = std::make_shared<spdlog::sinks::null_sink_mt>();
  }
  auto logger = std::make_shared<spdlog::logger>("hatsd-user", std::move(sink));
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelWord>('*').set_pattern(to == LogTo::standard_error ? "hatsd-user: %*%v" : "%v");
  logger->set_formatter(std::move(formatter));
  logger->set_level(spdlog_level(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace hats::app
