// The packet loop: file descriptors, slabs and tags. It knows nothing of WireGuard, peers or keys; the
// composition hands it a Handler. Two backends behind one interface: io_uring, and epoll with
// recvmmsg/sendmmsg for hosts that forbid io_uring (DESIGN.md laws 2, 8; section 4 for the order of sends).
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/address.hpp"
#include "core/base/time.hpp"
#include "transport/arena.hpp"

namespace hats::transport {

enum class IoChoice : uint8_t { automatic, uring, epoll };

/// Chosen by the composition when it adds a descriptor; handed back with each event of it.
using Tag = uint32_t;

/// One TUN read: virtio header (if the queue has one) and packet, at `data` in the slab. Bytes of the slab
/// before and behind may be written as well, but only by the one who holds the lease.
struct TunRead {
  Lease slab;
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t room = 0;  // writable bytes of the slab behind data + size
};

/// One UDP receive, perhaps merged by GRO.
struct UdpReceived {
  Lease slab;
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t segment_size = 0;  // 0: a single datagram
  Endpoint from;
  LocalSource to;
  uint8_t ds = 0;
};

/// One UDP send. segment_size < size asks for UDP_SEGMENT; where the kernel refuses it for this path the loop
/// sends the datagrams singly. `slab` keeps the bytes until the send completes; without a slab the bytes are
/// copied.
struct UdpSend {
  Lease slab;
  const uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t segment_size = 0;
  Endpoint to;
  LocalSource from;  // address unset: the kernel chooses
  uint8_t ds = 0;
  uint64_t cookie = 0;  // the caller's, comes back with a failure
};

/// One receive of a raw socket, perhaps merged by GRO (formats.md 5.5). IPv4: `data` begins with the outer
/// header. IPv6: it is what follows the outer and extension headers, and `ds` and `hop_limit` are set.
struct RawReceived {
  Lease slab;
  uint8_t* data = nullptr;
  uint32_t size = 0;
  IpAddress from;  // IPv4: as in the header
  LocalSource to;  // address it was sent to, interface it came by
  uint8_t ds = 0;
  uint8_t hop_limit = 0;
};

/// Bytes of a raw packet that may lie apart from its payload.
inline constexpr uint32_t kRawHeadSize = 152;

/// One packet for a raw socket: head, then data. The kernel puts the IP header in front, but for a socket
/// opened with RawMode::header_included.
struct RawSend {
  Lease slab;  // keeps `data` until the send completes; without a slab the bytes are copied
  std::array<uint8_t, kRawHeadSize> head;
  uint32_t head_size = 0;
  const uint8_t* data = nullptr;
  uint32_t size = 0;
  IpAddress to;
  /// Address unset: the kernel chooses. Interface: to leave by, 0 for any; IPv6 with an address takes it for
  /// a wish only, as for the kernel's own tunnels.
  LocalSource from;
  uint8_t ttl = 64;  // TTL or hop limit, 1..255
  uint8_t ds = 0;
  uint32_t flow_label = 0;  // IPv6
  uint64_t cookie = 0;      // the caller's, comes back with a failure
};

/// One gathered TUN write. parts[0] is the virtio header where the queue has one. `slabs` keep the bytes
/// until the write completes; the loop copies parts and leases where it needs them longer than the call.
struct TunWrite {
  std::span<const iovec> parts;
  std::span<const Lease> slabs;
};

/// What happened on the sockets and queues of one wake-up. All calls come on the loop's thread.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void on_tun(Tag tag, std::span<TunRead> reads, Now now) = 0;
  virtual void on_udp(Tag tag, std::span<UdpReceived> received, Now now) = 0;
  // Of those who add raw sockets:
  virtual void on_raw(Tag /*tag*/, std::span<RawReceived> /*received*/, Now /*now*/) {}
  /// A raw packet was refused for good; it is lost. EMSGSIZE: larger than the device's MTU with DF set, or
  /// with a header of its own; EINVAL, ENETUNREACH: often a source that is gone; EPERM: a firewall.
  virtual void on_raw_send_failed(Tag /*tag*/, const RawSend& /*send*/, int /*error*/, Now /*now*/) {}
  /// A send failed for good (retries without GSO are the loop's). `send` still has its lease and may be sent
  /// again, changed, from inside this call: EINVAL, ENETUNREACH and such with a `from` often mean that the
  /// source is gone.
  virtual void on_send_failed(Tag tag, UdpSend& send, int error, Now now) = 0;
  /// A TUN write failed with this errno; the packet is lost (EIO: interface down is normal and not reported).
  /// Comes after the call that wrote has returned; write() itself returns the errno too.
  virtual void on_write_failed(Tag tag, int error, Now now) = 0;
  /// The TUN device is gone (EBADFD) or the descriptor is dead. It has been removed from the loop.
  virtual void on_tun_closed(Tag tag, int error, Now now) = 0;
  /// Once a wake-up, after all batches and posted functions: handshakes, timers, outputs.
  virtual void on_wake(Now now) = 0;
  /// When on_wake is wanted at the latest, if nothing happens; nullopt: no deadline. Asked before each wait.
  virtual std::optional<BootTime> next_deadline() = 0;
  /// True if there is work left that on_wake put off for fairness: the loop then polls instead of waiting.
  virtual bool has_backlog() = 0;
};

