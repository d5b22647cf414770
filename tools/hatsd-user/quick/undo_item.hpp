// Carries out one entry of an undo record.
#pragma once

#include <functional>
#include <string>

#include "tools/hatsd-user/quick/undo_record.hpp"

namespace hats::app {

/// Takes the change back. What is not there any more is no fault; anything else that fails is told to `warn`,
/// with the configuration file before it.
void undo_item(const UndoItem& item, const std::string& interface, const std::string& file,
               const std::function<void(const std::string&)>& warn);

}  // namespace hats::app
