// One WireGuard interface on its worker's thread: TUN queue, UDP sockets and the sans-I/O device, joined into
// the flow of DESIGN.md 4. It holds no protocol rule: it moves batches between the loop and wg::Device.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/wg/device.hpp"
#include "tools/hatsd-user/daemon/tunnel.hpp"
#include "transport/udp_socket.hpp"

namespace hats::app {

/// Handshake messages consumed a wake-up, so that data never waits behind them for long (about 1 ms); the
/// rest waits for the next wake-up, which the loop does at once.
inline constexpr size_t kHandshakesPerWake = 4;
/// Batches of staged packets planned a wake-up.
inline constexpr size_t kPendingBatchesPerWake = 8;

class WgTunnel final : public Tunnel {
 public:
  /// `mtu`: of the link, in bytes.
  WgTunnel(uint32_t slot, tun::TunDevice tun, uint32_t mtu, const WorkerParts& parts, Notify notify);

  // ---- On the worker's thread ----
  void attach() override;
  void detach() override;
  /// Puts new sockets in the place of the old ones, which are closed.
  void set_sockets(transport::UdpSockets sockets);
  /// SO_MARK of the sockets, and of those that follow. 0 or errno.
  [[nodiscard]] int set_fwmark(uint32_t mark);
  void set_mtu(uint32_t mtu) override { device_.set_mtu(mtu); }
  [[nodiscard]] wg::Device& device() { return device_; }

  // ---- Called by the worker's handler ----
  void on_udp(Part part, std::span<transport::UdpReceived> received, Now now) override;
  void on_send_failed(Part part, transport::UdpSend& send, int error) override;
  [[nodiscard]] bool wants_wake() const override { return true; }
  void on_wake(Now now) override;
  [[nodiscard]] std::optional<BootTime> next_deadline() const override { return device_.next_deadline(); }
  [[nodiscard]] bool has_backlog() const override {
    return device_.has_handshakes() || device_.has_pending();
  }

 private:
  static constexpr Part kUdpV4 = 1, kUdpV6 = 2;

  void send_pieces(std::span<transport::TunRead> reads, Now now) override;
  /// A link that goes down closes its sockets and keeps the port's number, as the kernel's (wg_stop); one
  /// that comes up has them again.
  int link_set(Now now, bool up, bool was_up) override;
  void lend_slabs(uint64_t bytes);
  void finish_outbound(Now now);
  void send_control();
  [[nodiscard]] transport::Tag socket_tag(const Endpoint& to) const;
  void add_sockets();
  void remove_sockets();
  [[nodiscard]] int open_sockets_again();
  void close_sockets();

  wg::Device device_;
  transport::UdpSockets sockets_;  // closed ones keep their port
  uint32_t fwmark_ = 0;
  bool went_down_ = false;  // since it was up
};

}  // namespace hats::app
