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
/// Places in the buffer ring, at the most. They are filled in turn, so that each ends up as large in memory
/// as the largest receive; twice as many were no faster and 1.5 MiB more.
constexpr uint32_t kMaxGroup = 32;
constexpr uint16_t kUdpGroup = 1;
/// Room that stays free behind a receive: padding and tag.
constexpr uint32_t kTailroom = 64;
constexpr uint64_t kOpMask = 7;

// What io_uring puts before a received payload: its own header, the name, the control data. It lies in the
// headroom, so that the payload is where every receive's is.
constexpr uint32_t kReceivePrefix =
    sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in6) + uint32_t{kReceiveControlSize};
static_assert(kReceivePrefix <= kSlabHeadroom);
static_assert((kSlabHeadroom - kReceiveControlSize) % alignof(cmsghdr) == 0);
static_assert((kSlabHeadroom - kReceivePrefix) % alignof(io_uring_recvmsg_out) == 0);

uint32_t received_size(const io_uring_cqe& completion) {
  return completion.res > 0 ? static_cast<uint32_t>(completion.res) : 0;
}

}  // namespace

struct alignas(8) UringLoop::UringPort final : Port {
  int file = -1;           // registered file slot
  bool receiving = false;  // a receive or a poll for input is with the kernel
  bool waiting_writable = false;
  bool active = false;  // is in active_
  // For the handler:
  bool is_writable = false;
  bool is_readable = false;  // TUN, raw: not yet read until there was no more
  bool hung_up = false;      // TUN
  std::vector<UdpReceived> udp_received;

  [[nodiscard]] Op input() const { return kind == Kind::udp ? Op::receive : Op::readable; }
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
  // A third of the arena for receives of UDP, a quarter for raw sockets, the rest for TUN reads and sends.
  const uint32_t places = std::min(kMaxGroup, std::bit_floor(arena().size() / 3));
  const uint32_t start = kSlabHeadroom - kReceivePrefix;
  auto buffers = BufferGroup::make(ring_->get(), kUdpGroup, places, start, kSlabSize - start - kTailroom);
  if (!buffers) return buffers.error();
  udp_buffers_ = std::move(*buffers);
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
  udp_buffers_->refill(arena());
}

void UringLoop::start(Port& port) {
  auto& own = static_cast<UringPort&>(port);
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
  if (own.receiving) cancel(own, own.input());
  if (own.waiting_writable) cancel(own, Op::writable);
  while (own.receiving || own.waiting_writable) {
    io_uring_submit_and_wait(ring_->get(), 1);
    reap();
  }
  std::erase(active_, &own);
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

// Leaves a UDP socket unarmed while the group has no slab: turn() tries again. A poll is for one event: while
// one waits, each packet that arrives wakes the ring up, and it is not asked again before all is read.
void UringLoop::arm(UringPort& port) {
  if (port.kind == Port::Kind::udp) {
    if (udp_buffers_->posted() == 0) return static_cast<void>(++counters_.receive_no_buffers);
    io_uring_sqe* entry = ring_->entry();
    io_uring_prep_recvmsg_multishot(entry, port.fd, &receive_layout_, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = kUdpGroup;
    finish_entry(entry, port, Op::receive);
  } else {
    io_uring_sqe* entry = ring_->entry();
    io_uring_prep_poll_add(entry, port.fd, POLLIN);
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
  udp_buffers_->refill(arena());
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
  reap();
  serving_.swap(active_);  // what becomes active from here on is the next turn's
  for (UringPort* port : serving_) port->active = false;
  for (UringPort* port : serving_) {
    if (port->open) service(*port);
  }
  serving_.clear();
}

void UringLoop::reap() {
  io_uring_cqe* completion = nullptr;
  unsigned head = 0, count = 0;
  io_uring_for_each_cqe(ring_->get(), head, completion) {
    absorb(*completion);
    ++count;
  }
  io_uring_cq_advance(ring_->get(), count);
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
  port->receiving = false;
  if (!port->is_readable) disarm(*port);
}

void UringLoop::absorb_receive(UringPort& port, const io_uring_cqe& completion) {
  if ((completion.flags & IORING_CQE_F_BUFFER) == 0) return;  // ended: an error of the socket, or cancelled
  Lease slab = udp_buffers_->take(completion.flags >> IORING_CQE_BUFFER_SHIFT, received_size(completion));
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
  } else if (port.is_readable) {
    port.kind == Port::Kind::raw ? read_raw(port) : read_tun(port);
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

// Read with readv(2) until there is no more, or the turn's budget is spent. A multishot read would spare the
// calls, and give each packet a slab of its own (README.md has the measurement).
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
      if (port.hung_up) return close_tun(port, EBADFD);
      port.is_readable = false;
      return disarm(port);
    case TunReader::Result::no_slabs:
    case TunReader::Result::more:
      return read_on(port, result == TunReader::Result::no_slabs);
  }
}

void UringLoop::end() {
  for (const auto& port : ports_) finish(*port);
  tun_reader_.release();
  raw_reader_.release();
  udp_buffers_->close(ring_->get());
  // What the kernel tears down later holds no socket any more: all requests have ended, no file is
  // registered.
  ring_.reset();
}

}  // namespace hats::transport
