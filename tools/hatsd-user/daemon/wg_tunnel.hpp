// One WireGuard interface on its worker's thread: TUN queue, UDP sockets and the sans-I/O device, joined into
// the flow of DESIGN.md 4. It holds no protocol rule: it moves batches between the loop and wg::Device.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/wg/device.hpp"
#include "tools/hatsd-user/daemon/tickets.hpp"
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
  /// Applies keys and peers, once all that is under way is sent and delivered: a key that goes is not used
  /// any more when this returns.
  void apply(Now now, const wg::DeviceUpdate& update);
  void forget_source(const crypto::PublicKey& peer) { device_.forget_source(peer); }
  void set_path_mtu(const crypto::PublicKey& peer, const Endpoint& endpoint, uint32_t mtu) {
    device_.set_path_mtu(peer, endpoint, mtu);
  }
  [[nodiscard]] const wg::Device& device() const { return device_; }

  // ---- Called by the worker's handler ----
  void on_udp(Part part, std::span<transport::UdpReceived> received, Now now) override;
  void on_send_failed(Part part, transport::UdpSend& send, int error) override;
  [[nodiscard]] bool wants_wake() const override { return true; }
  void on_wake(Now now) override;
  [[nodiscard]] std::optional<BootTime> next_deadline() const override { return device_.next_deadline(); }
  [[nodiscard]] bool has_backlog() const override {
    return device_.has_handshakes() || device_.has_pending() || sealing_.first_is_done() ||
           opening_.first_is_done();
  }

 private:
  static constexpr Part kUdpV4 = 1, kUdpV6 = 2;

  void send_pieces(std::span<transport::TunRead> reads, Now now) override;
  /// A link that goes down closes its sockets and keeps the port's number, as the kernel's (wg_stop); one
  /// that comes up has them again.
  int link_set(Now now, bool up, bool was_up) override;
  void lend_slabs(uint64_t bytes);
  /// Seals what was planned into the worker's space, and sends it; now or in its turn. `reads`: that the
  /// packets lie in. `may_give`: nothing that is planned later lies in the same reads.
  void finish_outbound(Now now, std::span<const transport::TunRead> reads, bool may_give);
  void send_batch(Now now, wg::OutboundBatch& batch, std::vector<transport::Lease>& lent);
  void deliver_batch(Now now, wg::InboundBatch& batch, std::span<const transport::UdpReceived> received);
  void send_control();
  [[nodiscard]] transport::Tag socket_tag(const Endpoint& to) const;
  void add_sockets();
  void remove_sockets();
  [[nodiscard]] int open_sockets_again();
  void close_sockets();

  // With several workers (wg_tunnel_tickets.cpp).
  /// Takes the batch in the worker's space on, if another thread seals it or if it must wait for those
  /// before; false: it is to be sealed and sent now, and nothing is before it.
  [[nodiscard]] bool seal_in_line(Now now, std::span<const transport::TunRead> reads, bool may_give);
  [[nodiscard]] bool open_in_line(Now now, std::span<const transport::UdpReceived> received);
  /// Sends, or delivers, what is done and has nothing undone before it.
  void send_done(Now now);
  void deliver_done(Now now);
  /// The same of all; waits for it.
  void finish_sealing(Now now);
  void finish_opening(Now now);
  /// Waits until no other thread has to do with a ticket of ours, and forgets them.
  void drop_tickets();

  wg::Device device_;
  TicketLine sealing_, opening_;
  transport::UdpSockets sockets_;  // closed ones keep their port
  uint32_t fwmark_ = 0;
  bool went_down_ = false;  // since it was up
};

}  // namespace hats::app
