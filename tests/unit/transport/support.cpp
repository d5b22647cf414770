#include "support.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace hats::transport::test {

bool has_namespace() {
  static const bool made = unshare(CLONE_NEWNET) == 0 && ip("link set lo up");
  return made;
}

bool ip(const std::string& arguments) {
  return std::system(("ip " + arguments + " 2>/dev/null").c_str()) == 0;
}

bool add_loopback_v6(const std::string& text) {
  const std::string route = "ip -6 route show table local " + text + " | grep -q " + text;
  return ip("-6 addr replace " + text + "/128 dev lo nodad") &&
         std::system(("for i in $(seq 100); do " + route + " && exit 0; sleep 0.05; done; exit 1").c_str()) ==
             0;
}

bool slow_loopback() {
  return std::system("tc qdisc replace dev lo root netem delay 5ms 2>/dev/null") == 0 ||
         std::system("tc qdisc replace dev lo root tbf rate 20mbit burst 4kb limit 2mb 2>/dev/null") == 0;
}

// Changed, not deleted: a qdisc that goes takes what it holds along.
void fast_loopback() {
  std::ignore = std::system(
      "tc qdisc change dev lo root netem delay 0ms 2>/dev/null || "
      "tc qdisc change dev lo root tbf rate 10gbit burst 1mb limit 20mb 2>/dev/null");
}

std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  switch (info.param) {
    case Backend::epoll:
      return "epoll";
    case Backend::uring:
      return "uring";
    default:
      return "uring_basic";
  }
}

BootTime boot_now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

void Recorder::run() {
  watchdog_ = boot_now() + seconds(10);
  loop_.post([] {});  // one wake-up, so that done() is asked after what was sent before
  loop_.run(*this);
  EXPECT_LT(boot_now(), watchdog_) << "the test's condition was not met in time";
}

void Recorder::on_tun(Tag tag, std::span<TunRead> reads, Now now) {
  now_ = now;
  tun(tag, reads);
}
void Recorder::on_udp(Tag tag, std::span<UdpReceived> received, Now now) {
  now_ = now;
  udp(tag, received);
}
void Recorder::on_raw(Tag tag, std::span<RawReceived> received, Now now) {
  now_ = now;
  raw(tag, received);
}
void Recorder::on_raw_send_failed(Tag tag, const RawSend& send, int error, Now) {
  raw_send_failed(tag, send, error);
}
void Recorder::on_send_failed(Tag tag, UdpSend& send, int error, Now) {
  send_failed(tag, send, error);
}
void Recorder::on_write_failed(Tag tag, int error, Now) {
  write_failed(tag, error);
}
void Recorder::on_tun_closed(Tag tag, int error, Now) {
  tun_closed(tag, error);
}
void Recorder::on_wake(Now now) {
  now_ = now;
  wake(now);
  if (done() || now.boot >= watchdog_) loop_.stop();
}
std::optional<BootTime> Recorder::next_deadline() {
  const auto wanted = deadline();
  return wanted && *wanted < watchdog_ ? *wanted : watchdog_;
}
bool Recorder::has_backlog() {
  return backlog();
}

void LoopTest::SetUp() {
  if (!has_namespace()) GTEST_SKIP() << "no network namespace: this needs CAP_SYS_ADMIN and ip(8)";
  loop = make();
  if (!loop) GTEST_SKIP() << "this host refuses io_uring";
}

void LoopTest::TearDown() {
  // The rule of every test: what was lent has come back.
  if (loop) {
    EXPECT_EQ(loop->arena().free_count(), loop->arena().size());
  }
}

std::unique_ptr<Loop> LoopTest::make(uint32_t slabs) {
  LoopOptions options;
  options.slabs = slabs;
  options.io = GetParam() == Backend::epoll ? IoChoice::epoll : IoChoice::uring;
  options.uring_basic = GetParam() == Backend::uring_basic;
  auto made = Loop::make(options);
  return made ? std::move(*made) : nullptr;
}

IpAddress address(const char* text) {
  return *IpAddress::parse(text);
}

