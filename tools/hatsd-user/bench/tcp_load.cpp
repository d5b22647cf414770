#include "tools/hatsd-user/bench/tcp_load.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "tools/hatsd-user/bench/clock.hpp"
#include "transport/message.hpp"

namespace hats::app::bench {

namespace {

constexpr size_t kBlock = 128 << 10;  // bytes of a call
constexpr int kPatience = 5;          // seconds without any progress after which either end gives up

transport::UniqueFd tcp_socket(Family family, const NetworkSpace& space) {
  const StayInSpace stay(space);
  if (!stay.entered()) return {};
  transport::UniqueFd fd(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval wait{.tv_sec = kPatience, .tv_usec = 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  return fd;
}

TcpResult read_to_the_end(int listener) {
  TcpResult out;
  const transport::UniqueFd stream(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!stream) return out;
  std::vector<uint8_t> block(kBlock);
  double begin = 0;
  for (;;) {
    const ssize_t size = read(stream.get(), block.data(), block.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return out;
    const double now = seconds_now();
    if (begin == 0) begin = now;
    out.bytes += static_cast<double>(size);
    out.seconds = now - begin;
  }
}

int write_for(int stream, double seconds) {
  const std::vector<uint8_t> block(kBlock);
  const double end = seconds_now() + seconds;
  while (seconds_now() < end) {
    if (::send(stream, block.data(), block.size(), MSG_NOSIGNAL) < 0 && errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

AppResult<TcpResult> run_tcp(const NetworkSpace& from, const NetworkSpace& to, const Endpoint& at,
                             double seconds) {
  const transport::UniqueFd listener = tcp_socket(at.address.family, to);
  transport::UniqueFd stream = tcp_socket(at.address.family, from);
  if (!listener || !stream) return fail(errno_text("TCP socket", errno));
  sockaddr_in6 name{};
  const socklen_t size = transport::fill_name(at, name);
  (void)transport::set_int(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&name), size) != 0 || listen(listener.get(), 1) != 0) {
    return fail(errno_text(at.text(), errno));
  }
  TcpResult out;
  std::thread reader([&] { out = read_to_the_end(listener.get()); });
  int error = connect(stream.get(), reinterpret_cast<sockaddr*>(&name), size) == 0 ? 0 : errno;
  if (error == 0) error = write_for(stream.get(), seconds);
  stream.reset();
  reader.join();
  if (error != 0) return fail(errno_text("TCP to " + at.text(), error));
  if (out.seconds <= 0) return fail("TCP to " + at.text() + ": nothing arrived");
  return out;
}

}  // namespace hats::app::bench
