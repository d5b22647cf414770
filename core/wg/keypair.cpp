#include "core/wg/keypair.hpp"

#include <utility>

namespace hats::wg {

const std::shared_ptr<Keypair>* Keypairs::find(uint32_t local_index) const noexcept {
  for (const auto* slot : {&current_, &previous_, &next_}) {
    if (*slot && (*slot)->identity().local_index == local_index) return slot;
  }
  return nullptr;
}

RetiredKeypairs Keypairs::add(std::shared_ptr<Keypair> fresh) noexcept {
  RetiredKeypairs retired;
  retired.a = std::move(previous_);
  if (fresh->initiator()) {
    if (next_) {
      previous_ = std::move(next_);
      retired.b = std::move(current_);
    } else {
      previous_ = std::move(current_);
    }
    current_ = std::move(fresh);
  } else {
    retired.b = std::move(next_);
    next_ = std::move(fresh);
  }
  return retired;
}

bool Keypairs::confirm(const Keypair* used, RetiredKeypairs& retired) noexcept {
  if (used != next_.get()) return false;
  retired.a = std::move(previous_);
  previous_ = std::move(current_);
  current_ = std::move(next_);
  return true;
}

void Keypairs::retire_sending() noexcept {
  if (next_) next_->retire_sending();
  if (current_) current_->retire_sending();
}

void Keypairs::clear() noexcept {
  for (auto* slot : {&previous_, &current_, &next_}) {
    if (*slot) (*slot)->erase();
    slot->reset();
  }
}

}  // namespace hats::wg
