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
  worker->aead_ = crypto::make_aead(options.aead);
  if (!worker->aead_) {
    return std::unexpected("this CPU or build has no libipsec-mb backend; use HATSD_AEAD=auto or sodium");
  }
  auto loop = transport::Loop::make({.io = options.io});
  if (!loop) return std::unexpected(loop.error());
  worker->loop_ = std::move(*loop);
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

WgTunnel* Worker::add(tun::TunDevice tun, uint32_t mtu, WgTunnel::Notify notify) {
  ++count_;
  return call([&] {
    auto free = std::find(tunnels_.begin(), tunnels_.end(), nullptr);
    if (free == tunnels_.end()) free = tunnels_.insert(free, nullptr);
    const auto slot = static_cast<uint32_t>(free - tunnels_.begin());
    *free = std::make_unique<WgTunnel>(slot, std::move(tun), mtu,
                                       WorkerParts{*loop_, *aead_, rng_, space_, icmp_}, std::move(notify));
    (*free)->attach();
    return free->get();
  });
}

void Worker::remove(WgTunnel* tunnel) {
  --count_;
  // Destroyed on the control thread: closing a TUN takes milliseconds, and the other tunnels must not wait.
  const auto gone = call([&] {
    const auto found = std::find_if(tunnels_.begin(), tunnels_.end(),
                                    [&](const auto& candidate) { return candidate.get() == tunnel; });
    tunnel->detach();
    return std::move(*found);
  });
}

void Worker::on_tun(transport::Tag tag, std::span<transport::TunRead> reads, Now now) {
  if (WgTunnel* tunnel = at(tag)) tunnel->on_tun(reads, now);
}

void Worker::on_udp(transport::Tag tag, std::span<transport::UdpReceived> received, Now now) {
  if (WgTunnel* tunnel = at(tag)) tunnel->on_udp(received, now);
}

void Worker::on_send_failed(transport::Tag tag, transport::UdpSend& send, int error, Now) {
  if (WgTunnel* tunnel = at(tag)) tunnel->on_send_failed(tag, send, error);
}

void Worker::on_write_failed(transport::Tag tag, int, Now) {
  if (WgTunnel* tunnel = at(tag)) tunnel->on_write_failed();
}

void Worker::on_tun_closed(transport::Tag tag, int, Now) {
  if (WgTunnel* tunnel = at(tag)) tunnel->on_tun_closed();
}

void Worker::on_wake(Now now) {
  for (const auto& tunnel : tunnels_) {
    if (tunnel) tunnel->on_wake(now);
  }
}

std::optional<BootTime> Worker::next_deadline() {
  std::optional<BootTime> first;
  for (const auto& tunnel : tunnels_) {
    const auto deadline = tunnel ? tunnel->next_deadline() : std::nullopt;
    if (deadline && (!first || *deadline < *first)) first = deadline;
  }
  return first;
}

bool Worker::has_backlog() {
  return std::any_of(tunnels_.begin(), tunnels_.end(),
                     [](const auto& tunnel) { return tunnel && tunnel->has_backlog(); });
}

}  // namespace hats::app
