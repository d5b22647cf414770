// What the loop's tests share: a network namespace of their own, a handler made of functions with a watchdog,
// plain sockets as the other side, and real TUN devices.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "transport/loop.hpp"
#include "transport/udp_socket.hpp"

namespace hats::transport::test {

/// True if the program runs in a network namespace of its own, with lo up.
bool has_namespace();

/// Runs an `ip` command line; true if it succeeded.
bool ip(const std::string& arguments);

/// Gives lo an IPv6 address and waits until it can be sent to: the kernel adds the route a moment later.
bool add_loopback_v6(const std::string& text);

/// The backends every test is run with. `basic` is io_uring without what came after Linux 6.1.
enum class Backend : uint8_t { epoll, uring, uring_basic };
std::string backend_name(const ::testing::TestParamInfo<Backend>& info);

/// A handler made of functions. run() ends when done() says so, at the latest after ten seconds, which is a
/// failure.
class Recorder final : public Handler {
 public:
  explicit Recorder(Loop& loop) : loop_(loop) {}

  std::function<void(Tag, std::span<TunRead>)> tun = [](const auto&...) {};
  std::function<void(Tag, std::span<UdpReceived>)> udp = [](const auto&...) {};
  std::function<void(Tag, std::span<RawReceived>)> raw = [](const auto&...) {};
  std::function<void(Tag, const RawSend&, int)> raw_send_failed = [](const auto&...) {};
  std::function<void(Tag, UdpSend&, int)> send_failed = [](auto&&...) {};
  std::function<void(Tag, int)> write_failed = [](const auto&...) {};
  std::function<void(Tag, int)> tun_closed = [](const auto&...) {};
  std::function<void(Now)> wake = [](const auto&...) {};
  std::function<std::optional<BootTime>()> deadline = [] { return std::nullopt; };
  std::function<bool()> backlog = [] { return false; };
  std::function<bool()> done = [] { return false; };

  void run();
  [[nodiscard]] Now now() const { return now_; }

 private:
  void on_tun(Tag tag, std::span<TunRead> reads, Now now) override;
  void on_udp(Tag tag, std::span<UdpReceived> received, Now now) override;
  void on_raw(Tag tag, std::span<RawReceived> received, Now now) override;
  void on_raw_send_failed(Tag tag, const RawSend& send, int error, Now now) override;
  void on_send_failed(Tag tag, UdpSend& send, int error, Now now) override;
  void on_write_failed(Tag tag, int error, Now now) override;
  void on_tun_closed(Tag tag, int error, Now now) override;
  void on_wake(Now now) override;
  std::optional<BootTime> next_deadline() override;
  bool has_backlog() override;

  Loop& loop_;
  Now now_;
  BootTime watchdog_;
};

class LoopTest : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override;
  void TearDown() override;
  /// A loop of the backend under test, or nullptr and the test is skipped.
  std::unique_ptr<Loop> make(uint32_t slabs = 192);

  std::unique_ptr<Loop> loop;
};

#define HATS_ALL_BACKENDS(Suite) \
  INSTANTIATE_TEST_SUITE_P(      \
      Io, Suite, ::testing::Values(Backend::epoll, Backend::uring, Backend::uring_basic), backend_name)

/// Delays what leaves by lo, so that its bytes stay charged to the socket. False where there is no shaper.
bool slow_loopback();
void fast_loopback();

BootTime boot_now();
Endpoint loopback(Family family, uint16_t port);
IpAddress address(const char* text);

/// A plain UDP socket, the other side of a test. Bound to `port` of the wildcard address.
class PlainSocket {
 public:
  explicit PlainSocket(Family family, uint16_t port = 0);
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint16_t port() const;
  bool send(const std::vector<uint8_t>& bytes, const Endpoint& to) const;
  /// The next datagram, or nothing if there is none within `wait_ms`.
  [[nodiscard]] std::optional<std::vector<uint8_t>> receive(int wait_ms = 1000) const;
  /// The number at the front of the next datagram, or kNoNumber.
  [[nodiscard]] uint32_t receive_number(int wait_ms = 1000) const;
  static constexpr uint32_t kNoNumber = 0xffff'ffff;

 private:
  UniqueFd fd_;
};

/// `size` bytes, the first four of which are `number`.
std::vector<uint8_t> numbered(uint32_t number, size_t size);
uint32_t number_of(const uint8_t* bytes);

/// A TUN device without virtio headers, up, with the address 10.99.0.1/24; empty where there is none.
UniqueFd open_tun(const std::string& name);
/// An IPv4 UDP packet from 10.99.0.2 to 10.99.0.1, correct enough for the stack to deliver it.
std::vector<uint8_t> udp_packet(uint16_t from_port, uint16_t to_port, const std::vector<uint8_t>& payload);

}  // namespace hats::transport::test
