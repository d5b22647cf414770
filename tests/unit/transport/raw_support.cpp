#include "raw_loop.hpp"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

namespace hats::transport::test {

std::vector<uint8_t> ip_packet(const char* from, const char* to, uint8_t protocol,
                               const std::vector<uint8_t>& payload) {
  const IpAddress source = address(from), destination = address(to);
  const bool v4 = source.family == Family::v4;
  std::vector<uint8_t> out(v4 ? 20 : 40);
  if (v4) {
    out[0] = 0x45;
    store_be16(&out[2], static_cast<uint16_t>(20 + payload.size()));
    out[8] = 64;
    out[9] = protocol;
    std::memcpy(&out[12], source.bytes.data(), 4);
    std::memcpy(&out[16], destination.bytes.data(), 4);
  } else {
    out[0] = 0x60;
    store_be16(&out[4], static_cast<uint16_t>(payload.size()));
    out[6] = protocol;
    out[7] = 64;
    std::memcpy(&out[8], source.bytes.data(), 16);
    std::memcpy(&out[24], destination.bytes.data(), 16);
  }
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

Injector::Injector(Family family)
    : fd_(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)),
      family_(family) {
  EXPECT_TRUE(fd_) << std::strerror(errno);
}

bool Injector::send(const std::vector<uint8_t>& packet) const {
  sockaddr_in6 name{};
  socklen_t size = sizeof name;
  if (family_ == Family::v4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, &packet[16], 4);
    std::memcpy(&name, &v4, sizeof v4);
    size = sizeof v4;
  } else {
    name.sin6_family = AF_INET6;
    std::memcpy(&name.sin6_addr, &packet[24], 16);
  }
  return sendto(fd_.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&name), size) >= 0;
}

Capture::Capture(const char* interface) : fd_(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const int size = 4 << 20;
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  sockaddr_ll name{};
  name.sll_family = AF_PACKET;
  name.sll_protocol = htons(ETH_P_ALL);
  name.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0) << std::strerror(errno);
}

std::optional<std::vector<uint8_t>> Capture::next(Family family, uint8_t protocol, int wait_ms) const {
  for (pollfd wait{fd_.get(), POLLIN, 0}; poll(&wait, 1, wait_ms) == 1;) {
    std::vector<uint8_t> out(70'000);
    sockaddr_ll from{};
    socklen_t from_size = sizeof from;
    const ssize_t size = recvfrom(fd_.get(), out.data(), out.size(), MSG_DONTWAIT,
                                  reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size < 40 && !(size >= 20 && family == Family::v4)) continue;
    out.resize(static_cast<size_t>(size));
    const bool v4 = from.sll_protocol == htons(ETH_P_IP);
    const bool v6 = from.sll_protocol == htons(ETH_P_IPV6);
    if (from.sll_pkttype != PACKET_OUTGOING || (family == Family::v4 ? !v4 : !v6)) continue;
    if ((v4 ? out[9] : out[6]) == protocol) return out;
  }
  return std::nullopt;
}

IcmpWatch::IcmpWatch(Family family)
    : fd_(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
                 family == Family::v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6})),
      family_(family) {
  EXPECT_TRUE(fd_) << std::strerror(errno);
}

IcmpWatch::Message IcmpWatch::next_error(int wait_ms) const {
  while (const auto got = receive_raw(fd_.get(), wait_ms)) {
    const size_t start = family_ == Family::v4 ? 20 : 0;
    if (got->size() < start + 2) continue;
    const Message message{(*got)[start], (*got)[start + 1]};
    const bool error = family_ == Family::v4 ? message.type == 3 || message.type == 12
                                             : message.type == 1 || message.type == 4;
    if (error) return message;
  }
  return {};
}

std::optional<std::vector<uint8_t>> receive_raw(int fd, int wait_ms) {
  pollfd wait{fd, POLLIN, 0};
  if (poll(&wait, 1, wait_ms) != 1) return std::nullopt;
  std::vector<uint8_t> out(70'000);
  const ssize_t size = recv(fd, out.data(), out.size(), MSG_DONTWAIT);
  if (size < 0) return std::nullopt;
  out.resize(static_cast<size_t>(size));
  return out;
}

void LoopRawTest::add(Family family, RawMode mode) {
  LoopTest::TearDown();
  loop = make();
  ASSERT_TRUE(loop);
  auto made_receiver = open_raw_receiver(family, kGre);
  auto made_sender = open_raw_sender(family, kGre, mode);
  ASSERT_TRUE(made_receiver && made_sender);
  receiver = std::move(*made_receiver);
  sender = std::move(*made_sender);
  const int large = 8 << 20;
  setsockopt(receiver.get(), SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
  loop->add_raw(kReceiver, receiver.get());
  loop->add_raw(kSender, sender.get());
}

RawSend LoopRawTest::to(const char* destination) {
  RawSend send{};
  send.to = address(destination);
  return send;
}

RawSend LoopRawTest::numbered_packet(uint32_t number, const char* destination) {
  RawSend send = to(destination);
  store_le32(send.head.data(), number);
  send.head_size = 4;
  send.cookie = number;
  return send;
}

int LoopRawTest::send_one(const char* destination, Family family, RawMode mode, uint32_t size) {
  add(family, mode);
  const auto bytes = numbered(5, size);
  RawSend send = to(destination);
  send.data = bytes.data();
  send.size = size;
  loop->send_raw(kSender, std::move(send));
  const auto failures = run_until_sent(1);
  return failures.empty() ? 0 : failures[0].second;
}

std::vector<std::pair<uint64_t, int>> LoopRawTest::run_until_sent(uint64_t sends) {
  std::vector<std::pair<uint64_t, int>> failures;
  Recorder handler(*loop);
  handler.raw_send_failed = [&](Tag tag, const RawSend& failed, int error) {
    EXPECT_EQ(tag, kSender);
    failures.push_back({failed.cookie, error});
  };
  handler.done = [&] { return loop->counters().raw_sends + failures.size() >= sends; };
  handler.run();
  EXPECT_EQ(loop->counters().raw_refused, failures.size());
  return failures;
}

}  // namespace hats::transport::test
