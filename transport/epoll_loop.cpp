#include "transport/epoll_loop.hpp"

#include <algorithm>
#include <cerrno>

namespace hats::transport {
namespace {

/// Events fetched with one epoll_wait; more descriptors than that wait for the next wake-up.
constexpr int kMaxEvents = 64;
/// Bytes one recvmmsg may bring at the average size of the last one: as for TUN, more would not stay in the
/// cache. At least kMinSlots messages are asked for.
constexpr uint32_t kReceiveTurnBytes = 256 * 1024;
constexpr uint32_t kMinSlots = 8;
static_assert(kMinSlabs / 3 >= kMinSlots);
/// Bytes a receive may fill: all of the slab but the headroom and the room of an authentication tag.
constexpr uint32_t kReceiveSize = kSlabSize - kSlabHeadroom - 64;

}  // namespace

struct EpollLoop::EpollPort final : Port {
  uint32_t events = 0;  // what epoll watches
  bool starved = false;
};

std::expected<std::unique_ptr<LoopBase>, int> make_epoll_loop(std::unique_ptr<Arena> arena) {
  auto fds = make_loop_fds();
  if (!fds) return std::unexpected(fds.error());
  UniqueFd epoll_fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_fd) return std::unexpected(errno);
  return std::make_unique<EpollLoop>(std::move(arena), std::move(*fds), std::move(epoll_fd));
}

EpollLoop::EpollLoop(std::unique_ptr<Arena> arena, LoopFds fds, UniqueFd epoll_fd)
    : LoopBase(std::move(arena), std::move(fds)),
      epoll_fd_(std::move(epoll_fd)),
      wanted_slots_(most_slots()) {
  reads_.reserve(kTunTurnReads);
  udp_received_.reserve(kTurnReceives);
  raw_received_.reserve(kTurnReceives);
}

EpollLoop::~EpollLoop() = default;

// A third of the arena for receives, a third for TUN reads, a third for sends.
uint32_t EpollLoop::most_slots() {
  return std::min(kTurnReceives, arena().size() / 3);
}

std::unique_ptr<Port> EpollLoop::make_port() {
  return std::make_unique<EpollPort>();
}

void EpollLoop::begin() {
  // Edge by edge: neither is ever read.
  for (const int fd : {wake_fd(), timer_fd()}) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.ptr = nullptr;
    epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

void EpollLoop::start(Port& port) {
  watch(static_cast<EpollPort&>(port), EPOLLIN);
}

void EpollLoop::finish(Port& port) {
  std::erase(starved_, &port);
  watch(static_cast<EpollPort&>(port), 0);
}

void EpollLoop::watch(EpollPort& port, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &port;
  const int operation = events == 0 ? EPOLL_CTL_DEL : port.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (events != port.events) epoll_ctl(epoll_fd_.get(), operation, port.fd, &event);
  port.events = events;
}

void EpollLoop::watch_writable(Port& port) {
  auto& own = static_cast<EpollPort&>(port);
  watch(own, own.events | EPOLLOUT);
}

void EpollLoop::turn(bool poll) {
  feed_starved();
  std::array<epoll_event, kMaxEvents> events;
  const int count = epoll_wait(epoll_fd_.get(), events.data(), kMaxEvents, poll ? 0 : -1);
  wake_up();
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr == nullptr) continue;  // a post or the timer: waking up was all
    auto& port = *static_cast<EpollPort*>(events[i].data.ptr);
    const uint32_t what = events[i].events;
    if (port.open && (what & EPOLLOUT) != 0) {
      watch(port, port.events & ~uint32_t{EPOLLOUT});
      writable(port);
    }
    if (!port.open || (what & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0) continue;
    switch (port.kind) {
      case Port::Kind::tun:
        read_tun(port, (what & (EPOLLERR | EPOLLHUP)) != 0);
        break;
      case Port::Kind::udp:
        receive(port, udp_received_);
        break;
      case Port::Kind::raw:
        receive(port, raw_received_);
        break;
    }
  }
}

void EpollLoop::read_tun(EpollPort& port, bool dead) {
  reads_.clear();
  const auto result = tun_reader_.read(port.fd, arena(), reads_);
  if (!reads_.empty()) deliver(port, reads_);
  reads_.clear();
  if (!port.open) return;
  if (result == TunReader::Result::closed) {
    close_tun(port, tun_reader_.error());
  } else if (result == TunReader::Result::drained && dead) {
    close_tun(port, EBADFD);
  } else if (result == TunReader::Result::no_slabs) {
    starve(port);
  }
}

// Gives each message a slab; returns how many have one.
uint32_t EpollLoop::prepare_slots() {
  uint32_t count = 0;
  for (; count < wanted_slots_; ++count) {
    ReceiveSlot& slot = slots_[count];
    if (!slot.slab) slot.slab = arena().take();
    if (!slot.slab) break;
    slot.part = {slot.slab.bytes().data() + kSlabHeadroom, kReceiveSize};
    msghdr& message = messages_[count].msg_hdr;
    message = {};
    message.msg_name = &slot.name;
    message.msg_namelen = sizeof slot.name;
    message.msg_iov = &slot.part;
    message.msg_iovlen = 1;
    message.msg_control = slot.control.data();
    message.msg_controllen = slot.control.size();
  }
  return count;
}

template <typename Received>
void EpollLoop::receive(EpollPort& port, std::vector<Received>& received) {
  const uint32_t slots = prepare_slots();
  if (slots == 0) return starve(port);
  const int count = recvmmsg(port.fd, messages_.data(), slots, MSG_DONTWAIT, nullptr);
  if (count <= 0) return;  // EAGAIN, or an error of the socket, which this has cleared
  received.clear();
  uint32_t bytes = 0;
  for (uint32_t i = 0; i < static_cast<uint32_t>(count); ++i) {
    Received& one = received.emplace_back();
    one.size = messages_[i].msg_len;
    bytes += one.size;
    if (!parse(messages_[i].msg_hdr, one)) {
      received.pop_back();  // its slab stays in the slot
      continue;
    }
    one.slab = std::move(slots_[i].slab);
    one.data = one.slab.bytes().data() + kSlabHeadroom;
  }
  wanted_slots_ =
      std::clamp(kReceiveTurnBytes / (bytes / static_cast<uint32_t>(count) + 1), kMinSlots, most_slots());
  if (!received.empty()) deliver(port, received);
  received.clear();
}

// No slab is free: stop listening, or the level-triggered readiness would spin. Packets wait in the kernel.
void EpollLoop::starve(EpollPort& port) {
  ++counters_.receive_no_buffers;
  if (port.starved) return;
  port.starved = true;
  starved_.push_back(&port);
  watch(port, port.events & ~uint32_t{EPOLLIN});
}

void EpollLoop::feed_starved() {
  if (starved_.empty() || arena().free_count() == 0) return;
  for (EpollPort* port : starved_) {
    port->starved = false;
    watch(*port, port->events | EPOLLIN);
  }
  starved_.clear();
}

void EpollLoop::end() {
  tun_reader_.release();
  for (ReceiveSlot& slot : slots_) slot.slab = {};
  for (const auto& port : ports_) finish(*port);
}

}  // namespace hats::transport
