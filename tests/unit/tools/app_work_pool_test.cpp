// Threads that work for another: who is given what, what is taken back, who is woken; and tickets in their
// order, whichever thread is done first.
#include "tools/hatsd-user/daemon/work_pool.hpp"

#include <gtest/gtest.h>

#include <latch>
#include <random>

#include "tools/hatsd-user/daemon/tickets.hpp"

namespace hats::app {
namespace {

constexpr size_t kTickets = 8;         // of a worker
constexpr uint32_t kSlabs = 100;       // of the arena
constexpr uint32_t kTicketSlabs = 40;  // of them, two fifths

/// Work that says when it has begun, and ends when it may.
class Gate final : public Work {
 public:
  using Work::Work;
  void run(crypto::Aead&) noexcept override {
    thread = std::this_thread::get_id();
    begun.count_down();
    may_end.wait();
    ++runs;
  }
  std::latch begun{1}, may_end{1};
  std::thread::id thread;
  int runs = 0;
};

class WorkPoolTest : public testing::Test {
 protected:
  void SetUp() override { make(2); }
  void make(size_t workers) {
    auto made = WorkPool::make(workers, crypto::AeadChoice::sodium);
    ASSERT_TRUE(made) << made.error();
    pool = std::move(*made);
    pool->add_owner(owner);
    owner.is_awake();
  }
  std::atomic<int> woken = 0;
  WorkOwner owner{[this] { ++woken; }};
  std::unique_ptr<crypto::Aead> aead = crypto::make_aead(crypto::AeadChoice::sodium);
  std::unique_ptr<WorkPool> pool;
};

TEST_F(WorkPoolTest, AnotherThreadDoesWhatItIsGiven) {
  Gate work(owner);
  EXPECT_TRUE(work.is_done()) << "the owner's, until it is given away";
  ASSERT_TRUE(pool->give(work));
  work.begun.wait();
  EXPECT_FALSE(work.is_done());
  work.may_end.count_down();
  pool->finish(work, *aead);
  EXPECT_TRUE(work.is_done());
  EXPECT_EQ(work.runs, 1);
  EXPECT_NE(work.thread, std::this_thread::get_id());
}

TEST_F(WorkPoolTest, TwoWorkersHaveOneThreadAndWhatItCannotBeginStaysItsOwners) {
  EXPECT_EQ(pool->threads(), 1U);
  Gate a(owner), b(owner);
  ASSERT_TRUE(pool->give(a));
  a.begun.wait();
  EXPECT_FALSE(pool->give(b));
  EXPECT_TRUE(b.is_done());
  EXPECT_EQ(b.runs, 0);
  a.may_end.count_down();
  pool->finish(a, *aead);
}

TEST_F(WorkPoolTest, NothingIsGivenAwayWhileAsManyThreadsAreAwakeAsThereAreWorkers) {
  WorkOwner other([] {});
  pool->add_owner(other);
  other.is_awake();
  Gate work(owner);
  EXPECT_FALSE(pool->give(work)) << "both workers are busy";
  other.sleeps();
  work.may_end.count_down();
  EXPECT_TRUE(pool->give(work));
  pool->finish(work, *aead);
}

TEST_F(WorkPoolTest, AnOwnerThatSleepsIsWokenAndOneThatDoesNotIsNot) {
  for (const bool asleep : {false, true}) {
    Gate work(owner);
    const int before = woken;
    if (asleep) {
      ASSERT_TRUE(pool->give(work));
      work.begun.wait();
      owner.sleeps();
      work.may_end.count_down();
      while (woken == before) std::this_thread::yield();
      EXPECT_TRUE(work.is_done());
    } else {
      work.may_end.count_down();
      ASSERT_TRUE(pool->give(work));
      pool->finish(work, *aead);
      // The thread looks at its owner before it takes the next.
      Gate next(owner);
      next.may_end.count_down();
      while (!pool->give(next)) std::this_thread::yield();
      pool->finish(next, *aead);
      EXPECT_EQ(woken, before);
    }
  }
}

TEST_F(WorkPoolTest, WhatIsCancelledIsNobodysWhenTheCallReturns) {
  for (int i = 0; i < 200; ++i) {
    Gate work(owner);
    work.may_end.count_down();
    if (!pool->give(work)) continue;
    pool->cancel(work);
    EXPECT_TRUE(work.is_done());
    EXPECT_LE(work.runs, 1);
  }
}

TEST_F(WorkPoolTest, FinishedOrTakenBackWorkRunsOnce) {
  make(4);
  int given = 0;
  for (int i = 0; i < 500; ++i) {
    Gate a(owner), b(owner), c(owner);
    for (Gate* work : {&a, &b, &c}) {
      work->may_end.count_down();
      given += pool->give(*work) ? 1 : 0;
    }
    for (Gate* work : {&a, &b, &c}) {
      const bool was_done = work->is_done();
      pool->finish(*work, *aead);
      EXPECT_TRUE(work->is_done());
      EXPECT_TRUE(was_done ? work->runs <= 1 : work->runs == 1) << work->runs;
    }
  }
  EXPECT_GT(given, 0);
}

class TicketsTest : public WorkPoolTest {
 protected:
  void SetUp() override {
    make(3);
    tickets = std::make_unique<Tickets>(*pool, owner, kSlabs);
  }
  std::unique_ptr<Tickets> tickets;
};

TEST_F(TicketsTest, ThereAreEightAndTheyAreUsedAgain) {
  std::vector<Ticket*> taken;
  for (size_t i = 0; i < kTickets; ++i) {
    taken.push_back(tickets->take(1));
    ASSERT_NE(taken.back(), nullptr);
  }
  EXPECT_EQ(tickets->take(0), nullptr);
  tickets->give_back(*taken[3]);
  EXPECT_EQ(tickets->take(1), taken[3]);
  for (Ticket* ticket : taken) tickets->give_back(*ticket);
}

TEST_F(TicketsTest, TheyKeepTwoFifthsOfTheSlabsAtTheMost) {
  EXPECT_EQ(tickets->take(kTicketSlabs + 1), nullptr);
  Ticket* const a = tickets->take(kTicketSlabs - 1);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(tickets->take(2), nullptr);
  Ticket* const b = tickets->take(1);
  ASSERT_NE(b, nullptr);
  tickets->give_back(*a);
  EXPECT_EQ(tickets->take(kTicketSlabs), nullptr);
  tickets->give_back(*b);
  Ticket* const c = tickets->take(kTicketSlabs);
  ASSERT_NE(c, nullptr);
  tickets->give_back(*c);
}

TEST_F(TicketsTest, GivingBackReturnsTheSlabs) {
  auto arena = transport::Arena::make(kSlabs);
  ASSERT_TRUE(arena);
  Ticket* const ticket = tickets->take(3);
  ticket->lent.push_back((*arena)->take());
  ticket->reads.push_back((*arena)->take());
  ticket->received.emplace_back().slab = (*arena)->take();
  EXPECT_EQ((*arena)->free_count(), kSlabs - 3);
  tickets->give_back(*ticket);
  EXPECT_EQ((*arena)->free_count(), kSlabs);
}

TEST_F(TicketsTest, ALineYieldsItsTicketsInTheirOrderWhicheverIsDoneFirst) {
  std::mt19937 rng(5);
  TicketLine line;
  std::vector<Ticket*> order;
  uint32_t number = 0;
  size_t yielded = 0, elsewhere = 0;
  const auto yield_first = [&] {
    Ticket& first = line.first();
    line.pop();
    ASSERT_EQ(&first, order[yielded]);
    ++yielded;
    ASSERT_EQ(first.received.at(0).size, static_cast<uint32_t>(yielded));
    tickets->give_back(first);
  };
  for (int i = 0; i < 3'000; ++i) {
    Ticket* const ticket = tickets->take(rng() % 4);
    if (ticket == nullptr) {
      pool->finish(line.first(), *aead);
    } else {
      ticket->received.emplace_back().size = ++number;
      line.push(*ticket);
      order.push_back(ticket);
      if (rng() % 2 == 0 && pool->give(*ticket)) {
        ++elsewhere;
      } else {
        ticket->run(*aead);
      }
    }
    while (line.first_is_done()) yield_first();
  }
  while (!line.empty()) {
    pool->finish(line.first(), *aead);
    yield_first();
  }
  EXPECT_EQ(yielded, order.size());
  EXPECT_GT(elsewhere, 0U);
}

}  // namespace
}  // namespace hats::app
