// The packet loop without a protocol: each backend echoes UDP and raw packets on loopback and swallows TUN
// packets, in a network namespace of its own, in interleaved rounds. Beside them stands, for raw packets, the
// plainest program that does the same: poll, recvmmsg, sendmmsg. Prints packets a second and, less disturbed
// by other work on the machine, the CPU time of the loop's thread for each packet.
//
//   loop_bench [ROUNDS [SECONDS_A_ROUND [SCENARIO]]]     SCENARIO: a part of its name
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "transport/loop.hpp"
#include "transport/raw_socket.hpp"
#include "transport/udp_socket.hpp"

namespace hats::transport {
namespace {

struct Backend {
  const char* name;
  IoChoice io;
  bool basic;
  bool plain;  // no loop at all
};
constexpr std::array<Backend, 4> kBackends{Backend{"epoll", IoChoice::epoll, false, false},
                                           Backend{"io_uring", IoChoice::uring, false, false},
                                           Backend{"io_uring basic", IoChoice::uring, true, false},
                                           Backend{"plain poll", IoChoice::epoll, false, true}};
// Raw packets go out with the one protocol number and come back with the other.
constexpr uint8_t kThere = 47, kBack = 253;
constexpr uint32_t kIpHeader = 20;

enum class Kind : uint8_t { udp, tun, raw };

struct Scenario {
  const char* name;
  Kind kind;
  uint32_t size;       // bytes of a datagram
  uint32_t run;        // datagrams of one UDP_SEGMENT send; 0: none
  uint32_t in_flight;  // sends without an answer, at the most
};
constexpr std::array<Scenario, 8> kScenarios{
    Scenario{"UDP echo, 128 B, 1 in flight", Kind::udp, 128, 0, 1},
    Scenario{"UDP echo, 128 B, 256 in flight", Kind::udp, 128, 0, 256},
    Scenario{"UDP echo, 1,452 B, 128 in flight", Kind::udp, 1'452, 0, 128},
    Scenario{"UDP echo, runs of 44 x 1,452 B", Kind::udp, 1'452, 44, 8},
    Scenario{"TUN read, 100 B", Kind::tun, 72, 0, 0},
    Scenario{"TUN read, 1,400 B", Kind::tun, 1'372, 0, 0},
    Scenario{"raw echo, 128 B, 256 in flight", Kind::raw, 128, 0, 256},
    Scenario{"raw echo, 1,452 B, 128 in flight", Kind::raw, 1'452, 0, 128}};

struct Result {
  double packets_a_second = 0, cpu_ns_a_packet = 0, packets_a_wakeup = 0;
};

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

constexpr Tag kPort = 1, kRawSender = 2;

// Echoes what comes by UDP and by the raw receiver, counts what comes by TUN.
class Echo final : public Handler {
 public:
  Echo(Loop& loop, std::atomic<uint64_t>& packets) : loop_(loop), packets_(packets) {}

 private:
  void on_tun(Tag, std::span<TunRead> reads, Now) override { packets_ += reads.size(); }
  void on_udp(Tag tag, std::span<UdpReceived> received, Now) override {
    uint64_t count = 0;
    for (UdpReceived& one : received) {
      count += one.segment_size ? (one.size + one.segment_size - 1) / one.segment_size : 1;
      loop_.send(tag, {.slab = std::move(one.slab),
                       .data = one.data,
                       .size = one.size,
                       .segment_size = one.segment_size,
                       .to = one.from,
                       .from = one.to,
                       .ds = 0,
                       .cookie = 0});
    }
    packets_ += count;
  }
  void on_raw(Tag, std::span<RawReceived> received, Now) override {
    for (RawReceived& one : received) {
      RawSend send{};
      send.slab = std::move(one.slab);
      send.data = one.data + kIpHeader;
      send.size = one.size - kIpHeader;
      send.to = one.from;
      send.from.address = one.to.address;
      loop_.send_raw(kRawSender, std::move(send));
    }
    packets_ += received.size();
  }
  void on_send_failed(Tag, UdpSend&, int, Now) override {}
  void on_write_failed(Tag, int, Now) override {}
  void on_tun_closed(Tag, int, Now) override {}
  void on_wake(Now) override {}
  std::optional<BootTime> next_deadline() override { return std::nullopt; }
  bool has_backlog() override { return false; }

  Loop& loop_;
  std::atomic<uint64_t>& packets_;
};

bool run_command(const std::string& command) {
  return std::system(command.c_str()) == 0;
}

UniqueFd open_tun() {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ifreq request{};
  std::strcpy(request.ifr_name, "hu-bench");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (!fd || ioctl(fd.get(), TUNSETIFF, &request) != 0) return {};
  const bool up = run_command("ip link set hu-bench addrgenmode none") &&
                  run_command("ip addr add 10.99.0.1/24 dev hu-bench") &&
                  run_command("ip link set hu-bench mtu 1420 txqueuelen 1000 up");
  return up ? std::move(fd) : UniqueFd{};
}

// The load: keeps `in_flight` sends unanswered (UDP), or sends as fast as it can (TUN).
void generate(const Scenario& scenario, sockaddr_in to, const std::atomic<bool>& stop) {
  constexpr uint32_t kMost = 64;
  const bool raw = scenario.kind == Kind::raw;
  const UniqueFd fd(raw ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, kThere)
                        : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  // A raw socket hears its own protocol: answers come by another one.
  const UniqueFd back(raw ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, kBack) : dup(fd.get()));
  if (!back) return;
  if (raw && set_remotes_filter(fd.get(), Family::v4, {}) != 0) return;
  const int buffer = 8 << 20;
  setsockopt(back.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  const timeval patience{0, 20'000};  // lost answers are forgotten after that
  setsockopt(back.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return;
  const int segment = static_cast<int>(scenario.size);
  if (scenario.run) setsockopt(fd.get(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);

  std::vector<uint8_t> bytes(size_t{scenario.size} * std::max(scenario.run, 1U), 0x45);
  std::vector<uint8_t> sink(65'536);
  std::array<iovec, kMost> parts;
  std::array<mmsghdr, kMost> out{}, in{};
  iovec sink_part{sink.data(), sink.size()};
  for (uint32_t i = 0; i < kMost; ++i) {
    parts[i] = {bytes.data(), bytes.size()};
    out[i].msg_hdr.msg_iov = &parts[i];
    out[i].msg_hdr.msg_iovlen = 1;
    in[i].msg_hdr.msg_iov = &sink_part;
    in[i].msg_hdr.msg_iovlen = 1;
  }
  const uint32_t answers = std::max(scenario.run, 1U);  // of one send
  int64_t outstanding = 0;
  while (!stop) {
    if (scenario.kind == Kind::tun) {
      sendmmsg(fd.get(), out.data(), kMost, 0);
      continue;
    }
    const auto room = static_cast<int64_t>(scenario.in_flight) - outstanding / answers;
    if (room > 0) {
      const int sent =
          sendmmsg(fd.get(), out.data(), static_cast<unsigned>(std::min<int64_t>(room, kMost)), 0);
      if (sent > 0) outstanding += int64_t{sent} * answers;
    }
    const int got = recvmmsg(back.get(), in.data(), kMost, MSG_WAITFORONE, nullptr);
    outstanding = got > 0 ? std::max<int64_t>(outstanding - got, 0) : 0;
  }
}

struct Sockets {
  UdpSockets udp;
  UniqueFd tun, raw_receiver, raw_sender;
  sockaddr_in to{};  // for the load
};

bool open_sockets(Kind kind, Sockets& out) {
  out.to.sin_family = AF_INET;
  out.to.sin_addr.s_addr = htonl(kind == Kind::tun ? 0x0a63'0002 : INADDR_LOOPBACK);
  out.to.sin_port = htons(kind == Kind::tun ? 9 : 0);
  if (kind == Kind::tun) {
    out.tun = open_tun();
    return static_cast<bool>(out.tun);
  }
  if (kind == Kind::raw) {
    auto receiver = open_raw_receiver(Family::v4, kThere);
    auto sender = open_raw_sender(Family::v4, kBack, RawMode::dont_fragment);
    if (!receiver || !sender) return false;
    out.raw_receiver = std::move(*receiver);
    out.raw_sender = std::move(*sender);
    return true;
  }
  auto made = open_udp(0, 0);
  if (!made) return false;
  out.udp = std::move(*made);
  out.to.sin_port = htons(out.udp.port);
  return true;
}

// What a thread of the bench does, and what it has done.
struct Work {
  std::atomic<uint64_t> packets = 0, wakeups = 0;
  std::atomic<double> cpu = 0;
};

// Until `stop`: packets from the raw receiver go back by the sender, 64 at the most in a call.
void echo_plainly(const Sockets& sockets, const std::atomic<bool>& stop, Work& work) {
  constexpr uint32_t kMost = 64, kSize = 2'048;
  std::vector<std::array<uint8_t, kSize>> buffers(kMost);
  std::array<iovec, kMost> parts;
  std::array<sockaddr_in, kMost> names;
  std::array<mmsghdr, kMost> messages;
  while (!stop) {
    pollfd wait{sockets.raw_receiver.get(), POLLIN, 0};
    if (poll(&wait, 1, 20) != 1) continue;
    ++work.wakeups;
    for (int turn = 0; turn < 16; ++turn) {
      for (uint32_t i = 0; i < kMost; ++i) {
        parts[i] = {buffers[i].data(), kSize};
        messages[i] = {};
        messages[i].msg_hdr.msg_name = &names[i];
        messages[i].msg_hdr.msg_namelen = sizeof names[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
      }
      const int got = recvmmsg(sockets.raw_receiver.get(), messages.data(), kMost, MSG_DONTWAIT, nullptr);
      if (got <= 0) break;
      for (uint32_t i = 0; i < static_cast<uint32_t>(got); ++i) {
        parts[i] = {buffers[i].data() + kIpHeader, messages[i].msg_len - kIpHeader};
      }
      sendmmsg(sockets.raw_sender.get(), messages.data(), static_cast<unsigned>(got), MSG_DONTWAIT);
      work.packets += static_cast<uint64_t>(got);
    }
  }
  work.cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

std::optional<Result> measure(const Backend& backend, const Scenario& scenario, double duration) {
  if (backend.plain && scenario.kind != Kind::raw) return std::nullopt;
  LoopOptions options;
  options.io = backend.io;
  options.uring_basic = backend.basic;
  auto loop = Loop::make(options);
  Sockets sockets;
  if (!loop || !open_sockets(scenario.kind, sockets)) return std::nullopt;
  if (scenario.kind == Kind::tun) (*loop)->add_tun(kPort, sockets.tun.get());
  if (scenario.kind == Kind::udp) (*loop)->add_udp(kPort, sockets.udp.v4.get());
  if (scenario.kind == Kind::raw) {
    (*loop)->add_raw(kPort, sockets.raw_receiver.get());
    (*loop)->add_raw(kRawSender, sockets.raw_sender.get());
  }
  Work work;
  Echo echo(**loop, work.packets);
  std::atomic<bool> stop = false, stop_worker = false;
  std::thread worker([&] {
    if (backend.plain) return echo_plainly(sockets, stop_worker, work);
    (*loop)->run(echo);
    work.cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    work.wakeups = (*loop)->counters().wakeups;
  });
  const double start = seconds_of(CLOCK_MONOTONIC);
  std::thread load([&] { generate(scenario, sockets.to, stop); });
  const auto ns = static_cast<int64_t>(duration * 1e9);
  const timespec wait{ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&wait, nullptr);
  const double took = seconds_of(CLOCK_MONOTONIC) - start;
  const auto packets = static_cast<double>(work.packets.load());
  stop = true;
  load.join();
  stop_worker = true;
  (*loop)->stop();
  worker.join();
  const auto all = std::max(static_cast<double>(work.packets.load()), 1.0);
  return Result{packets / took, work.cpu * 1e9 / all,
                all / std::max(static_cast<double>(work.wakeups.load()), 1.0)};
}

double median(const std::vector<Result>& results, double Result::* member) {
  std::vector<double> values;
  values.reserve(results.size());
  for (const Result& one : results) values.push_back(one.*member);
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int run(int rounds, double duration, const char* only) {
  if (unshare(CLONE_NEWNET) != 0 || !run_command("ip link set lo up")) {
    std::fprintf(stderr, "no network namespace: this needs root\n");
    return 1;
  }
  std::printf("%-34s %-15s %11s %11s %11s %7s %7s\n", "", "backend", "packets/s", "CPU ns/pkt", "pkt/wake-up",
              "rate", "CPU");
  for (const Scenario& scenario : kScenarios) {
    if (std::strstr(scenario.name, only) == nullptr) continue;
    std::array<std::vector<Result>, kBackends.size()> results;
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < kBackends.size(); ++i) {
        const size_t which = (i + static_cast<size_t>(round)) % kBackends.size();
        const auto result = measure(kBackends[which], scenario, duration);
        if (result) results[which].push_back(*result);
      }
    }
    Result base;
    for (size_t i = 0; i < kBackends.size(); ++i) {
      if (results[i].empty()) continue;
      const Result mid{median(results[i], &Result::packets_a_second),
                       median(results[i], &Result::cpu_ns_a_packet),
                       median(results[i], &Result::packets_a_wakeup)};
      if (i == 0) base = mid;
      std::printf("%-34s %-15s %11.0f %11.0f %11.1f %6.2fx %6.2fx\n", scenario.name, kBackends[i].name,
                  mid.packets_a_second, mid.cpu_ns_a_packet, mid.packets_a_wakeup,
                  mid.packets_a_second / base.packets_a_second, mid.cpu_ns_a_packet / base.cpu_ns_a_packet);
    }
  }
  return 0;
}

}  // namespace
}  // namespace hats::transport

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 5;
  const double duration = count > 2 ? std::atof(arguments[2]) : 1.0;
  return hats::transport::run(rounds, duration, count > 3 ? arguments[3] : "");
}
