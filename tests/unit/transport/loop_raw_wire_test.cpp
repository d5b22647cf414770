// What raw sends look like on the wire, and what a router's errors do: on links of two namespaces.
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include <linux/in6.h>  // after netinet/in.h, which it then leaves alone

#include "raw_loop.hpp"
#include "transport/raw_sender.hpp"

namespace hats::transport::test {
namespace {

// Two links to the same network; the routing table prefers the first. MTU 1,400.
class LoopRawWireTest : public LoopRawTest {
 protected:
  void SetUp() override {
    LoopRawTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(std::system("sysctl -qw net.ipv6.auto_flowlabels=0"), 0);
    for (const std::string name : {"hu-w0", "hu-x0"}) {
      ASSERT_TRUE(ip("link add " + name + " type veth peer name " + name + "p"));
      ASSERT_TRUE(ip("link set " + name + " addrgenmode none mtu 1400 arp off up"));
      ASSERT_TRUE(ip("link set " + name + "p addrgenmode none arp off up"));
    }
    ASSERT_TRUE(ip("addr add 198.51.100.1/24 dev hu-w0") && ip("addr add 198.51.100.7/24 dev hu-w0"));
    ASSERT_TRUE(ip("addr add 2001:db8:51::1/64 dev hu-w0 nodad"));
    ASSERT_TRUE(ip("addr add 2001:db8:51::7/64 dev hu-w0 nodad"));
    ASSERT_TRUE(ip("route add 198.51.100.0/24 dev hu-x0 metric 5000"));
    ASSERT_TRUE(ip("route add 2001:db8:51::/64 dev hu-x0 metric 5000"));
    ASSERT_TRUE(add_loopback_v6("2001:db8:51::99"));  // when this one works, so do those before
  }
  void TearDown() override {
    ip("link del hu-w0");
    ip("link del hu-x0");
    ip("-6 addr del 2001:db8:51::99/128 dev lo");
    LoopRawTest::TearDown();
  }
  static const char* far(Family family) {
    return family == Family::v4 ? "198.51.100.200" : "2001:db8:51::200";
  }
};
HATS_ALL_BACKENDS(LoopRawWireTest);

TEST_P(LoopRawWireTest, TtlTosDfAndSourceOfIpv4AreAsAsked) {
  struct Case {
    uint8_t ttl, ds;
    const char* source;
  };
  const std::vector<Case> cases{{1, 0, nullptr},
                                {64, 0x01, "198.51.100.7"},
                                {255, 0xb8, "198.51.100.1"},
                                {128, 0xff, nullptr},
                                {7, 0, nullptr}};
  const Capture capture("hu-w0");
  for (const RawMode mode : {RawMode::fragmentable, RawMode::dont_fragment}) {
    add(Family::v4, mode);
    for (const Case& one : cases) {
      RawSend send = numbered_packet(one.ttl, far(Family::v4));
      send.ttl = one.ttl;
      send.ds = one.ds;
      if (one.source) send.from.address = address(one.source);
      loop->send_raw(kSender, std::move(send));
    }
    EXPECT_TRUE(run_until_sent(cases.size()).empty());
    for (const Case& one : cases) {
      const auto got = capture.next(Family::v4, kGre);
      ASSERT_TRUE(got);
      ASSERT_EQ(got->size(), 24U);
      EXPECT_EQ((*got)[0], 0x45);
      EXPECT_EQ((*got)[1], one.ds);
      EXPECT_EQ((*got)[6], mode == RawMode::dont_fragment ? 0x40 : 0);
      EXPECT_EQ((*got)[8], one.ttl);
      EXPECT_EQ(IpAddress::v4(&(*got)[12]), address(one.source ? one.source : "198.51.100.1"));
      EXPECT_EQ(IpAddress::v4(&(*got)[16]), address(far(Family::v4)));
      EXPECT_EQ(number_of(&(*got)[20]), one.ttl);
    }
  }
}

TEST_P(LoopRawWireTest, HopLimitClassAndLabelOfIpv6AreAsAsked) {
  struct Case {
    uint8_t hop_limit, ds;
    uint32_t label;
    const char* source;
  };
  const std::vector<Case> cases{{1, 0, 0, "2001:db8:51::1"},
                                {64, 0x01, 0xfffff, "2001:db8:51::7"},
                                {255, 0xb8, 0x12345, nullptr},
                                {9, 0xff, 0, nullptr}};
  const Capture capture("hu-w0");
  add(Family::v6);
  for (const Case& one : cases) {
    RawSend send = numbered_packet(one.hop_limit, far(Family::v6));
    send.ttl = one.hop_limit;
    send.ds = one.ds;
    send.flow_label = one.label;
    if (one.source) send.from.address = address(one.source);
    loop->send_raw(kSender, std::move(send));
  }
  EXPECT_TRUE(run_until_sent(cases.size()).empty());
  for (const Case& one : cases) {
    const auto got = capture.next(Family::v6, kGre);
    ASSERT_TRUE(got);
    EXPECT_EQ(load_be32(got->data()), 0x6000'0000U | uint32_t{one.ds} << 20 | one.label);
    EXPECT_EQ((*got)[7], one.hop_limit);
    if (one.source) {
      EXPECT_EQ(IpAddress::v6(&(*got)[8]), address(one.source));
    }
    EXPECT_EQ(IpAddress::v6(&(*got)[24]), address(far(Family::v6)));
    ASSERT_EQ(got->size(), 44U);
    EXPECT_EQ(number_of(&(*got)[40]), one.hop_limit);
  }
}

TEST_P(LoopRawWireTest, AnInterfaceThatIsNamedIsTheOneItLeavesBy) {
  const uint32_t other = if_nametoindex("hu-x0");
  for (const Family family : {Family::v4, Family::v6}) {
    const Capture by_route("hu-w0"), named("hu-x0");
    add(family);
    // With a source IPv6's routing takes the interface for a wish only.
    const uint32_t count = family == Family::v4 ? 4 : 2;
    for (uint32_t i = 0; i < count; ++i) {
      RawSend send = numbered_packet(i, far(family));
      send.from.interface_index = i % 2 == 0 ? 0 : other;
      if (i >= 2) send.from.address = address("198.51.100.7");
      loop->send_raw(kSender, std::move(send));
    }
    EXPECT_TRUE(run_until_sent(count).empty());
    for (uint32_t i = 0; i < count; i += 2) {
      const auto first = by_route.next(family, kGre), second = named.next(family, kGre);
      ASSERT_TRUE(first && second);
      EXPECT_EQ(number_of(first->data() + first->size() - 4), i);
      EXPECT_EQ(number_of(second->data() + second->size() - 4), i + 1);
    }
  }
}

TEST_P(LoopRawWireTest, LargerThanTheLinkIsFragmentedOrRefused) {
  const Capture capture("hu-w0");
  EXPECT_EQ(send_one(far(Family::v4), Family::v4, RawMode::fragmentable, 2'000), 0);
  const auto first = capture.next(Family::v4, kGre), second = capture.next(Family::v4, kGre);
  ASSERT_TRUE(first && second);
  EXPECT_EQ((*first)[6] & 0xe0, 0x20);  // more fragments, no DF
  EXPECT_EQ(first->size() + second->size(), 2'000U + 20 + 20);

  EXPECT_EQ(send_one(far(Family::v6), Family::v6, RawMode::fragmentable, 2'000), 0);
  ASSERT_TRUE(capture.next(Family::v6, 44));
  ASSERT_TRUE(capture.next(Family::v6, 44));

  for (const Family family : {Family::v4, Family::v6}) {
    const uint32_t header = family == Family::v4 ? 20 : 40;
    EXPECT_EQ(send_one(far(family), family, RawMode::dont_fragment, 1'400 - header), 0);
    const auto got = capture.next(family, kGre);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->size(), 1'400U);
  }
  EXPECT_EQ(send_one(far(Family::v4), Family::v4, RawMode::dont_fragment, 1'381), EMSGSIZE);
  EXPECT_EQ(send_one(far(Family::v6), Family::v6, RawMode::dont_fragment, 1'361), 0);
  ASSERT_TRUE(capture.next(Family::v6, 44));
  ASSERT_TRUE(capture.next(Family::v6, 44));
}

// RFC 2473 4.1.1: a tunnel's encapsulation limit is the destination options header that the packet begins
// with.
TEST_P(LoopRawWireTest, DestinationOptionsOfOnesOwnLeaveAsTheyAre) {
  constexpr uint8_t kDestinationOptions = 60;
  const std::vector<uint8_t> options{kGre, 0, 4, 1, 4, 1, 1, 0};
  const Capture capture("hu-w0");
  auto made = open_raw_sender(Family::v6, kDestinationOptions, RawMode::dont_fragment);
  ASSERT_TRUE(made);
  loop->add_raw(kSender, made->get());
  RawSend send = to(far(Family::v6));
  std::ranges::copy(options, send.head.begin());
  send.head_size = static_cast<uint32_t>(options.size());
  const auto data = numbered(1, 1'400 - 40 - 8);  // fills the link
  send.data = data.data();
  send.size = static_cast<uint32_t>(data.size());
  loop->send_raw(kSender, std::move(send));
  EXPECT_TRUE(run_until_sent(1).empty());
  const auto got = capture.next(Family::v6, kDestinationOptions);
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 1'400U);
  EXPECT_EQ(std::vector<uint8_t>(got->begin() + 40, got->begin() + 48), options);
}

// A tunnel's packets are spread over sockets by what they need; a receiver that checks sequence numbers drops
// what was overtaken.
TEST_P(LoopRawWireTest, PacketsKeepTheirOrderBetweenSockets) {
  constexpr Tag kOther = 4;
  const Capture capture("hu-w0");
  add(Family::v4, RawMode::fragmentable);
  auto other = open_raw_sender(Family::v4, kGre, RawMode::dont_fragment);
  ASSERT_TRUE(other);
  loop->add_raw(kOther, other->get());
  constexpr uint32_t kCount = 20;
  for (uint32_t i = 0; i < kCount; ++i) {
    loop->send_raw(i % 3 == 0 ? kSender : kOther, numbered_packet(i, far(Family::v4)));
  }
  EXPECT_TRUE(run_until_sent(kCount).empty());
  for (uint32_t i = 0; i < kCount; ++i) {
    const auto got = capture.next(Family::v4, kGre);
    ASSERT_TRUE(got);
    EXPECT_EQ(number_of(&(*got)[20]), i);
  }
}

TEST_P(LoopRawWireTest, AHeaderOfOnesOwnLeavesAsItIs) {
  const Capture capture("hu-w0");
  auto made = open_raw_sender(Family::v4, kGre, RawMode::header_included);
  ASSERT_TRUE(made);
  loop->add_raw(kSender, made->get());
  for (const uint32_t size : {100U, 1'381U}) {
    auto packet = ip_packet("203.0.113.9", far(Family::v4), kGre, numbered(1, size));
    packet[1] = 0xb8;
    packet[4] = 0x12;  // identification: 0 would be the kernel's to choose
    packet[6] = 0x40;
    packet[8] = 33;
    RawSend send = to(far(Family::v4));
    send.data = packet.data();
    send.size = static_cast<uint32_t>(packet.size());
    send.cookie = size;
    loop->send_raw(kSender, std::move(send));
  }
  const auto failures = run_until_sent(2);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0], (std::pair<uint64_t, int>{1'381, EMSGSIZE}));
  const auto got = capture.next(Family::v4, kGre);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->size(), 120U);
  EXPECT_EQ((*got)[1], 0xb8);
  EXPECT_EQ((*got)[6], 0x40);
  EXPECT_EQ((*got)[8], 33);
  EXPECT_EQ(IpAddress::v4(&(*got)[12]), address("203.0.113.9"));
  EXPECT_EQ(std::vector<uint8_t>(got->begin() + 20, got->end()), numbered(1, 100));
}

// While somebody in the namespace holds an exclusive flow label the kernel refuses all that were not asked
// for, as kernels before 5.3 always do.
TEST_P(LoopRawWireTest, FlowLabelsAreAskedForWhereTheKernelWantsThat) {
  // Labels linger: each run has its own.
  const uint32_t kTaken = 0x11110 + static_cast<uint32_t>(GetParam()), kFree = kTaken + 0x10000;
  const UniqueFd holder(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  in6_flowlabel_req request{};
  std::memcpy(&request.flr_dst, address(far(Family::v6)).bytes.data(), 16);
  request.flr_label = htonl(kTaken);
  request.flr_action = IPV6_FL_A_GET;
  request.flr_share = IPV6_FL_S_EXCL;
  request.flr_flags = IPV6_FL_F_CREATE;
  ASSERT_EQ(setsockopt(holder.get(), IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &request, sizeof request), 0);
  const Capture capture("hu-w0");
  add(Family::v6);
  const std::vector<uint32_t> labels{kFree, kTaken, kFree, 0};
  for (const uint32_t label : labels) {
    RawSend send = numbered_packet(label, far(Family::v6));
    send.flow_label = label;
    loop->send_raw(kSender, std::move(send));
  }
  EXPECT_TRUE(run_until_sent(labels.size()).empty());
  for (const uint32_t label : labels) {
    const auto got = capture.next(Family::v6, kGre);
    ASSERT_TRUE(got);
    EXPECT_EQ(number_of(&(*got)[40]), label);
    EXPECT_EQ(load_be32(got->data()) & 0xfffffU, label == kTaken ? 0 : label);
  }
}

// Linux before 3.13 has TTL and TOS as options of the socket alone.
TEST_P(LoopRawWireTest, WithoutTtlInControlDataTheSocketIsSetInstead) {
  const Capture capture("hu-w0");
  auto made = open_raw_sender(Family::v4, kGre, RawMode::fragmentable);
  ASSERT_TRUE(made);
  RawPort port;
  port.fd = made->get();
  port.family = Family::v4;
  port.ttl_by_message = false;
  const std::vector<std::pair<uint8_t, uint8_t>> wanted{{64, 0},   {64, 0},    {9, 0},
                                                        {9, 0xb8}, {64, 0x02}, {64, 0x02}};
  for (const auto& [ttl, ds] : wanted) {
    RawSend send = numbered_packet(ttl, far(Family::v4));
    send.ttl = ttl;
    send.ds = ds;
    ASSERT_TRUE(port.queue.push({.send = std::move(send)}));
  }
  LoopCounters counters;
  RawSender raw_sender(counters);
  std::vector<FailedSend<RawSend>> failed;
  EXPECT_EQ(raw_sender.flush(port, failed), SendResult::drained);
  EXPECT_TRUE(failed.empty());
  for (const auto& [ttl, ds] : wanted) {
    const auto got = capture.next(Family::v4, kGre);
    ASSERT_TRUE(got);
    EXPECT_EQ((*got)[8], ttl);
    EXPECT_EQ((*got)[1], ds);
  }
}

// What a socket's packets have in common becomes an option of the socket; what differs must not suffer.
TEST_P(LoopRawWireTest, TtlAndDsAreRightHoweverOftenTheyChange) {
  for (const Family family : {Family::v4, Family::v6}) {
    const bool v4 = family == Family::v4;
    const Capture capture("hu-w0");
    auto made = open_raw_sender(family, kGre, RawMode::dont_fragment);
    ASSERT_TRUE(made);
    RawPort port;
    port.fd = made->get();
    probe_raw_port(port);
    LoopCounters counters;
    RawSender raw_sender(counters);
    std::vector<FailedSend<RawSend>> failed;
    bool odd = false;
    for (const int run : {30, 1, 30, 3, 1, 1, 1, 1, 30, 2, 5}) {
      for (int i = 0; i < run; ++i) {
        RawSend send = numbered_packet(1, far(family));
        send.ttl = odd ? 9 : 200;
        send.ds = odd ? 0x02 : 0xb8;
        ASSERT_TRUE(port.queue.push({.send = std::move(send)}));
        ASSERT_EQ(raw_sender.flush(port, failed), SendResult::drained);
        const auto got = capture.next(family, kGre);
        ASSERT_TRUE(got);
        EXPECT_EQ((*got)[v4 ? 8 : 7], odd ? 9 : 200);
        EXPECT_EQ(v4 ? (*got)[1] : load_be16(got->data()) >> 4 & 0xff, odd ? 0x02 : 0xb8);
      }
      odd = !odd;
    }
    EXPECT_TRUE(failed.empty());
  }
}

// Another namespace that forwards from a link of MTU 1,500 to one of 1,300: 10.77.0.0/24 and fd77::/64 to
// 10.78.0.0/24 and fd78::/64.
class LoopRawRouterTest : public LoopRawTest {
 protected:
  void SetUp() override {
    LoopRawTest::SetUp();
    if (IsSkipped()) return;
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const UniqueFd read_end(ready[0]);
    UniqueFd write_end(ready[1]);
    router = fork();
    if (router == 0) {
      const bool made = unshare(CLONE_NEWNET) == 0 && ip("link set lo up");
      if (made) std::ignore = write(write_end.get(), "", 1);
      for (;;) pause();
    }
    write_end = {};
    char byte = 0;
    ASSERT_EQ(read(read_end.get(), &byte, 1), 1);
    ASSERT_TRUE(ip("link add hu-r0 type veth peer name hu-r1 netns " + std::to_string(router)));
    ASSERT_TRUE(ip("link set hu-r0 addrgenmode none up") && ip("addr add 10.77.0.1/24 dev hu-r0"));
    ASSERT_TRUE(ip("addr add fd77::1/64 dev hu-r0 nodad"));
    ASSERT_TRUE(
        in_router("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && "
                  "ip link set hu-r1 addrgenmode none up && ip addr add 10.77.0.2/24 dev hu-r1 && "
                  "ip addr add fd77::2/64 dev hu-r1 nodad && ip link add hu-r2 type veth peer name hu-r3 && "
                  "ip link set hu-r2 addrgenmode none arp off mtu 1300 up && ip link set hu-r3 up && "
                  "ip addr add 10.78.0.1/24 dev hu-r2 && ip addr add fd78::1/64 dev hu-r2 nodad"));
    ASSERT_TRUE(ip("route add 10.78.0.0/24 via 10.77.0.2") && ip("route add fd78::/64 via fd77::2"));
  }
  void TearDown() override {
    if (router > 0) {
      kill(router, SIGKILL);
      waitpid(router, nullptr, 0);
    }
    ip("link del hu-r0");
    LoopRawTest::TearDown();
  }
  [[nodiscard]] bool in_router(const std::string& command) const {
    return std::system(("nsenter -t " + std::to_string(router) + " -n sh -c '" + command + "'").c_str()) == 0;
  }

  pid_t router = -1;
};
HATS_ALL_BACKENDS(LoopRawRouterTest);

TEST_P(LoopRawRouterTest, ARoutersErrorArrivesAndLeavesTheDecisionToUs) {
  constexpr Tag kIcmp = 3;
  for (const Family family : {Family::v4, Family::v6}) {
    const bool v4 = family == Family::v4;
    const char* far = v4 ? "10.78.0.9" : "fd78::9";
    const uint32_t size = v4 ? 1'480 : 1'460;
    add(family, RawMode::dont_fragment);
    const auto listener = open_icmp_listener(family);
    ASSERT_TRUE(listener);
    loop->add_raw(kIcmp, listener->get());
    const auto silencer = open_silencer(family, kGre);
    ASSERT_TRUE(silencer);
    const auto bytes = numbered(1, size);
    const auto send_large = [&] {
      RawSend send = to(far);
      send.data = bytes.data();
      send.size = size;
      loop->send_raw(kSender, std::move(send));
    };
    // The second goes out in the same size after the kernel has learned of the path: it is not for the kernel
    // to refuse.
    int errors = 0;
    Recorder handler(*loop);
    handler.raw = [&](Tag tag, std::span<RawReceived> received) {
      ASSERT_EQ(tag, kIcmp);
      for (const RawReceived& one : received) {
        EXPECT_EQ(one.from, address(v4 ? "10.77.0.2" : "fd77::2"));
        EXPECT_EQ(one.to.address, address(v4 ? "10.77.0.1" : "fd77::1"));
        const uint8_t* icmp = one.data + (v4 ? 20 : 0);
        EXPECT_EQ(icmp[0], v4 ? 3 : 2);  // RFC 792 destination unreachable; RFC 4443 3.2 packet too big
        EXPECT_EQ(icmp[1], v4 ? 4 : 0);
        EXPECT_EQ(v4 ? load_be16(icmp + 6) : load_be32(icmp + 4), 1'300U);
        EXPECT_EQ(icmp[8] >> 4, v4 ? 4 : 6);  // our packet, quoted
        ++errors;
        if (errors == 1) {
          const std::string get = std::string("ip route get ") + far + " | grep -q \"mtu 1300\"";
          EXPECT_EQ(std::system(get.c_str()), 0) << get;
          send_large();
        }
      }
    };
    handler.raw_send_failed = [](Tag, const RawSend&, int error) { ADD_FAILURE() << std::strerror(error); };
    handler.done = [&] { return loop->counters().raw_sends == 2; };
    send_large();
    handler.run();
    EXPECT_GE(errors, 1);
    // And what may be fragmented now is, to what the kernel has learned.
    const Capture capture("hu-r0");
    EXPECT_EQ(send_one(far, family, RawMode::fragmentable, size), 0);
    const auto fragment = capture.next(family, v4 ? kGre : uint8_t{44});
    ASSERT_TRUE(fragment);
    EXPECT_LE(fragment->size(), 1'300U);
  }
}

}  // namespace
}  // namespace hats::transport::test