struct LoopOptions {
  IoChoice io = IoChoice::automatic;
  uint32_t slabs = 192;  // arena size, kMinSlabs..kMaxSlabs
  /// The loop's thread runs under a real-time class, and preempts whoever makes its packets: it pauses in a
  /// flood of single ones, so that they come in batches (pacer.hpp).
  bool realtime = false;
  /// io_uring as in Linux 6.1: no registered files. For tests and measurements.
  bool uring_basic = false;
};
/// The least arena that keeps both directions moving: a third for receives of UDP, a quarter for those of raw
/// sockets, the rest for TUN reads and sends.
inline constexpr uint32_t kMinSlabs = 24;

/// Counters for `show`. Relaxed copies; read by posting.
struct LoopCounters {
  uint64_t wakeups = 0, tun_reads = 0, tun_writes = 0, udp_receives = 0, udp_sends = 0,
           udp_datagrams_sent = 0;
  uint64_t sends_dropped = 0;       // newest dropped: FIFO full, no slab to copy into, or failed too often
  uint64_t receive_no_buffers = 0;  // a receive waited for a free slab
  uint64_t raw_receives = 0, raw_sends = 0;
  uint64_t raw_truncated = 0;  // dropped: larger than a slab (GRO above 64 KiB, "BIG TCP")
  uint64_t raw_refused = 0;    // sends that the kernel refused for good
  uint64_t gso_fallbacks = 0;  // paths that lost UDP_SEGMENT
};

class Loop {
 public:
  /// Makes the backend. `automatic`: io_uring if this host lets us, else epoll. The error is a sentence with
  /// the errno text, for `uring` where io_uring is refused.
  static std::expected<std::unique_ptr<Loop>, std::string> make(const LoopOptions& options);
  virtual ~Loop() = default;

  [[nodiscard]] virtual std::string_view name()
      const = 0;  // "io_uring", "io_uring (no registered files)", "epoll"
  [[nodiscard]] virtual Arena& arena() = 0;
  [[nodiscard]] virtual LoopCounters counters() const = 0;

  // On the loop's thread, or before run() (then from one thread at a time). The loop does not own the
  // descriptors: after remove() returns it will not touch the descriptor again, and the caller may close it.
  virtual void add_tun(Tag tag, int fd) = 0;
  virtual void add_udp(Tag tag, int fd) = 0;
  /// A socket of raw_socket.hpp: a receiver, a sender, or an ICMP listener.
  virtual void add_raw(Tag tag, int fd) = 0;
  virtual void remove(Tag tag) = 0;
  /// Queues; what a callback sends goes out when it returns. Order is kept for each tag.
  virtual void send(Tag tag, UdpSend send) = 0;
  /// The same for a raw socket. Dropped (sends_dropped) if it has no address to go to, or a head too large.
  virtual void send_raw(Tag tag, RawSend send) = 0;
  /// Writes at once. 0 or errno: whoever merged the packet may replay it singly on EINVAL.
  virtual int write(Tag tag, const TunWrite& write) = 0;

  /// Runs until stop(). Returns after pending sends were flushed or given up, and rings are closed.
  virtual void run(Handler& handler) = 0;
  // From any thread:
  virtual void stop() = 0;
  /// Runs `function` on the loop's thread, before the next on_wake.
  virtual void post(std::function<void()> function) = 0;
};

}  // namespace hats::transport
