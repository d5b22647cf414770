// The host's names of DS field values, for `tos NAME` in the words of `ip tunnel`.
#pragma once

#include "core/config/dsfield.hpp"

namespace hats::app {

/// The administrator's rt_dsfield, else the distribution's, as newer iproute2 looks for it; empty if there is
/// neither.
[[nodiscard]] config::DsfieldNames dsfield_names();

}  // namespace hats::app
