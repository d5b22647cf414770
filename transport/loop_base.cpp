#include "transport/loop_base.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace hats::transport {
namespace {

/// How long stop() may wait for sockets whose buffers are full, all together, before it drops what is queued.
constexpr int kFlushAtEndMs = 100;
/// Failed TUN writes told to the handler after one callback, at the most; the others are only returned.
constexpr size_t kMaxFailedWrites = 64;
/// Failed sends of a kind kept until they can be told to the handler; the newest is dropped beyond.
constexpr size_t kMaxFailedSends = kSendQueueLength;

Now read_clock() {
  timespec boot{}, wall{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_REALTIME, &wall);
  return {{boot.tv_sec * 1'000'000'000 + boot.tv_nsec}, {wall.tv_sec, static_cast<uint32_t>(wall.tv_nsec)}};
}

timespec to_timespec(int64_t ns) {
  return {ns / 1'000'000'000, ns % 1'000'000'000};
}

}  // namespace

std::expected<LoopFds, int> make_loop_fds() {
  LoopFds out;
  out.wake = UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!out.wake) return std::unexpected(errno);
  out.timer = UniqueFd(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  out.boot_timer = static_cast<bool>(out.timer);
  if (!out.timer) out.timer = UniqueFd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!out.timer) return std::unexpected(errno);
  return out;
}

LoopBase::LoopBase(std::unique_ptr<Arena> arena, LoopFds fds)
    : arena_(std::move(arena)),
      mailbox_(std::move(fds.wake)),
      timer_fd_(std::move(fds.timer)),
      boot_timer_(fds.boot_timer) {}

LoopBase::~LoopBase() = default;

Port* LoopBase::find(Tag tag) const {
  const auto found = by_tag_.find(tag);
  return found == by_tag_.end() ? nullptr : found->second;
}

Port& LoopBase::add(Tag tag, int fd, Port::Kind kind) {
  assert(!by_tag_.contains(tag));
  ports_.push_back(make_port());
  Port& port = *ports_.back();
  port.tag = port.udp.tag = port.raw.tag = tag;
  port.fd = port.udp.fd = port.raw.fd = fd;
  port.kind = kind;
  by_tag_[tag] = &port;
  return port;
}

void LoopBase::add_tun(Tag tag, int fd) {
  Port& port = add(tag, fd, Port::Kind::tun);
  if (running_) start(port);
}

void LoopBase::add_udp(Tag tag, int fd) {
  Port& port = add(tag, fd, Port::Kind::udp);
  probe_udp_port(port.udp);
  if (running_) start(port);
}

void LoopBase::add_raw(Tag tag, int fd) {
  Port& port = add(tag, fd, Port::Kind::raw);
  probe_raw_port(port.raw);
  if (running_) start(port);
}

void LoopBase::remove(Tag tag) {
  Port* port = find(tag);
  if (!port) return;
  port->open = false;
  by_tag_.erase(tag);
  if (last_raw_ == port) last_raw_ = nullptr;
  port->udp.queue.clear();
  port->raw.queue.clear();
  if (running_) finish(*port);
  const auto owner = std::ranges::find(ports_, port, &std::unique_ptr<Port>::get);
  removed_.push_back(std::move(*owner));
  ports_.erase(owner);
}

// Small sends without a slab (handshakes, keepalives) lie one behind another in a slab of the loop's own.
template <typename Send>
bool LoopBase::copy_into_slab(Send& send) {
  if (copy_slab_.is_sole()) copy_used_ = 0;
  if (!copy_slab_ || copy_used_ + send.size > kSlabSize) {
    if (send.size > kSlabSize) return false;
    copy_slab_ = arena_->take();
    copy_used_ = 0;
    if (!copy_slab_) return false;
  }
  uint8_t* place = copy_slab_.bytes().data() + copy_used_;
  std::memcpy(place, send.data, send.size);
  copy_used_ += send.size;
  send.data = place;
  send.slab = copy_slab_;
  return true;
}

template <typename Entry>
void LoopBase::enqueue(Port& port, SendQueue<Entry>& queue, Entry entry) {
  // A full batch need not wait for the end of the callback: its slabs may be wanted.
  if (queue.size() >= kSendBatch && !port.blocked) flush(port);
  if (!queue.push(std::move(entry))) {
    ++counters_.sends_dropped;
    return;
  }
  if (!port.dirty) dirty_.push_back(&port);
  port.dirty = true;
}

void LoopBase::send(Tag tag, UdpSend send) {
  Port* port = find(tag);
  if (!port || port->kind != Port::Kind::udp || (!send.slab && !copy_into_slab(send))) {
    ++counters_.sends_dropped;
    return;
  }
  enqueue(*port, port->udp.queue, QueuedUdp{std::move(send), 0, 0, resends_});
}

void LoopBase::send_raw(Tag tag, RawSend send) {
  Port* port = find(tag);
  if (!port || port->kind != Port::Kind::raw || !send.to.is_set() || send.head_size > kRawHeadSize ||
      (!send.slab && send.size != 0 && !copy_into_slab(send))) {
    ++counters_.sends_dropped;
    return;
  }
  // The packets of one tunnel go by several sockets, which differ in their options: what waits on another one
  // goes first, to keep their order.
  if (last_raw_ != nullptr && last_raw_ != port && !last_raw_->blocked) flush(*last_raw_);
  last_raw_ = port;
  enqueue(*port, port->raw.queue, QueuedRaw{.send = std::move(send), .resends = resends_});
}

int LoopBase::write(Tag tag, const TunWrite& write) {
  const Port* port = find(tag);
  if (!port) return EBADF;
  // Directly, not through a ring: the kernel has taken the packet when this returns, in order and without a
  // worker thread.
  ssize_t size = 0;
  do {
    size = writev(port->fd, write.parts.data(), static_cast<int>(write.parts.size()));
  } while (size < 0 && errno == EINTR);
  if (size >= 0) {
    ++counters_.tun_writes;
    return 0;
  }
  const int error = errno;
  if (error != EIO && failed_writes_.size() < kMaxFailedWrites) failed_writes_.push_back({tag, error});
  return error;
}

SendResult LoopBase::send_queued(Port& port) {
  return port.kind == Port::Kind::raw ? raw_sender_.flush(port.raw, failed_raw_)
                                      : udp_sender_.flush(port.udp, now_.boot, failed_sends_);
}

void LoopBase::flush(Port& port) {
  if (send_queued(port) == SendResult::blocked) {
    port.blocked = true;
    if (running_) watch_writable(port);
  }
  const auto bound = [this](auto& failures) {
    if (failures.size() <= kMaxFailedSends) return;
    counters_.sends_dropped += failures.size() - kMaxFailedSends;
    failures.resize(kMaxFailedSends);
  };
  bound(failed_sends_);
  bound(failed_raw_);
}

void LoopBase::writable(Port& port) {
  port.blocked = false;
  flush(port);
}

// Calls `tell` with each failure, unless it has come back too often or its socket is gone.
template <typename Send, typename Tell>
void LoopBase::tell_failed(std::vector<FailedSend<Send>>& failures, Tell tell) {
  for (FailedSend<Send>& failed : std::exchange(failures, {})) {
    if (failed.resends >= kMaxResends || !find(failed.tag)) {
      ++counters_.sends_dropped;
      continue;
    }
    resends_ = static_cast<uint8_t>(failed.resends + 1);
    tell(failed);
    resends_ = 0;
  }
}

// Sends what is queued and tells of what failed, until neither is left; a failed send comes back
// kMaxResends times at the most, so this ends.
void LoopBase::settle() {
  while (!dirty_.empty() || !failed_sends_.empty() || !failed_raw_.empty() || !failed_writes_.empty()) {
    for (size_t i = 0; i < dirty_.size(); ++i) {
      Port& port = *dirty_[i];
      port.dirty = false;
      if (port.open && !port.blocked) flush(port);
    }
    dirty_.clear();
    tell_failed(failed_sends_, [this](FailedSend<UdpSend>& failed) {
      handler_->on_send_failed(failed.tag, failed.send, failed.error, now_);
    });
    tell_failed(failed_raw_, [this](const FailedSend<RawSend>& failed) {
      ++counters_.raw_refused;
      handler_->on_raw_send_failed(failed.tag, failed.send, failed.error, now_);
    });
    for (const FailedWrite& failed : std::exchange(failed_writes_, {})) {
      handler_->on_write_failed(failed.tag, failed.error, now_);
    }
  }
}

void LoopBase::wake_up() {
  now_ = read_clock();
  ++counters_.wakeups;
}

void LoopBase::deliver(Port& port, std::span<TunRead> reads) {
  counters_.tun_reads += reads.size();
  handler_->on_tun(port.tag, reads, now_);
  settle();
}

void LoopBase::deliver(Port& port, std::span<UdpReceived> received) {
  counters_.udp_receives += received.size();
  handler_->on_udp(port.tag, received, now_);
  settle();
}

void LoopBase::deliver(Port& port, std::span<RawReceived> received) {
  counters_.raw_receives += received.size();
  handler_->on_raw(port.tag, received, now_);
  settle();
}

bool LoopBase::parse(const msghdr& message, RawReceived& out) {
  if ((message.msg_flags & MSG_TRUNC) != 0) ++counters_.raw_truncated;
  return parse_received(message, out);
}

void LoopBase::close_tun(Port& port, int error) {
  remove(port.tag);
  handler_->on_tun_closed(port.tag, error, now_);
  settle();
}

// The timer is moved only when the deadline comes before what it is set to: a deadline that moves away costs
// one early wake-up instead of a syscall each time.
void LoopBase::set_timer(BootTime deadline) {
  if (timer_at_ && *timer_at_ <= now_.boot) timer_at_.reset();
  if (timer_at_ && *timer_at_ <= deadline) return;
  timer_at_ = deadline;
  itimerspec when{};
  if (boot_timer_) {
    when.it_value = to_timespec(std::max<int64_t>(deadline.ns, 1));
  } else {
    when.it_value = to_timespec(std::max<int64_t>((deadline - read_clock().boot).ns, 1));
  }
  timerfd_settime(timer_fd_.get(), boot_timer_ ? TFD_TIMER_ABSTIME : 0, &when, nullptr);
}

bool LoopBase::must_poll() {
  if (handler_->has_backlog()) return true;
  const auto deadline = handler_->next_deadline();
  if (!deadline) return false;
  if (*deadline <= now_.boot) return true;
  set_timer(*deadline);
  return false;
}

void LoopBase::run(Handler& handler) {
  handler_ = &handler;
  running_ = true;
  now_ = read_clock();
  begin();
  for (const auto& port : ports_) {
    start(*port);
    if (port->blocked) watch_writable(*port);  // by what was sent before
  }
  settle();
  while (!mailbox_.stopping()) {
    const uint64_t packets_before = packets();
    turn(must_poll());
    mailbox_.run_posted();
    settle();
    handler.on_wake(now_);
    settle();
    removed_.clear();
    if (realtime_) pace(packets_before);
  }
  flush_at_end();
  end();
  running_ = false;
}

void LoopBase::pace(uint64_t packets_before) {
  const Duration pause = pacer_.after_wake_up(now_.boot, packets() - packets_before);
  if (pause.ns == 0) return;
  const timespec time = to_timespec(pause.ns);
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

void LoopBase::drop_queued(Port& port) {
  counters_.sends_dropped += port.udp.queue.size() + port.raw.queue.size();
  port.udp.queue.clear();
  port.raw.queue.clear();
}

void LoopBase::flush_at_end() {
  const BootTime last = read_clock().boot + milliseconds(kFlushAtEndMs);
  for (const auto& port : ports_) {
    while (port->kind != Port::Kind::tun && send_queued(*port) == SendResult::blocked) {
      const int64_t left_ms = (last - read_clock().boot).ns / 1'000'000;
      pollfd wait{port->fd, POLLOUT, 0};
      if (left_ms <= 0 || poll(&wait, 1, static_cast<int>(left_ms)) <= 0) break;
    }
    drop_queued(*port);
  }
  failed_sends_.clear();
  failed_raw_.clear();
  dirty_.clear();
  copy_slab_ = {};
}

}  // namespace hats::transport