Endpoint loopback(Family family, uint16_t port) {
  return {address(family == Family::v4 ? "127.0.0.1" : "::1"), port, 0};
}

namespace {

socklen_t fill(sockaddr_in6& out, const Endpoint& endpoint) {
  out = {};
  if (endpoint.address.family == Family::v4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address.bytes.data(), 4);
    std::memcpy(&out, &v4, sizeof v4);
    return sizeof v4;
  }
  out.sin6_family = AF_INET6;
  out.sin6_port = htons(endpoint.port);
  out.sin6_scope_id = endpoint.scope_id;
  std::memcpy(&out.sin6_addr, endpoint.address.bytes.data(), 16);
  return sizeof out;
}

}  // namespace

PlainSocket::PlainSocket(Family family, uint16_t port)
    : fd_(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const int size = 4 << 20;
  setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  const int only = 1;
  if (family == Family::v6) setsockopt(fd(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  sockaddr_in6 name{};
  Endpoint any = loopback(family, port);
  any.address.bytes = {};
  const socklen_t length = fill(name, any);
  EXPECT_EQ(bind(fd(), reinterpret_cast<sockaddr*>(&name), length), 0) << std::strerror(errno);
}

uint16_t PlainSocket::port() const {
  sockaddr_in6 name{};
  socklen_t size = sizeof name;
  getsockname(fd(), reinterpret_cast<sockaddr*>(&name), &size);
  return ntohs(name.sin6_port);  // at the same place in both families
}

bool PlainSocket::send(const std::vector<uint8_t>& bytes, const Endpoint& to) const {
  sockaddr_in6 name{};
  const socklen_t length = fill(name, to);
  return sendto(fd(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&name), length) >= 0;
}

std::optional<std::vector<uint8_t>> PlainSocket::receive(int wait_ms) const {
  pollfd wait{fd(), POLLIN, 0};
  if (poll(&wait, 1, wait_ms) != 1) return std::nullopt;
  std::vector<uint8_t> out(70'000);
  const ssize_t size = recv(fd(), out.data(), out.size(), MSG_DONTWAIT);
  if (size < 0) return std::nullopt;
  out.resize(static_cast<size_t>(size));
  return out;
}

uint32_t PlainSocket::receive_number(int wait_ms) const {
  const auto got = receive(wait_ms);
  return got && got->size() >= 4 ? number_of(got->data()) : kNoNumber;
}

std::vector<uint8_t> numbered(uint32_t number, size_t size) {
  std::vector<uint8_t> out(size);
  for (size_t i = 4; i < size; ++i) out[i] = static_cast<uint8_t>(number + i);
  store_le32(out.data(), number);
  return out;
}

uint32_t number_of(const uint8_t* bytes) {
  return load_le32(bytes);
}

UniqueFd open_tun(const std::string& name) {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return {};
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return {};
  // Without these two the kernel would send router solicitations of its own into the device.
  ip("link set dev " + name + " addrgenmode none");
  ip("addr add 10.99.0.1/24 dev " + name);
  if (!ip("link set dev " + name + " mtu 1420 txqueuelen 5000 up")) return {};
  return fd;
}

namespace {

uint16_t checksum(const uint8_t* bytes, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) sum += load_be16(bytes + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

std::vector<uint8_t> udp_packet(uint16_t from_port, uint16_t to_port, const std::vector<uint8_t>& payload) {
  std::vector<uint8_t> out(28 + payload.size());
  out[0] = 0x45;
  store_be16(&out[2], static_cast<uint16_t>(out.size()));
  out[8] = 64;
  out[9] = 17;
  std::memcpy(&out[12], address("10.99.0.2").bytes.data(), 4);
  std::memcpy(&out[16], address("10.99.0.1").bytes.data(), 4);
  store_be16(&out[10], checksum(out.data(), 20));
  store_be16(&out[20], from_port);
  store_be16(&out[22], to_port);
  store_be16(&out[24], static_cast<uint16_t>(8 + payload.size()));  // checksum 0: none (RFC 768)
  std::memcpy(&out[28], payload.data(), payload.size());
  return out;
}

}  // namespace hats::transport::test
