// A configuration file that somebody has read for us. The text may hold secrets; its owner wipes it.
#pragma once

#include <string>

namespace hats::config {

struct SourceText {
  std::string path;
  std::string text;
};

}  // namespace hats::config
