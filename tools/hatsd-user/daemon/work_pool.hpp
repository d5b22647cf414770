// The second core of one tunnel (DESIGN.md 4): threads that do the `work` of a batch, sealing or opening, for
// a worker that has more to do. They exist with two workers or more. They know no tunnel, no order and no
// lease: the worker that owns the batch commits it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "crypto/aead.hpp"

namespace hats::app {

/// Whose work is given away: one a worker. It outlives the pool's threads.
class WorkOwner {
 public:
  /// `wake`: makes the owner's thread look for work that is done; any thread may call it.
  explicit WorkOwner(std::function<void()> wake) : wake_(std::move(wake)) {}

  // On the owner's thread.
  /// It is about to wait. Whatever is done from here on wakes it; what was done before it must look for after
  /// this call.
  void sleeps() noexcept { asleep_.store(true); }
  void is_awake() noexcept {
    if (asleep_.load(std::memory_order_relaxed)) asleep_.store(false);
  }

  // On any thread.
  [[nodiscard]] bool asleep() const noexcept { return asleep_.load(); }
  void wake() const { wake_(); }

 private:
  std::function<void()> wake_;
  std::atomic<bool> asleep_ = true;
};

/// Something that one thread of the pool does for its owner. Between give() and is_done() it is the pool's.
class Work {
 public:
  explicit Work(WorkOwner& owner) : owner_(&owner) {}
  virtual ~Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  /// On a thread of the pool, or the owner's. Each thread has an AEAD of its own.
  virtual void run(crypto::Aead& aead) noexcept = 0;
  /// True if no other thread has to do with it any more.
  [[nodiscard]] bool is_done() const noexcept { return done_.load(); }

 private:
  friend class WorkPool;
  WorkOwner* owner_;
  std::atomic<bool> done_ = true;
};

class WorkPool {
 public:
  /// A pool for `workers` (2 or more) workers: one thread less than that, since a worker works itself. The
  /// error is a sentence.
  static std::expected<std::unique_ptr<WorkPool>, std::string> make(size_t workers, crypto::AeadChoice aead);
  /// Nothing may be in the pool.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  /// Before any give(), from one thread: whose sleep makes a core idle.
  void add_owner(const WorkOwner& owner) { owners_.push_back(&owner); }

  // On the owner's thread.
  /// Gives work to an idle thread. False if there is none, or if as many threads are awake as there are
  /// workers: then it is the owner's still. Nothing queues up.
  [[nodiscard]] bool give(Work& work);
  /// Makes it done: takes it back if no thread has begun it, and runs it here; else waits for that thread.
  /// True if it had to wait.
  bool finish(Work& work, crypto::Aead& aead);
  /// The same, but what has not begun is not done at all.
  void cancel(Work& work);

  [[nodiscard]] size_t threads() const { return threads_.size(); }

 private:
  struct Helper {
    std::thread thread;
    std::unique_ptr<crypto::Aead> aead;
    std::condition_variable wanted;
    Work* given = nullptr;  // not yet begun
    bool busy = false;      // has begun some
  };

  WorkPool() = default;
  void serve(Helper& helper);
  [[nodiscard]] bool take_back(const Work& work);
  void wait_for(const Work& work);

  std::vector<const WorkOwner*> owners_;
  std::mutex mutex_;                  // guards all below, the helpers included
  std::condition_variable finished_;  // for owners that wait
  std::vector<std::unique_ptr<Helper>> threads_;
  bool ends_ = false;
};

}  // namespace hats::app
