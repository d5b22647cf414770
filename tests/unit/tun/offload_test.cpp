// Real TCP and UDP sockets in two namespaces, each behind a real TUN device; between the two queues stands
// nothing but decode, cut, merge and encode. Whatever these get wrong, the kernel drops or the payload shows.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fstream>
#include <functional>
#include <random>

#include "core/packet/cut.hpp"
#include "core/packet/ip_view.hpp"
#include "core/packet/merge.hpp"
#include "tests/unit/core/packet_builder.hpp"
#include "tests/unit/tun/private_namespace.hpp"
#include "tun/tun_device.hpp"
#include "tun/vnet_header.hpp"

namespace hats::tun {
namespace {

using packet::testing::Bytes;

constexpr int kUdpSegment = 103;    // UDP_SEGMENT
constexpr int kReadsPerTurn = 512;  // more than a TUN queue holds (500)
constexpr size_t kReadBytes = 65'536 + kVnetHeaderSize;

struct Counts {
  size_t reads = 0, large_reads = 0, packets = 0, writes = 0, large_writes = 0;
};

// One direction: what A's queue gives is written to B's queue.
class Relay {
 public:
  Relay(const TunDevice& from, const TunDevice& to, bool merging) : from_(from), to_(to), merging_(merging) {}

  void turn() {
    packets_.clear();
    for (int i = 0; i < kReadsPerTurn && read_one(); ++i) {
    }
    if (!packets_.empty()) write_all();
  }

  Counts counts;

 private:
  bool read_one() {
    const ssize_t got = ::read(from_.fd(), buffer_.data(), buffer_.size());
    if (got <= 0) return false;
    ++counts.reads;
    const ByteSpan bytes(buffer_.data(), static_cast<size_t>(got));
    const size_t header = from_.features().header_size;
    packet::Offload offload;
    if (header != 0) {
      const auto decoded = decode_vnet(bytes);
      EXPECT_TRUE(decoded);
      if (!decoded) return true;
      offload = *decoded;
    }
    heads_.clear();
    pieces_.clear();
    EXPECT_EQ(cut(bytes.subspan(header), 0, offload, heads_, pieces_), packet::CutResult::ok);
    if (pieces_.size() > 1) ++counts.large_reads;
    for (const packet::Piece& piece : pieces_) {
      if (piece.head_size != 0) std::memcpy(piece.data, piece.head, piece.head_size);
      packets_.emplace_back(piece.data, piece.data + piece.size);
      expect_right(packets_.back());
    }
    counts.packets += pieces_.size();
    return true;
  }

