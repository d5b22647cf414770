#include "tools/hatsd-user/daemon/log.hpp"

#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <syslog.h>

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
  logger->set_pattern(to == LogTo::standard_error ? "hatsd-user: %l: %v" : "%v");
  logger->set_level(spdlog_level(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace hats::app
