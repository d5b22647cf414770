// What `hatsd-user bench` prints: JSON, and the same for people. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/hatsd-user/bench/verdict.hpp"

namespace hats::app::bench {

[[nodiscard]] nlohmann::json report_json(const BenchReport& report, const Verdict& verdict);
[[nodiscard]] std::string report_text(const BenchReport& report, const Verdict& verdict);

}  // namespace hats::app::bench
