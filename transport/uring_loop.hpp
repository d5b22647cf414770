// The loop on io_uring: multishot receives into provided slabs, polls of TUN queues and raw sockets, one
// io_uring_enter a wake-up that submits, waits and runs the receives. Sends and TUN writes are LoopBase's
// (README.md says why). Linux 6.0 and later.
#pragma once

#include "transport/buffer_group.hpp"
#include "transport/loop_base.hpp"
#include "transport/ring.hpp"
#include "transport/tun_reader.hpp"

namespace hats::transport {

class UringLoop final : public LoopBase {
 public:
  /// `basic`: as if the kernel had none of UringFeatures. Error: errno.
  static std::expected<std::unique_ptr<LoopBase>, int> make(std::unique_ptr<Arena> arena, bool basic);
  ~UringLoop() override;
  [[nodiscard]] std::string_view name() const override {
    return features_.registered_files ? "io_uring" : "io_uring (no registered files)";
  }

 private:
  struct UringPort;
  /// What a completion belongs to: the low bits of its user data, the rest is the port's address.
  enum class Op : uint8_t { receive, readable, writable, cancel, wake, timer };

  UringLoop(std::unique_ptr<Arena> arena, LoopFds fds, std::unique_ptr<Ring> ring, UringFeatures features);
  [[nodiscard]] int register_with_ring();

  std::unique_ptr<Port> make_port() override;
  void start(Port& port) override;
  void finish(Port& port) override;
  void begin() override;
  void turn(bool poll) override;
  void watch_writable(Port& port) override;
  void end() override;

  void finish_entry(io_uring_sqe* entry, UringPort& port, Op op);
  void arm(UringPort& port);
  void arm_wake(Op op, int fd, bool& armed);
  void cancel(UringPort& port, Op op);
  void reap();
  void absorb(const io_uring_cqe& completion);
  void absorb_receive(UringPort& port, const io_uring_cqe& completion);
  void absorb_readable(UringPort& port, const io_uring_cqe& completion);
  void activate(UringPort& port);
  void disarm(UringPort& port);
  void service(UringPort& port);
  void service_udp(UringPort& port);
  void read_tun(UringPort& port);
  void read_raw(UringPort& port);
  void read_on(UringPort& port, bool has_no_slabs);

  UringFeatures features_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<BufferGroup> udp_buffers_;
  msghdr receive_layout_{};  // sizes of name and control data in a receive's buffer
  bool wake_armed_ = false, timer_armed_ = false;
  std::vector<int> free_files_;       // registered file slots
  std::vector<UringPort*> active_;    // ports with something for the handler
  std::vector<UringPort*> serving_;   // those of this turn
  std::vector<UringPort*> starved_;   // polled ports that wait for a free slab
  std::vector<UringPort*> disarmed_;  // ports whose receive is to be given to the kernel
  TunReader tun_reader_;
  SocketReader raw_reader_;
  std::vector<TunRead> reads_;
  std::vector<UdpReceived> udp_received_;
  std::vector<RawReceived> raw_received_;
};

}  // namespace hats::transport
