// `hatsd-user show` for people, from the object that --json prints (control/status_json.hpp).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace hats::app {

/// `now_s`: wall clock, seconds, for "N seconds ago". `elsewhere`: the link is not in the caller's namespace.
[[nodiscard]] std::string show_text(const nlohmann::json& status, int64_t now_s, bool elsewhere);

/// "1 minute, 12 seconds".
[[nodiscard]] std::string duration_text(int64_t seconds);
/// "17.20 KiB".
[[nodiscard]] std::string bytes_text(uint64_t bytes);

}  // namespace hats::app
