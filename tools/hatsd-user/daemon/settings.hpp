// What the command line and the environment decide for a whole process (DESIGN.md 7).
#pragma once

#include <string>
#include <string_view>

#include "crypto/aead.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "transport/loop.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

enum class LogLevel : uint8_t { silent, error, warning, info, debug };

struct Settings {
  transport::IoChoice io = transport::IoChoice::automatic;
  tun::OffloadChoice tun_offload = tun::OffloadChoice::automatic;
  crypto::AeadChoice aead = crypto::AeadChoice::automatic;
  unsigned workers = 1;
  bool realtime = false;    // packet loops under SCHED_FIFO
  unsigned memory_mib = 0;  // for packets, all workers together; 0: from what the machine or cgroup has
  LogLevel log_level = LogLevel::info;
  bool log_level_given = false;  // by option or environment
  bool foreground = false;
};

/// Threads of packet loops in one process at the most; tunnels are spread over them.
inline constexpr unsigned kMaxWorkers = 64;

/// Looks up an environment variable; nullptr if unset. std::getenv outside of tests.
using Environment = const char* (*)(const char* name);

/// One setting by name ("io", "tun-offload", "workers", "realtime", "memory", "log-level",
/// "aead") from text. `source` names where
/// the text stands ("--io", "HATSD_IO"), for the message.
[[nodiscard]] AppResult<void> apply_setting(Settings& settings, std::string_view name, std::string_view text,
                                            const std::string& source);

/// The defaults that HATSD_IO, HATSD_TUN_OFFLOAD, HATSD_WORKERS, HATSD_REALTIME, HATSD_MEMORY,
/// HATSD_LOG_LEVEL, HATSD_AEAD and, where HATSD_LOG_LEVEL is unset, LOG_LEVEL give. A bad value is refused,
/// save for LOG_LEVEL's, which is not ours.
[[nodiscard]] AppResult<Settings> settings_from_environment(Environment environment);

}  // namespace hats::app
