// Standard output and error of another process, for what hooks say: `hatsd-user down` asks a daemon that has
// long left its terminal, and the person who asked wants to read it.
#pragma once

#include <array>

#include "tools/hatsd-user/control/descriptors.hpp"

namespace hats::app {

/// While it lives, our output and error are the two of `theirs`; fewer borrow nothing.
class BorrowedOutput {
 public:
  explicit BorrowedOutput(const Descriptors& theirs);
  ~BorrowedOutput();
  BorrowedOutput(const BorrowedOutput&) = delete;
  BorrowedOutput& operator=(const BorrowedOutput&) = delete;

 private:
  std::array<transport::UniqueFd, 2> kept_;  // our own, where another has its place
};

}  // namespace hats::app
