// What other threads leave for the loop: functions to run, and the wish to stop. An eventfd wakes the loop.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "transport/udp_socket.hpp"

namespace hats::transport {

class Mailbox {
 public:
  /// `wake_fd` is a non-blocking eventfd.
  explicit Mailbox(UniqueFd wake_fd) : wake_fd_(std::move(wake_fd)) {}

  // From any thread:
  void post(std::function<void()> function);
  void stop();  // also from a signal handler

  // From the loop's thread:
  /// Becomes readable, edge by edge, with each post and stop. Never read: only its edges count.
  [[nodiscard]] int wake_fd() const { return wake_fd_.get(); }
  [[nodiscard]] bool stopping() const { return stopping_.load(std::memory_order_acquire); }
  /// Runs what was posted before this call; what that posts itself runs next time.
  void run_posted();

 private:
  void wake() const;

  UniqueFd wake_fd_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> has_posts_ = false;
  std::mutex mutex_;
  std::vector<std::function<void()>> posts_;    // guarded by mutex_
  std::vector<std::function<void()>> running_;  // the loop's
};

}  // namespace hats::transport
