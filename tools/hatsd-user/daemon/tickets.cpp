#include "tools/hatsd-user/daemon/tickets.hpp"

namespace hats::app {

void Ticket::run(crypto::Aead& aead) noexcept {
  wg::Device::work(out, aead);
  wg::Device::work(in, aead);
}

Tickets::Tickets(WorkPool& pool, WorkOwner& owner, uint32_t slabs_of_arena)
    : pool_(pool), slabs_left_(size_t{slabs_of_arena} * kTicketSlabsPercent / 100) {
  free_.reserve(kTicketsPerWorker);
  for (auto& ticket : all_) {
    ticket = std::make_unique<Ticket>(owner);
    free_.push_back(ticket.get());
  }
}

Ticket* Tickets::take(size_t slabs) {
  if (free_.empty() || slabs > slabs_left_) return nullptr;
  Ticket* const ticket = free_.back();
  free_.pop_back();
  slabs_left_ -= slabs;
  ticket->slabs_ = slabs;
  return ticket;
}

void Tickets::give_back(Ticket& ticket) {
  ticket.out.clear();
  ticket.lent.clear();
  ticket.reads.clear();
  ticket.heads.clear();
  ticket.in.clear();
  ticket.received.clear();
  slabs_left_ += ticket.slabs_;
  free_.push_back(&ticket);
}

}  // namespace hats::app
