#include "transport/mailbox.hpp"

#include <unistd.h>

#include <cstdint>

namespace hats::transport {

void Mailbox::post(std::function<void()> function) {
  {
    const std::lock_guard lock(mutex_);
    posts_.push_back(std::move(function));
    has_posts_.store(true, std::memory_order_release);
  }
  wake();
}

void Mailbox::stop() {
  stopping_.store(true, std::memory_order_release);
  wake();
}

void Mailbox::wake() const {
  const uint64_t one = 1;
  // It can fail only when 2^64 - 1 wake-ups were never read.
  static_cast<void>(!write(wake_fd_.get(), &one, sizeof one));
}

void Mailbox::run_posted() {
  if (!has_posts_.load(std::memory_order_acquire)) return;
  {
    const std::lock_guard lock(mutex_);
    running_.swap(posts_);
    has_posts_.store(false, std::memory_order_release);
  }
  for (auto& function : running_) function();
  running_.clear();
}

}  // namespace hats::transport
