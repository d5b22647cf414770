#include "transport/uring_loop.hpp"

#include <poll.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace hats::transport {
namespace {

/// Submission entries: arming, cancelling and polls only, so a few dozen would do.
constexpr uint32_t kSubmissions = 128;
/// Registered file slots; descriptors beyond are used unregistered.
constexpr uint32_t kFileSlots = 256;
/// Places in a buffer ring, at the most: one turn's receives.
constexpr uint32_t kMaxGroup = 64;
constexpr uint16_t kSocketGroup = 1, kTunGroup = 2;
/// Room that stays free behind a receive: padding and tag.
constexpr uint32_t kTailroom = 64;
constexpr uint64_t kOpMask = 7;
/// Receives after which the kernel lets other requests have their turn (its MULTISHOT_MAX_RETRY).
constexpr unsigned kMultishotBurst = 32;

// What io_uring puts before a received payload: its own header, the name, the control data. It lies in the
// headroom, so that the payload is where every receive's is.
constexpr uint32_t kReceivePrefix =
    sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in6) + uint32_t{kReceiveControlSize};
static_assert(kReceivePrefix <= kSlabHeadroom);
static_assert((kSlabHeadroom - kReceiveControlSize) % alignof(cmsghdr) == 0);
static_assert((kSlabHeadroom - kReceivePrefix) % alignof(io_uring_recvmsg_out) == 0);

std::string describe(const UringFeatures& features) {
  std::string missing;
  if (!features.read_multishot) missing += "no multishot read";
  if (!features.registered_files)
    missing += missing.empty() ? "no registered files" : ", no registered files";
  return missing.empty() ? "io_uring" : "io_uring (" + missing + ")";
}

uint32_t received_size(const io_uring_cqe& completion) {
  return completion.res > 0 ? static_cast<uint32_t>(completion.res) : 0;
}

}  // namespace

struct alignas(8) UringLoop::UringPort final : Port {
  int file = -1;           // registered file slot
  bool receiving = false;  // a receive, a multishot read or a poll for input is with the kernel
  bool waiting_writable = false;
  bool active = false;     // is in active_
  Op armed = Op::receive;  // what `receiving` is
  // For the handler:
  bool is_writable = false;
  bool is_readable = false;  // polled: not yet read until there was no more
  bool hung_up = false;      // TUN, polled
  int dead = 0;              // TUN: errno of its end
  std::vector<TunRead> reads;
  std::vector<UdpReceived> udp_received;
};

std::expected<std::unique_ptr<LoopBase>, int> UringLoop::make(std::unique_ptr<Arena> arena, bool basic) {
  auto features = probe_uring();
  if (!features) return std::unexpected(features.error());
  if (basic) *features = {};
  auto ring = Ring::make(kSubmissions, false);
  if (!ring) return std::unexpected(ring.error());
  auto fds = make_loop_fds();
  if (!fds) return std::unexpected(fds.error());
  std::unique_ptr<UringLoop> out(
      new UringLoop(std::move(arena), std::move(*fds), std::move(*ring), *features));
  if (int error = out->register_with_ring(); error != 0) return std::unexpected(error);
  return out;
}

UringLoop::UringLoop(std::unique_ptr<Arena> arena, LoopFds fds, std::unique_ptr<Ring> ring,
                     UringFeatures features)
    : LoopBase(std::move(arena), std::move(fds)),
      features_(features),
      name_(describe(features)),
      ring_(std::move(ring)),
      raw_reader_(std::min(kTurnReceives, this->arena().size() / 4)) {
  receive_layout_.msg_namelen = sizeof(sockaddr_in6);
  receive_layout_.msg_controllen = kReceiveControlSize;
  reads_.reserve(kTunTurnReads);
  udp_received_.reserve(kTurnReceives);
  raw_received_.reserve(kTurnReceives);
}

UringLoop::~UringLoop() {
  ring_.reset();  // before the buffers it may still name
}

int UringLoop::register_with_ring() {
  // A third of the arena for receives of UDP, one for TUN reads, a quarter for raw sockets, the rest for
  // sends.
  const uint32_t places = std::min(kMaxGroup, std::bit_floor(arena().size() / 3));
  const uint32_t start = kSlabHeadroom - kReceivePrefix;
  auto sockets = BufferGroup::make(ring_->get(), kSocketGroup, places, start, kSlabSize - start - kTailroom);
  if (!sockets) return sockets.error();
  socket_buffers_ = std::move(*sockets);
  if (features_.read_multishot) {
    auto tun = BufferGroup::make(ring_->get(), kTunGroup, places, kSlabHeadroom,
                                 kSlabSize - kSlabHeadroom - kTailroom);
    if (!tun) return tun.error();
    tun_buffers_ = std::move(*tun);
  }
  if (features_.registered_files && io_uring_register_files_sparse(ring_->get(), kFileSlots) == 0) {
    for (int slot = kFileSlots - 1; slot >= 0; --slot) free_files_.push_back(slot);
  }
  return 0;
}

