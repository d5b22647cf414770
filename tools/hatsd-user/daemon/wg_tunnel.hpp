// One WireGuard interface on its worker's thread: TUN queue, UDP sockets and the sans-I/O device, joined into
// the flow of DESIGN.md 4. It holds no protocol rule: it moves batches between the loop and wg::Device.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/wg/device.hpp"
#include "crypto/aead.hpp"
#include "crypto/rng.hpp"
#include "tools/hatsd-user/daemon/batch_space.hpp"
#include "tools/hatsd-user/daemon/icmp_sender.hpp"
#include "transport/loop.hpp"
#include "transport/udp_socket.hpp"
#include "tun/tun_device.hpp"

namespace hats::app {

/// Handshake messages consumed a wake-up, so that data never waits behind them for long (about 1 ms); the
/// rest waits for the next wake-up, which the loop does at once.
inline constexpr size_t kHandshakesPerWake = 4;
/// Batches of staged packets planned a wake-up.
inline constexpr size_t kPendingBatchesPerWake = 8;

/// What a worker lends to its tunnels. All of it outlives them.
struct WorkerParts {
  transport::Loop& loop;
  crypto::Aead& aead;
  crypto::Rng& rng;
  BatchSpace& space;
  const IcmpSender* icmp;  // null: no ICMP errors (no CAP_NET_RAW at start)
};

/// Counters of the composition itself; the device has its own.
struct TunnelCounters {
  uint64_t tun_malformed = 0;   // TUN reads that cannot be cut
  uint64_t send_failed = 0;     // datagrams that the kernel refused for good
  uint64_t source_retries = 0;  // sends repeated without their dead source
  uint64_t write_failed = 0;    // packets that TUN refused
  uint64_t icmp_sent = 0;       // errors to senders whose packets had no way out
  int last_send_error = 0;      // errno
};

class WgTunnel {
 public:
  /// What the control thread is told of, on the worker's thread.
  enum class Notice : uint8_t {
    closed,           // the TUN queue is dead
    used_while_down,  // the link carried a packet before we heard that it is up
  };
  using Notify = std::function<void(Notice notice)>;

  /// `slot` numbers the tunnels of a worker; the loop's tags are made of it.
  WgTunnel(uint32_t slot, tun::TunDevice tun, uint32_t mtu, const WorkerParts& parts, Notify notify);

  // ---- On the worker's thread ----
  void attach();
  /// Takes all descriptors out of the loop. After it the object may be destroyed on any thread.
  void detach();
  /// Puts new sockets in the place of the old ones, which are closed.
  void set_sockets(transport::UdpSockets sockets);
  /// SO_MARK of the sockets, and of those that follow. 0 or errno.
  [[nodiscard]] int set_fwmark(uint32_t mark);
  /// A link that goes down closes its sockets and keeps the port's number, as the kernel's (wg_stop); one
  /// that comes up has them again. 0, or the errno of opening them: then the next call tries once more.
  int set_up(Now now, bool up);
  [[nodiscard]] wg::Device& device() { return device_; }
  [[nodiscard]] const tun::TunDevice& tun() const { return tun_; }
  [[nodiscard]] const TunnelCounters& counters() const { return counters_; }

  // ---- Called by the worker's handler ----
  void on_tun(std::span<transport::TunRead> reads, Now now);
  void on_udp(std::span<transport::UdpReceived> received, Now now);
  void on_send_failed(transport::Tag tag, transport::UdpSend& send, int error);
  void on_write_failed() { ++counters_.write_failed; }
  void on_tun_closed();
  void on_wake(Now now);
  [[nodiscard]] std::optional<BootTime> next_deadline() const { return device_.next_deadline(); }
  [[nodiscard]] bool has_backlog() const { return device_.has_handshakes() || device_.has_pending(); }

  // ---- Tags ----
  enum class Part : uint8_t { tun = 0, udp_v4 = 1, udp_v6 = 2 };
  static constexpr transport::Tag tag(uint32_t slot, Part part) {
    return slot * 4 + static_cast<uint32_t>(part);
  }
  static constexpr uint32_t slot_of(transport::Tag tag) { return tag / 4; }

 private:
  void send_pieces(Now now);
  void lend_slabs(uint64_t bytes);
  void finish_outbound(Now now);
  void write_inner(std::span<transport::UdpReceived> received);
  void write_one(const packet::Offload& offload, std::span<const packet::Fragment> fragments,
                 std::span<transport::UdpReceived> received);
  void send_control();
  [[nodiscard]] transport::Tag socket_tag(const Endpoint& to) const;
  void add_sockets();
  void remove_sockets();
  [[nodiscard]] int open_sockets_again();
  void close_sockets();

  uint32_t slot_;
  tun::TunDevice tun_;
  WorkerParts parts_;
  wg::Device device_;
  transport::UdpSockets sockets_;  // closed ones keep their port
  uint32_t fwmark_ = 0;
  packet::MergeLimits merge_limits_;
  Notify notify_;
  TunnelCounters counters_;
  bool up_ = false;
  bool went_down_ = false;  // since it was up
  bool attached_ = false;
  bool tun_dead_ = false;
};

}  // namespace hats::app
