#include "tools/hatsd-user/daemon/work_pool.hpp"

#include <utility>

namespace hats::app {

std::expected<std::unique_ptr<WorkPool>, std::string> WorkPool::make(size_t workers,
                                                                     crypto::AeadChoice aead) {
  std::unique_ptr<WorkPool> pool(new WorkPool);
  for (size_t i = 1; i < workers; ++i) {
    auto helper = std::make_unique<Helper>();
    helper->aead = crypto::make_aead(aead);
    if (!helper->aead) {
      return std::unexpected("this CPU or build has no libipsec-mb backend; use HATSD_AEAD=auto or sodium");
    }
    pool->threads_.push_back(std::move(helper));
  }
  for (const auto& helper : pool->threads_) {
    helper->thread = std::thread([&pool = *pool, &helper = *helper] { pool.serve(helper); });
  }
  return pool;
}

WorkPool::~WorkPool() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  for (const auto& helper : threads_) {
    helper->wanted.notify_one();
    if (helper->thread.joinable()) helper->thread.join();
  }
}

void WorkPool::serve(Helper& helper) {
  std::unique_lock lock(mutex_);
  while (true) {
    helper.wanted.wait(lock, [&] { return ends_ || helper.given != nullptr; });
    if (helper.given == nullptr) return;
    Work& work = *std::exchange(helper.given, nullptr);
    // The work is its owner's again as soon as it is done, and may be gone then.
    const WorkOwner& owner = *work.owner_;
    helper.busy = true;
    lock.unlock();
    work.run(*helper.aead);
    lock.lock();
    helper.busy = false;
    work.done_.store(true);
    lock.unlock();
    finished_.notify_all();
    // The owner says that it sleeps and then looks; we say that it is done and then look: one of us sees it.
    if (owner.asleep()) owner.wake();
    lock.lock();
  }
}

bool WorkPool::give(Work& work) {
  size_t awake = 0;
  for (const WorkOwner* owner : owners_) awake += owner->asleep() ? 0 : 1;
  Helper* idle = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& helper : threads_) {
      if (helper->busy || helper->given != nullptr) {
        ++awake;
      } else {
        idle = helper.get();
      }
    }
    if (idle == nullptr || awake > threads_.size()) return false;
    work.done_.store(false, std::memory_order_relaxed);
    idle->given = &work;
  }
  idle->wanted.notify_one();
  return true;
}

bool WorkPool::take_back(const Work& work) {
  const std::lock_guard lock(mutex_);
  for (const auto& helper : threads_) {
    if (helper->given != &work) continue;
    helper->given = nullptr;
    return true;
  }
  return false;
}

void WorkPool::wait_for(const Work& work) {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [&] { return work.is_done(); });
}

bool WorkPool::finish(Work& work, crypto::Aead& aead) {
  if (work.is_done()) return false;
  if (take_back(work)) {
    work.run(aead);
    work.done_.store(true);
    return false;
  }
  if (work.is_done()) return false;
  wait_for(work);
  return true;
}

void WorkPool::cancel(Work& work) {
  if (work.is_done()) return;
  if (take_back(work)) {
    work.done_.store(true);
  } else {
    wait_for(work);
  }
}

}  // namespace hats::app
