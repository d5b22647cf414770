// Batches of one worker that another thread works on, or that wait for one before them: planned, in the order
// of their numbers, and not yet committed (DESIGN.md 4). All of it is the worker's; a thread of the pool only
// runs Ticket::run().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/wg/device.hpp"
#include "tools/hatsd-user/daemon/batch_space.hpp"
#include "tools/hatsd-user/daemon/work_pool.hpp"
#include "transport/loop.hpp"

namespace hats::app {

/// Packets that make a batch worth another core; smaller ones are worked on at once, as ever. One TUN read or
/// GRO receive of 64 KiB has 47 at the usual MTU: so many in one turn mean that more came while the worker
/// was busy.
inline constexpr size_t kMinGivenJobs = 64;
/// Tickets of a worker, for both directions of all its tunnels. With none left the worker waits for its own
/// oldest ones and works itself.
inline constexpr size_t kTicketsPerWorker = 8;
/// Percent of the worker's slabs that tickets keep at the most, so that the loop always has some to receive
/// into. A turn of 64 small reads that lie in a slab each still fits.
inline constexpr uint32_t kTicketSlabsPercent = 40;

/// One batch, with the memory that it lies in. Either `out` or `in` is used.
class Ticket final : public Work {
 public:
  explicit Ticket(WorkOwner& owner) : Work(owner), heads(kHeadsPerTurn) {}
  void run(crypto::Aead& aead) noexcept override;

  wg::OutboundBatch out;
  std::vector<transport::Lease> lent;   // of out.slabs, by index
  std::vector<transport::Lease> reads;  // that the packets lie in
  packet::HeadArena heads;

  wg::InboundBatch in;
  std::vector<transport::UdpReceived> received;

 private:
  friend class Tickets;
  size_t slabs_ = 0;  // that it was taken for
};

/// The tickets of a worker: made once, used again and again.
class Tickets {
 public:
  /// All outlive it.
  Tickets(WorkPool& pool, WorkOwner& owner, uint32_t slabs_of_arena);

  [[nodiscard]] WorkPool& pool() { return pool_; }
  /// An empty ticket that will keep `slabs` slabs; null if all are taken, or their slabs were too many.
  [[nodiscard]] Ticket* take(size_t slabs);
  /// Clears it, which gives back its slabs and lets go of its keys.
  void give_back(Ticket& ticket);

 private:
  WorkPool& pool_;
  size_t slabs_left_;
  std::array<std::unique_ptr<Ticket>, kTicketsPerWorker> all_;
  std::vector<Ticket*> free_;
};

/// The tickets of one direction of a tunnel, in the order in which they must be committed.
class TicketLine {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool first_is_done() const { return count_ != 0 && line_[head_]->is_done(); }
  [[nodiscard]] Ticket& first() { return *line_[head_]; }
  void push(Ticket& ticket) { line_[(head_ + count_++) % line_.size()] = &ticket; }
  void pop() {
    head_ = (head_ + 1) % line_.size();
    --count_;
  }

 private:
  std::array<Ticket*, kTicketsPerWorker> line_{};
  size_t head_ = 0, count_ = 0;
};

/// How many slabs hold these reads or receives; small ones share a slab with their neighbours.
template <typename Received>
[[nodiscard]] size_t count_slabs(std::span<const Received> batch) {
  size_t count = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (i == 0 || batch[i].slab.index() != batch[i - 1].slab.index()) ++count;
  }
  return count;
}

}  // namespace hats::app
