// What is said of several measurements of one thing.
#pragma once

#include <cstddef>
#include <vector>

namespace hats::app::bench {

/// The value that `share` (0..1) of all values do not exceed, by the nearest rank: 0.5 of {1, 2, 3, 4} is 2.
/// 0 if there are none.
[[nodiscard]] double percentile(std::vector<double> values, double share);

/// The middle value; the mean of the two in the middle of an even number. 0 if there are none.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace hats::app::bench
