// A worker: one thread, one packet loop, the tunnels and other members that belong to it. The control thread
// speaks to it by call() and post(); nothing else is shared.
#pragma once

#include <exception>
#include <expected>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "crypto/aead.hpp"
#include "crypto/rng.hpp"
#include "tools/hatsd-user/daemon/batch_space.hpp"
#include "tools/hatsd-user/daemon/tickets.hpp"
#include "tools/hatsd-user/daemon/tunnel.hpp"
#include "tools/hatsd-user/daemon/work_pool.hpp"
#include "transport/loop.hpp"

namespace hats::app {

/// Boot and wall clock, read now.
[[nodiscard]] Now read_clocks() noexcept;

class Worker final : public transport::Handler {
 public:
  struct Options {
    transport::IoChoice io = transport::IoChoice::automatic;
    crypto::AeadChoice aead = crypto::AeadChoice::automatic;
    const IcmpSender* icmp = nullptr;  // outlives the worker
    uint32_t slabs = transport::LoopOptions{}.slabs;
    bool realtime =
        false;  // the thread that calls start() is under a real-time class, and so is the worker's
    // Null: the worker does all itself. Else it ends between the worker's last member and the worker.
    WorkPool* pool = nullptr;
  };
  /// Makes loop and AEAD; the thread starts with start(). The error is a sentence.
  static std::expected<std::unique_ptr<Worker>, std::string> make(const Options& options);
  ~Worker() override;  // stops and joins
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  /// Ends the loop and the thread: pending sends are flushed or given up, rings closed.
  void stop();

  /// Runs `function` on the worker's thread and waits for its result. Not from the worker's own thread.
  template <typename F>
  auto call(F function) -> std::invoke_result_t<F> {
    std::packaged_task<std::invoke_result_t<F>()> task(std::move(function));
    auto result = task.get_future();
    // post() wants a copyable function; the task lives here until it has run.
    loop_->post([&task] { task(); });
    return result.get();
  }

  // On the control thread.
  /// Makes a member of the loop, on the worker's thread, and attaches it. `make(slot, parts)` returns its
  /// unique_ptr.
  template <typename Make>
  auto add(Make make) {
    ++count_;
    return call([&] {
      const uint32_t slot = free_slot();
      auto made = make(slot, WorkerParts{*loop_, *aead_, rng_, space_, icmp_, tickets_.get()});
      auto* const member = made.get();
      members_[slot] = std::move(made);
      if (member->wants_wake()) waking_.push_back(member);
      member->attach();
      return member;
    });
  }
  /// Detaches a member and destroys it, which closes its TUN and sockets.
  void remove(LoopMember* member);
  /// Members of the loop.
  [[nodiscard]] size_t members() const { return count_; }
  [[nodiscard]] std::string io_name() const {
    return std::string(loop_->name()) + (realtime_ ? ", SCHED_FIFO" : "");
  }
  [[nodiscard]] std::string aead_name() const { return std::string(aead_->name()); }
  [[nodiscard]] transport::LoopCounters loop_counters() {
    return call([this] { return loop_->counters(); });
  }
  /// The same on the worker's own thread.
  [[nodiscard]] transport::LoopCounters own_loop_counters() const { return loop_->counters(); }

  // transport::Handler.
  void on_tun(transport::Tag tag, std::span<transport::TunRead> reads, Now now) override;
  void on_udp(transport::Tag tag, std::span<transport::UdpReceived> received, Now now) override;
  void on_raw(transport::Tag tag, std::span<transport::RawReceived> received, Now now) override;
  void on_send_failed(transport::Tag tag, transport::UdpSend& send, int error, Now now) override;
  void on_raw_send_failed(transport::Tag tag, const transport::RawSend& send, int error, Now now) override;
  void on_write_failed(transport::Tag tag, int error, Now now) override;
  void on_tun_closed(transport::Tag tag, int error, Now now) override;
  void on_wake(Now now) override;
  std::optional<BootTime> next_deadline() override;
  bool has_backlog() override;

 private:
  Worker() = default;
  [[nodiscard]] LoopMember* at(transport::Tag tag) const {
    const uint32_t slot = LoopMember::slot_of(tag);
    return slot < members_.size() ? members_[slot].get() : nullptr;
  }
  uint32_t free_slot();
  void is_awake() {
    if (tickets_) work_owner_.is_awake();
  }

  std::unique_ptr<transport::Loop> loop_;
  std::unique_ptr<crypto::Aead> aead_;
  const IcmpSender* icmp_ = nullptr;
  bool realtime_ = false;
  crypto::SystemRng rng_;
  BatchSpace space_;
  // Woken by a post that does nothing: all that is done is looked for at each wake-up.
  WorkOwner work_owner_{[this] { loop_->post([] {}); }};
  std::unique_ptr<Tickets> tickets_;  // null without a pool
  // Of the worker's thread alone, once it runs:
  std::vector<std::unique_ptr<LoopMember>> members_;  // by slot
  std::vector<LoopMember*> waking_;                   // those of them that want each wake-up
  size_t count_ = 0;                                  // of members; the control thread alone
  std::thread thread_;
};

}  // namespace hats::app