std::unique_ptr<Port> UringLoop::make_port() {
  return std::make_unique<UringPort>();
}

void UringLoop::begin() {
  static_cast<void>(ring_->enable());  // it cannot fail: made disabled, enabled once
  socket_buffers_->refill(arena());
  if (tun_buffers_) tun_buffers_->refill(arena());
}

void UringLoop::start(Port& port) {
  auto& own = static_cast<UringPort&>(port);
  own.armed = own.kind == Port::Kind::udp                   ? Op::receive
              : own.kind == Port::Kind::tun && tun_buffers_ ? Op::read
                                                            : Op::readable;
  if (!free_files_.empty() && io_uring_register_files_update(
                                  ring_->get(), static_cast<unsigned>(free_files_.back()), &own.fd, 1) == 1) {
    own.file = free_files_.back();
    free_files_.pop_back();
  }
  disarm(own);
}

// Cancels what is with the kernel and waits for it. What else completes meanwhile is kept for the next turn.
void UringLoop::finish(Port& port) {
  auto& own = static_cast<UringPort&>(port);
  std::erase(disarmed_, &own);
  std::erase(starved_, &own);
  if (own.receiving) cancel(own, own.armed);
  if (own.waiting_writable) cancel(own, Op::writable);
  while (own.receiving || own.waiting_writable) {
    io_uring_submit_and_wait(ring_->get(), 1);
    reap();
  }
  std::erase(active_, &own);
  own.reads.clear();
  own.udp_received.clear();
  if (own.file >= 0) {
    const int none = -1;
    io_uring_register_files_update(ring_->get(), static_cast<unsigned>(own.file), &none, 1);
    free_files_.push_back(own.file);
    own.file = -1;
  }
}

// After the io_uring_prep call, which clears flags and user data.
void UringLoop::finish_entry(io_uring_sqe* entry, UringPort& port, Op op) {
  if (port.file >= 0) {
    entry->fd = port.file;
    entry->flags |= IOSQE_FIXED_FILE;
  }
  io_uring_sqe_set_data64(entry, reinterpret_cast<uint64_t>(&port) | static_cast<uint64_t>(op));
}

