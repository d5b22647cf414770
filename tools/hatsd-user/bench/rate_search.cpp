#include "tools/hatsd-user/bench/rate_search.hpp"

#include <algorithm>
#include <cmath>

namespace hats::app::bench {

namespace {

// A sender that brings about less of the rate than this falls short of it.
constexpr double kKeptUp = 0.9;
// A sender that falls short is asked for more until this many times what arrived at best was asked for:
// larger bursts can be cheaper, and there may be a valley between.
constexpr double kAskedInVain = 3;

}  // namespace

std::optional<double> RateSearch::next() const {
  if (trials_ >= options_.most_trials) return std::nullopt;
  if (passed_ && failed_ && *failed_ <= *passed_ * (1 + options_.precision)) return std::nullopt;
  return rate_;
}

void RateSearch::tried(const RateTrial& trial) {
  ++trials_;
  const bool passes = trial.loss() < options_.loss_limit;
  if (passes && trial.delivered > best_.delivered) best_ = trial;
  const bool at_its_end =
      trial.sent < kKeptUp * trial.offered && trial.offered > kAskedInVain * best_.delivered;
  if (!passes && !failed_once_) {
    failed_once_ = true;
    return;
  }
  failed_once_ = false;
  if (passes) passed_ = std::max(passed_.value_or(0), rate_);
  if (!passes || at_its_end) {
    failed_ = std::min(failed_.value_or(rate_), rate_);
    if (passes) return;  // both: nothing is between them
  }
  if (!failed_) {
    rate_ *= options_.growth;
  } else if (!passed_) {
    rate_ /= options_.growth;
  } else {
    rate_ = std::sqrt(*passed_ * *failed_);
  }
}

}  // namespace hats::app::bench
