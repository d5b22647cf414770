// The loop for hosts that forbid io_uring: epoll, recvmmsg, read(2). Needs nothing newer than Linux 3.10.
#pragma once

#include <sys/epoll.h>

#include "transport/loop_base.hpp"
#include "transport/tun_reader.hpp"

namespace hats::transport {

class EpollLoop final : public LoopBase {
 public:
  EpollLoop(std::unique_ptr<Arena> arena, LoopFds fds, UniqueFd epoll_fd);
  ~EpollLoop() override;
  [[nodiscard]] std::string_view name() const override { return "epoll"; }

 private:
  struct EpollPort;

  std::unique_ptr<Port> make_port() override;
  void start(Port& port) override;
  void finish(Port& port) override;
  void begin() override;
  void turn(bool poll) override;
  void watch_writable(Port& port) override;
  void end() override;

  void watch(EpollPort& port, uint32_t events);
  void read_tun(EpollPort& port, bool dead);
  template <typename Received>
  void receive(EpollPort& port, std::vector<Received>& received);
  void starve(EpollPort& port);
  void feed_starved();

  UniqueFd epoll_fd_;
  TunReader tun_reader_;
  SocketReader socket_reader_;
  std::vector<TunRead> reads_;
  std::vector<UdpReceived> udp_received_;
  std::vector<RawReceived> raw_received_;
  std::vector<EpollPort*> starved_;
};

/// Makes the backend. Error: errno.
std::expected<std::unique_ptr<LoopBase>, int> make_epoll_loop(std::unique_ptr<Arena> arena);

}  // namespace hats::transport