  // Every packet that leaves the cutting is whole: sizes, and both checksums byte by byte.
  static void expect_right(const Bytes& p) {
    const auto ip = packet::IpView::parse(p);
    ASSERT_TRUE(ip);
    ASSERT_LE(p.size(), 1'500u);
    const auto transport = packet::find_transport(*ip);
    ASSERT_TRUE(transport);
    if (transport->protocol != 6 && transport->protocol != 17) return;
    packet::testing::Shape s;
    s.v4 = ip->is_v4();
    s.tcp = transport->protocol == 6;
    if (s.v4) {
      EXPECT_EQ(packet::testing::naive_sum(p.data(), transport->offset), 0xffffu);
    }
    const unsigned sum = packet::testing::naive_sum(&p[transport->offset], p.size() - transport->offset,
                                                    packet::testing::pseudo_sum(p, s));
    EXPECT_EQ(sum, 0xffffu);
  }

  void write_all() {
    std::vector<ByteSpan> spans(packets_.begin(), packets_.end());
    merged_.clear();
    const TunFeatures& features = to_.features();
    merge(spans, {.tcp = merging_ && features.tso, .udp = merging_ && features.uso}, merged_);
    for (const packet::TunWritePlan& plan : merged_.writes) {
      auto header = encode_vnet(plan.offload);
      std::vector<iovec> parts;
      if (features.header_size != 0) parts.push_back({header.data(), header.size()});
      for (uint32_t i = 0; i < plan.count; ++i) {
        const packet::Fragment& f = merged_.fragments[plan.first + i];
        parts.push_back({const_cast<uint8_t*>(f.data), f.size});
      }
      const ssize_t wrote = ::writev(to_.fd(), parts.data(), static_cast<int>(parts.size()));
      EXPECT_EQ(wrote, static_cast<ssize_t>(plan.bytes + features.header_size)) << std::strerror(errno);
      ++counts.writes;
      if (plan.count > 1) ++counts.large_writes;
    }
  }

  const TunDevice& from_;
  const TunDevice& to_;
  bool merging_;
  Bytes buffer_ = Bytes(kReadBytes);
  packet::HeadArena heads_{2'048};
  std::vector<packet::Piece> pieces_;
  std::vector<Bytes> packets_;
  packet::MergedWrites merged_;
};

struct Mode {
  const char* name;
  OffloadChoice offload_a, offload_b;
  bool merging;
};

class OffloadTest : public testing::PrivateNamespace, public ::testing::WithParamInterface<Mode> {
 protected:
  void SetUp() override {
    PrivateNamespace::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    namespace_a = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    make_side(a, "hua", GetParam().offload_a, "10.9.0.1/24", "fd09::1/64");
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    namespace_b = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    make_side(b, "hub", GetParam().offload_b, "10.9.0.2/24", "fd09::2/64");
    if (HasFatalFailure()) return;
    forth = std::make_unique<Relay>(*a, *b, GetParam().merging);
    back = std::make_unique<Relay>(*b, *a, GetParam().merging);
  }
  void TearDown() override {
    ::close(namespace_a);
    ::close(namespace_b);
  }

  static void make_side(std::unique_ptr<TunDevice>& out, const char* name, OffloadChoice offload,
                        const char* v4, const char* v6) {
    auto tun = TunDevice::create(name, offload);
    ASSERT_TRUE(tun) << tun.error().message;
    out = std::make_unique<TunDevice>(std::move(*tun));
    auto link = Netlink::open();
    ASSERT_TRUE(link);
    const auto state = link->link(name);
    ASSERT_TRUE(state);
    for (const char* text : {v4, v6}) {
      const auto prefix = Prefix::parse(text);
      ASSERT_TRUE(prefix);
      ASSERT_EQ(link->add_address(state->index, *prefix), 0);
    }
    ASSERT_EQ(link->set_up(state->index, true), 0);
    std::ofstream("/proc/sys/net/ipv4/tcp_ecn") << 1;
  }

  [[nodiscard]] int socket_in(int ns, int family, int type) const {
    EXPECT_EQ(::setns(ns, CLONE_NEWNET), 0);
    const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EXPECT_GE(fd, 0);
    const int size = 16 << 20;
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
  }

  static sockaddr_storage address_b(int family, uint16_t port, socklen_t& size) {
    sockaddr_storage out{};
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(out);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      ::inet_pton(AF_INET, "10.9.0.2", &v4.sin_addr);
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      ::inet_pton(AF_INET6, "fd09::2", &v6.sin6_addr);
      size = sizeof v6;
    }
    return out;
  }

  // Relays and calls `step` until it says that it is done; fails after ten seconds of turns without an end.
  void run(const std::function<bool()>& step) {
    for (int turn = 0; turn < 100'000; ++turn) {
      forth->turn();
      back->turn();
      if (step()) return;
      pollfd fds[2] = {{a->fd(), POLLIN, 0}, {b->fd(), POLLIN, 0}};
      if (::poll(fds, 2, 1) == 0 && ++idle_ > 10'000) break;
    }
    FAIL() << "the transfer did not end";
  }

  // A sends `bytes` to a listener in B over TCP.
  void transfer_tcp(int family, const Bytes& bytes) {
    socklen_t size = 0;
    const sockaddr_storage to = address_b(family, 5001, size);
    const auto* address = reinterpret_cast<const sockaddr*>(&to);
    const int listener = socket_in(namespace_b, family, SOCK_STREAM);
    ASSERT_EQ(bind_soon(listener, address, size), 0) << std::strerror(errno);
    ASSERT_EQ(::listen(listener, 1), 0);
    const int sender = socket_in(namespace_a, family, SOCK_STREAM);
    int receiver = -1;
    size_t sent = 0;
    Bytes received;
    Bytes buffer(1 << 18);
    ASSERT_TRUE(::connect(sender, address, size) == 0 || errno == EINPROGRESS) << std::strerror(errno);
    run([&] {
      if (receiver < 0) receiver = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
      const ssize_t n =
          sent < bytes.size() ? ::send(sender, &bytes[sent], bytes.size() - sent, MSG_NOSIGNAL) : 0;
      if (n > 0) sent += static_cast<size_t>(n);
      if (sent == bytes.size()) (void)::shutdown(sender, SHUT_WR);
      ssize_t got = -1;
      while (receiver >= 0 && (got = ::recv(receiver, buffer.data(), buffer.size(), 0)) > 0) {
        received.insert(received.end(), buffer.begin(), buffer.begin() + got);
      }
      return receiver >= 0 && got == 0;
    });
    EXPECT_TRUE(received == bytes) << received.size() << " of " << bytes.size();
    ::close(listener);
    ::close(sender);
    ::close(receiver);
  }

  // An IPv6 address is tentative for a moment after it was added.
  static int bind_soon(int fd, const sockaddr* address, socklen_t size) {
    for (int i = 0; i < 200; ++i) {
      if (::bind(fd, address, size) == 0) return 0;
      if (errno != EADDRNOTAVAIL) return -1;
      (void)::poll(nullptr, 0, 10);
    }
    return -1;
  }

  // A sends `count` datagrams of `datagram` bytes, `run_bytes` in each system call, from `flows` sockets in
  // turn. All of them must arrive; a flow's in order.
  void transfer_udp(int family, size_t datagram, size_t run_bytes, size_t count, size_t flows) {
    socklen_t size = 0;
    const sockaddr_storage to = address_b(family, 5002, size);
    const auto* address = reinterpret_cast<const sockaddr*>(&to);
    const int receiver = socket_in(namespace_b, family, SOCK_DGRAM);
    ASSERT_EQ(bind_soon(receiver, address, size), 0) << std::strerror(errno);
    std::vector<int> senders;
    for (size_t i = 0; i < flows; ++i) {
      senders.push_back(socket_in(namespace_a, family, SOCK_DGRAM));
      ASSERT_EQ(::connect(senders.back(), address, size), 0);
      const int segment = static_cast<int>(datagram);
      if (run_bytes > datagram) {
        ASSERT_EQ(::setsockopt(senders.back(), SOL_UDP, kUdpSegment, &segment, sizeof segment), 0);
      }
    }
    std::mt19937 rng(1);
    const Bytes filler = packet::testing::random_bytes(rng, datagram);
    size_t sent = 0, received = 0;
    std::vector<size_t> last(flows, 0);
    run([&] {
      for (int burst = 0; burst < 8 && sent < count; ++burst) {
        Bytes bytes;
        const size_t flow = sent / (run_bytes / datagram) % flows;
        while (bytes.size() + datagram <= run_bytes && sent < count) {
          Bytes one = filler;
          packet::testing::put32(one, 0, static_cast<uint32_t>(++sent));
          packet::testing::put32(one, 4, static_cast<uint32_t>(flow));
          bytes.insert(bytes.end(), one.begin(), one.end());
        }
        EXPECT_EQ(::send(senders[flow], bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()))
            << std::strerror(errno);
      }
      Bytes got(2'000);
      ssize_t n = 0;
      while ((n = ::recv(receiver, got.data(), got.size(), 0)) >= 0) {
        EXPECT_EQ(static_cast<size_t>(n), datagram);
        EXPECT_TRUE(std::equal(filler.begin() + 8, filler.end(), got.begin() + 8));
        const size_t number = packet::testing::get32(got, 0), flow = packet::testing::get32(got, 4);
        EXPECT_LT(last.at(flow), number);
        last.at(flow) = number;
        ++received;
      }
      return received == count;
    });
    EXPECT_EQ(received, count);
    ::close(receiver);
    for (const int fd : senders) ::close(fd);
  }

  void expect_offloads(bool have, Counts since = {}) const {
    const Counts& c = forth->counts;
    RecordProperty("packets", static_cast<int>(c.packets));
    if (have && GetParam().offload_a == OffloadChoice::automatic) {
      EXPECT_GT(c.large_reads, since.large_reads);
    }
    if (GetParam().offload_a == OffloadChoice::off) {
      EXPECT_EQ(c.large_reads, 0u);
    }
    const bool merges = GetParam().merging && GetParam().offload_b == OffloadChoice::automatic;
    if (have && merges) {
      EXPECT_GT(c.large_writes, since.large_writes);
    }
    if (!merges) {
      EXPECT_EQ(c.large_writes, 0u);
    }
  }

  int namespace_a = -1, namespace_b = -1;
  std::unique_ptr<TunDevice> a, b;
  std::unique_ptr<Relay> forth, back;

 private:
  int idle_ = 0;
};

TEST_P(OffloadTest, TcpArrivesByteForByte) {
  std::mt19937 rng(1);
  const Bytes bytes = packet::testing::random_bytes(rng, 6'000'000);
  for (const int family : {AF_INET, AF_INET6}) {
    const Counts before = forth->counts;
    transfer_tcp(family, bytes);
    expect_offloads(a->features().tso && b->features().tso, before);
  }
}

TEST_P(OffloadTest, UdpSentInRunsArrivesDatagramByDatagram) {
  for (const int family : {AF_INET, AF_INET6}) {
    const Counts before = forth->counts;
    transfer_udp(family, 1'200, 1'200 * 40, 4'000, 1);
    expect_offloads(a->features().uso && b->features().uso, before);
  }
}

TEST_P(OffloadTest, SmallDatagramsOfManyFlowsArriveInOrderOfEachFlow) {
  for (const int family : {AF_INET, AF_INET6}) transfer_udp(family, 64, 64, 4'000, 8);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, OffloadTest,
    ::testing::Values(Mode{"AutoAndMerging", OffloadChoice::automatic, OffloadChoice::automatic, true},
                      Mode{"AutoWithoutMerging", OffloadChoice::automatic, OffloadChoice::automatic, false},
                      Mode{"OffOnTheWayIn", OffloadChoice::automatic, OffloadChoice::off, true},
                      Mode{"OffOnTheWayOut", OffloadChoice::off, OffloadChoice::automatic, true},
                      Mode{"Off", OffloadChoice::off, OffloadChoice::off, true}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace hats::tun
