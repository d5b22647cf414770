// The search for the highest rate of packets that arrive with less than a given loss. Pure: it says which
// rate to try, and is told what came of it.
#pragma once

#include <optional>

namespace hats::app::bench {

/// What came of offering packets at some rate for a while.
struct RateTrial {
  double offered = 0;    // packets a second asked for
  double sent = 0;       // packets a second that the sender brought about
  double delivered = 0;  // packets a second that arrived
  [[nodiscard]] double loss() const { return sent > 0 ? 1 - delivered / sent : 1; }
};

struct RateSearchOptions {
  double start = 50'000;  // packets a second, the first rate tried
  double growth = 1.6;  // of the rate, while nothing has failed yet (and shrinking, while nothing has passed)
  double precision = 0.04;   // ends when the lowest failure is within this of the highest pass
  double loss_limit = 0.01;  // a trial with less loss passes
  unsigned most_trials = 16;
};

/// A rate that fails is tried a second time before that is believed: on a shared machine a single pause of
/// the receiver loses more than the tunnel does. A sender that falls short of the rate by a tenth without any
/// loss is asked for up to three times what arrived at best; then what it did bring about counts, more cannot
/// be shown.
class RateSearch {
 public:
  explicit RateSearch(const RateSearchOptions& options) : options_(options), rate_(options.start) {}

  /// The rate to try now; nullopt: the search is over.
  [[nodiscard]] std::optional<double> next() const;
  void tried(const RateTrial& trial);

  /// The trial with the most packets delivered among those that passed; delivered is 0 if none did.
  [[nodiscard]] const RateTrial& best() const { return best_; }
  [[nodiscard]] unsigned trials() const { return trials_; }

 private:
  RateSearchOptions options_;
  double rate_;
  std::optional<double> passed_, failed_;  // the highest rate that passed, the lowest that failed
  bool failed_once_ = false;               // the present rate
  RateTrial best_;
  unsigned trials_ = 0;
};

}  // namespace hats::app::bench
