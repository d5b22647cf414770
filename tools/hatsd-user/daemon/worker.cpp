#include "tools/hatsd-user/daemon/worker.hpp"

#include <ctime>

#include <algorithm>

namespace hats::app {

Now read_clocks() noexcept {
  timespec boot{}, wall{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_REALTIME, &wall);
  return {.boot = BootTime{} + seconds(boot.tv_sec) + nanoseconds(boot.tv_nsec),
          .wall = {.seconds = wall.tv_sec, .nanoseconds = static_cast<uint32_t>(wall.tv_nsec)}};
}

std::expected<std::unique_ptr<Worker>, std::string> Worker::make(const Options& options) {
  std::unique_ptr<Worker> worker(new Worker);
  worker->icmp_ = options.icmp;
  worker->realtime_ = options.realtime;
  worker->aead_ = crypto::make_aead(options.aead);
  if (!worker->aead_) {
    return std::unexpected("this CPU or build has no libipsec-mb backend; use HATSD_AEAD=auto or sodium");
  }
  auto loop = transport::Loop::make({.io = options.io, .slabs = options.slabs, .realtime = options.realtime});
  if (!loop) return std::unexpected(loop.error());
  worker->loop_ = std::move(*loop);
  if (options.pool != nullptr) {
    options.pool->add_owner(worker->work_owner_);
    worker->tickets_ =
        std::make_unique<Tickets>(*options.pool, worker->work_owner_, worker->loop_->arena().size());
  }
  return worker;
}

Worker::~Worker() {
  stop();
}

void Worker::start() {
  thread_ = std::thread([this] { loop_->run(*this); });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

uint32_t Worker::free_slot() {
  auto free = std::find(members_.begin(), members_.end(), nullptr);
  if (free == members_.end()) free = members_.insert(free, nullptr);
  return static_cast<uint32_t>(free - members_.begin());
}

void Worker::remove(LoopMember* member) {
  --count_;
  // Destroyed on the control thread: closing a TUN takes milliseconds, and the other tunnels must not wait.
  const auto gone = call([&] {
    member->detach();
    std::erase(waking_, member);
    return std::move(members_[member->slot()]);
  });
}

void Worker::on_tun(transport::Tag tag, std::span<transport::TunRead> reads, Now now) {
  is_awake();
  if (LoopMember* member = at(tag)) member->on_tun(reads, now);
}

void Worker::on_udp(transport::Tag tag, std::span<transport::UdpReceived> received, Now now) {
  is_awake();
  if (LoopMember* member = at(tag)) member->on_udp(LoopMember::part_of(tag), received, now);
}

void Worker::on_raw(transport::Tag tag, std::span<transport::RawReceived> received, Now now) {
  is_awake();
  if (LoopMember* member = at(tag)) member->on_raw(LoopMember::part_of(tag), received, now);
}

void Worker::on_send_failed(transport::Tag tag, transport::UdpSend& send, int error, Now) {
  if (LoopMember* member = at(tag)) member->on_send_failed(LoopMember::part_of(tag), send, error);
}

void Worker::on_raw_send_failed(transport::Tag tag, const transport::RawSend& send, int error, Now now) {
  if (LoopMember* member = at(tag)) member->on_raw_send_failed(LoopMember::part_of(tag), send, error, now);
}

void Worker::on_write_failed(transport::Tag tag, int, Now) {
  if (LoopMember* member = at(tag)) member->on_write_failed();
}

void Worker::on_tun_closed(transport::Tag tag, int, Now) {
  if (LoopMember* member = at(tag)) member->on_tun_closed();
}

void Worker::on_wake(Now now) {
  is_awake();
  for (LoopMember* member : waking_) member->on_wake(now);
}

std::optional<BootTime> Worker::next_deadline() {
  std::optional<BootTime> first;
  for (const LoopMember* member : waking_) {
    const auto deadline = member->next_deadline();
    if (deadline && (!first || *deadline < *first)) first = deadline;
  }
  return first;
}

bool Worker::has_backlog() {
  if (tickets_) work_owner_.sleeps();
  return std::any_of(waking_.begin(), waking_.end(),
                     [](const LoopMember* member) { return member->has_backlog(); });
}

}  // namespace hats::app
