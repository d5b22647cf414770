#include "transport/epoll_loop.hpp"

#include <algorithm>
#include <cerrno>

namespace hats::transport {
namespace {

/// Events fetched with one epoll_wait; more descriptors than that wait for the next wake-up.
constexpr int kMaxEvents = 64;

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

// A third of the arena for receives, a third for TUN reads, a third for sends.
EpollLoop::EpollLoop(std::unique_ptr<Arena> arena, LoopFds fds, UniqueFd epoll_fd)
    : LoopBase(std::move(arena), std::move(fds)),
      epoll_fd_(std::move(epoll_fd)),
      socket_reader_(std::min(kTurnReceives, this->arena().size() / 3)) {
  reads_.reserve(kTunTurnReads);
  udp_received_.reserve(kTurnReceives);
  raw_received_.reserve(kTurnReceives);
}

EpollLoop::~EpollLoop() = default;

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

template <typename Received>
void EpollLoop::receive(EpollPort& port, std::vector<Received>& received) {
  received.clear();
  const auto result =
      socket_reader_.read(port.fd, arena(), received,
                          [this](const msghdr& message, Received& one) { return parse(message, one); });
  if (result == SocketReader::Result::no_slabs) return starve(port);
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
  socket_reader_.release();
  for (const auto& port : ports_) finish(*port);
}

}  // namespace hats::transport
