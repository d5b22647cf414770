// The process's log: stderr while it starts and in the foreground, syslog as a daemon. Never per packet,
// never a secret.
#pragma once

#include "tools/hatsd-user/daemon/settings.hpp"

namespace hats::app {

enum class LogTo : uint8_t { standard_error, system_log, nowhere };

void set_up_log(LogTo to, LogLevel level);

}  // namespace hats::app
