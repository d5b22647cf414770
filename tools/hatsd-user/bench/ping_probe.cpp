#include "tools/hatsd-user/bench/ping_probe.hpp"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/packet/checksum.hpp"
#include "tools/hatsd-user/bench/clock.hpp"
#include "transport/message.hpp"

namespace hats::app::bench {

namespace {

constexpr double kWaitForLast = 1;  // seconds
constexpr size_t kEchoSize = 8 + 56;

class Pinger {
 public:
  Pinger(transport::UniqueFd fd, bool v4, unsigned count)
      : fd_(std::move(fd)), v4_(v4), id_(static_cast<uint16_t>(getpid())), sent_at_(count) {}

  void send(unsigned number) {
    std::array<uint8_t, kEchoSize> echo{};
    echo[0] = v4_ ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
    store_be16(&echo[4], id_);
    store_be16(&echo[6], static_cast<uint16_t>(number));
    // ICMPv6's checksum is the kernel's to fill in.
    if (v4_) store_be16(&echo[2], packet::finish(packet::sum_of(echo)));
    sent_at_[number] = seconds_now(CLOCK_REALTIME);
    (void)::send(fd_.get(), echo.data(), echo.size(), MSG_DONTWAIT);
  }

  /// Takes answers until `until`, or until `count` have come.
  void collect(double until, size_t count) {
    for (;;) {
      while (take()) {
      }
      const double left = until - seconds_now();
      if (left <= 0 || trips_.size() >= count) return;
      pollfd wait{fd_.get(), POLLIN, 0};
      const timespec time{static_cast<time_t>(left),
                          static_cast<long>((left - static_cast<double>(static_cast<time_t>(left))) * 1e9)};
      if (ppoll(&wait, 1, &time, nullptr) < 0 && errno != EINTR) return;
    }
  }

  [[nodiscard]] std::vector<double> trips() && { return std::move(trips_); }

 private:
  bool take() {
    std::array<uint8_t, 256> data;
    std::array<uint8_t, 256> control;
    iovec part{data.data(), data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
    if (size < 0) return false;
    const size_t header = v4_ ? size_t{data[0] & 15U} * 4 : 0;  // IPv4's comes along
    if (static_cast<size_t>(size) < header + 8) return true;
    const uint8_t* echo = &data[header];
    const uint16_t number = load_be16(echo + 6);
    const bool ours = echo[0] == (v4_ ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) && load_be16(echo + 4) == id_;
    if (!ours || number >= sent_at_.size() || sent_at_[number] == 0) return true;
    transport::for_each_control(message, [&](const cmsghdr& part_of) {
      timespec at{};
      if (part_of.cmsg_type == SCM_TIMESTAMPNS && transport::read_control(part_of, at)) {
        const double arrived = static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
        trips_.push_back((arrived - sent_at_[number]) * 1e6);
      }
    });
    return true;
  }

  transport::UniqueFd fd_;
  bool v4_;
  uint16_t id_;
  std::vector<double> sent_at_;  // seconds of CLOCK_REALTIME, which the kernel's stamps are in
  std::vector<double> trips_;
};

}  // namespace

AppResult<RoundTrips> measure_round_trips(const NetworkSpace& from, const IpAddress& to, unsigned count,
                                          double interval_s) {
  const bool v4 = to.family == Family::v4;
  transport::UniqueFd fd;
  {
    const StayInSpace stay(from);
    if (!stay.entered()) return fail(errno_text("cannot enter a network namespace", errno));
    const int protocol = v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    fd = transport::UniqueFd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, protocol));
  }
  if (!fd) return fail(errno_text("ICMP socket", errno));
  sockaddr_in6 name{};
  const socklen_t size = transport::fill_name({.address = to}, name);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0 ||
      transport::set_int(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1) != 0) {
    return fail(errno_text(to.text(), errno));
  }
  Pinger pinger(std::move(fd), v4, count);
  const double begin = seconds_now();
  for (unsigned i = 0; i < count; ++i) {
    pinger.send(i);
    pinger.collect(begin + (i + 1) * interval_s, i + 2);  // never satisfied before the interval is over
  }
  pinger.collect(seconds_now() + kWaitForLast, count);
  return RoundTrips{.microseconds = std::move(pinger).trips(), .sent = count};
}

}  // namespace hats::app::bench