// Leaves it unarmed while its group has no slab: turn() tries again.
void UringLoop::arm(UringPort& port) {
  if (port.armed == Op::receive) {
    if (socket_buffers_->posted() == 0) return static_cast<void>(++counters_.receive_no_buffers);
    io_uring_sqe* entry = ring_->entry();
    io_uring_prep_recvmsg_multishot(entry, port.fd, &receive_layout_, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = kSocketGroup;
    finish_entry(entry, port, Op::receive);
  } else if (port.armed == Op::read) {
    if (tun_buffers_->posted() == 0) return static_cast<void>(++counters_.receive_no_buffers);
    io_uring_sqe* entry = ring_->entry();
    io_uring_prep_rw(kOpReadMultishot, entry, port.fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = kTunGroup;
    finish_entry(entry, port, Op::read);
  } else {
    io_uring_sqe* entry = ring_->entry();
    if (port.kind == Port::Kind::raw) {
      io_uring_prep_poll_add(entry, port.fd, POLLIN);
    } else {
      io_uring_prep_poll_multishot(entry, port.fd, POLLIN);
    }
    finish_entry(entry, port, Op::readable);
  }
  port.receiving = true;
}

// Each post and each expiry is one completion; neither descriptor is ever read.
void UringLoop::arm_wake(Op op, int fd, bool& armed) {
  if (armed) return;
  io_uring_sqe* entry = ring_->entry();
  io_uring_prep_poll_multishot(entry, fd, POLLIN);
  io_uring_sqe_set_data64(entry, static_cast<uint64_t>(op));
  armed = true;
}

void UringLoop::watch_writable(Port& port) {
  auto& own = static_cast<UringPort&>(port);
  io_uring_sqe* entry = ring_->entry();
  io_uring_prep_poll_add(entry, own.fd, POLLOUT);
  finish_entry(entry, own, Op::writable);
  own.waiting_writable = true;
}

void UringLoop::cancel(UringPort& port, Op op) {
  io_uring_sqe* entry = ring_->entry();
  io_uring_prep_cancel64(entry, reinterpret_cast<uint64_t>(&port) | static_cast<uint64_t>(op), 0);
  io_uring_sqe_set_data64(entry, static_cast<uint64_t>(Op::cancel));
}

void UringLoop::activate(UringPort& port) {
  if (port.active) return;
  port.active = true;
  active_.push_back(&port);
}

void UringLoop::disarm(UringPort& port) {
  port.receiving = false;
  if (port.open) disarmed_.push_back(&port);
}

// One wake-up: one system call that submits, waits and receives.
void UringLoop::turn(bool poll) {
  socket_buffers_->refill(arena());
  if (tun_buffers_) tun_buffers_->refill(arena());
  if (arena().free_count() != 0) {
    for (UringPort* port : starved_) activate(*port);
    starved_.clear();
  }
  std::erase_if(disarmed_, [this](UringPort* port) {
    arm(*port);
    return port->receiving;
  });
  arm_wake(Op::wake, wake_fd(), wake_armed_);
  arm_wake(Op::timer, timer_fd(), timer_armed_);
  if (poll || !active_.empty()) {
    io_uring_submit_and_get_events(ring_->get());
  } else {
    io_uring_submit_and_wait(ring_->get(), 1);
  }
  wake_up();
  if (reap() >= kMultishotBurst) {
    // The kernel pauses a multishot receive after a burst. What it still has makes this turn's batches full,
    // and costs less than a turn of its own.
    io_uring_submit_and_get_events(ring_->get());
    reap();
  }
  serving_.swap(active_);  // what becomes active from here on is the next turn's
  for (UringPort* port : serving_) port->active = false;
  for (UringPort* port : serving_) {
    if (port->open) service(*port);
  }
  serving_.clear();
}

unsigned UringLoop::reap() {
  io_uring_cqe* completion = nullptr;
  unsigned head = 0, count = 0;
  io_uring_for_each_cqe(ring_->get(), head, completion) {
    absorb(*completion);
    ++count;
  }
  io_uring_cq_advance(ring_->get(), count);
  return count;
}

// Bookkeeping only: the handler is called by service(), because this also runs inside remove().
void UringLoop::absorb(const io_uring_cqe& completion) {
  const auto op = static_cast<Op>(completion.user_data & kOpMask);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the pointer that finish_entry() put there
  auto* port = reinterpret_cast<UringPort*>(completion.user_data & ~kOpMask);
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  switch (op) {
    case Op::receive:
      absorb_receive(*port, completion);
      break;
    case Op::read:
      absorb_read(*port, completion);
      break;
    case Op::readable:
      absorb_readable(*port, completion);
      break;
    case Op::writable:
      port->waiting_writable = false;
      port->is_writable = true;
      activate(*port);
      break;
    case Op::wake:
      wake_armed_ = more;
      return;
    case Op::timer:
      timer_armed_ = more;
      return;
    case Op::cancel:
      return;
  }
  if (more || op == Op::writable) return;
  // A raw socket is polled for again only when it has been read empty: while a poll waits, each packet that
  // arrives wakes it up, which costs as much as the receive.
  port->receiving = false;
  if (port->kind != Port::Kind::raw || !port->is_readable) disarm(*port);
}

void UringLoop::absorb_receive(UringPort& port, const io_uring_cqe& completion) {
  if ((completion.flags & IORING_CQE_F_BUFFER) == 0) return;  // ended: an error of the socket, or cancelled
  Lease slab = socket_buffers_->take(completion.flags >> IORING_CQE_BUFFER_SHIFT, received_size(completion));
  if (completion.res < 0 || !port.open) return;
  uint8_t* buffer = slab.bytes().data() + kSlabHeadroom - kReceivePrefix;
  io_uring_recvmsg_out* header = io_uring_recvmsg_validate(buffer, completion.res, &receive_layout_);
  if (!header) return;
  msghdr message{};
  message.msg_name = io_uring_recvmsg_name(header);
  message.msg_namelen = header->namelen;
  message.msg_control = buffer + kReceivePrefix - kReceiveControlSize;
  message.msg_controllen = header->controllen;
  message.msg_flags = static_cast<int>(header->flags);
  UdpReceived& one = port.udp_received.emplace_back();
  one.size = io_uring_recvmsg_payload_length(header, completion.res, &receive_layout_);
  one.data = buffer + kReceivePrefix;
  if (!parse(message, one)) return port.udp_received.pop_back();
  one.slab = std::move(slab);
  activate(port);
}

void UringLoop::absorb_read(UringPort& port, const io_uring_cqe& completion) {
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    Lease slab = tun_buffers_->take(completion.flags >> IORING_CQE_BUFFER_SHIFT, received_size(completion));
    if (completion.res > 0 && port.open) {
      const auto size = static_cast<uint32_t>(completion.res);
      uint8_t* data = slab.bytes().data() + kSlabHeadroom;
      port.reads.push_back({std::move(slab), data, size, kSlabSize - kSlabHeadroom - size});
      activate(port);
    }
  }
  if (completion.res == 0) port.dead = EPIPE;
  if (completion.res < 0 && is_tun_dead(-completion.res)) port.dead = -completion.res;
  if (completion.res == -EINVAL || completion.res == -EOPNOTSUPP) {
    // A descriptor of a kind that has no multishot read; or one packet that has no virtio header, after which
    // read(2) goes on as well.
    port.armed = Op::readable;
  }
  if (port.dead != 0) activate(port);
}

void UringLoop::absorb_readable(UringPort& port, const io_uring_cqe& completion) {
  if (completion.res < 0) return;
  port.is_readable = true;
  port.hung_up = port.hung_up || (completion.res & (POLLERR | POLLHUP)) != 0;
  activate(port);
}

void UringLoop::service(UringPort& port) {
  if (std::exchange(port.is_writable, false)) writable(port);
  if (port.kind == Port::Kind::udp) {
    service_udp(port);
  } else if (port.kind == Port::Kind::raw) {
    if (port.is_readable) read_raw(port);
  } else if (port.armed == Op::readable && port.reads.empty() && port.dead == 0) {
    read_tun(port);
  } else {
    service_tun(port);
  }
}

// The batch is swapped out: what arrives meanwhile is the next turn's.
void UringLoop::service_udp(UringPort& port) {
  udp_received_.swap(port.udp_received);
  for (std::span<UdpReceived> rest(udp_received_); !rest.empty() && port.open;) {
    const auto batch = rest.first(std::min<size_t>(rest.size(), kTurnReceives));
    deliver(port, batch);
    for (UdpReceived& one : batch) one.slab = {};
    rest = rest.subspan(batch.size());
  }
  udp_received_.clear();
}

void UringLoop::read_raw(UringPort& port) {
  raw_received_.clear();
  const auto result =
      raw_reader_.read(port.fd, arena(), raw_received_,
                       [this](const msghdr& message, RawReceived& one) { return parse(message, one); });
  if (!raw_received_.empty()) deliver(port, raw_received_);
  raw_received_.clear();
  if (!port.open) return;
  if (result != SocketReader::Result::drained) return read_on(port, result == SocketReader::Result::no_slabs);
  port.is_readable = false;
  disarm(port);
}

// A polled port that has more to read goes on next turn; without a slab, trying again before there is one
// would spin.
void UringLoop::read_on(UringPort& port, bool has_no_slabs) {
  if (!has_no_slabs) return activate(port);
  ++counters_.receive_no_buffers;
  starved_.push_back(&port);
}

void UringLoop::service_tun(UringPort& port) {
  reads_.swap(port.reads);
  for (std::span<TunRead> rest(reads_); !rest.empty() && port.open;) {
    size_t count = 0;
    for (uint32_t bytes = 0; count < std::min<size_t>(rest.size(), kTunTurnReads) && bytes < kTunTurnBytes;) {
      bytes += rest[count++].size;
    }
    const auto batch = rest.first(count);
    deliver(port, batch);
    for (TunRead& one : batch) one.slab = {};
    rest = rest.subspan(count);
  }
  reads_.clear();
  if (port.open && port.dead != 0) close_tun(port, port.dead);
}

// Without multishot reads: a poll said that there is something; read(2) takes it, and goes on next turn where
// the budget ends this one.
void UringLoop::read_tun(UringPort& port) {
  reads_.clear();
  const auto result = tun_reader_.read(port.fd, arena(), reads_);
  if (!reads_.empty()) deliver(port, reads_);
  reads_.clear();
  if (!port.open) return;
  switch (result) {
    case TunReader::Result::closed:
      return close_tun(port, tun_reader_.error());
    case TunReader::Result::drained:
      port.is_readable = false;
      if (port.hung_up) close_tun(port, EBADFD);
      return;
    case TunReader::Result::no_slabs:
    case TunReader::Result::more:
      return read_on(port, result == TunReader::Result::no_slabs);
  }
}

void UringLoop::end() {
  for (const auto& port : ports_) finish(*port);
  tun_reader_.release();
  raw_reader_.release();
  socket_buffers_->close(ring_->get());
  if (tun_buffers_) tun_buffers_->close(ring_->get());
  // What the kernel tears down later holds no socket any more: all requests have ended, no file is
  // registered.
  ring_.reset();
}

}  // namespace hats::transport
