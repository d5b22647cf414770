#include "transport/raw_socket.hpp"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/sock_diag.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "crypto/bytes.hpp"

namespace hats::transport {
namespace {

/// A receiver's buffer, as SO_RCVBUF wants it. A raw packet takes twice the memory of what a UDP receive
/// merges, and with less the bursts of a peer on the same link are cut: TCP then lost 0.2 % and sent it
/// again.
constexpr int kReceiveBuffer = 4 * kSocketBuffer;
/// Errors come singly, a few hundred bytes each.
constexpr int kIcmpBuffer = 64 * 1024;
/// What a filter returns to keep the whole packet.
constexpr uint32_t kKeep = 0xffff'ffff;
/// Where the source address lies. A filter of an IPv4 raw socket sees the packet from the IP header on; that
/// of an IPv6 raw socket only what follows it, and reaches the header through SKF_NET_OFF.
constexpr uint32_t kSourceV4 = 12, kSourceV6 = static_cast<uint32_t>(SKF_NET_OFF) + 8;
constexpr uint32_t kWordsV6 = 4;

using Program = std::vector<sock_filter>;

std::expected<UniqueFd, int> open_raw(Family family, int protocol) {
  const int domain = family == Family::v4 ? AF_INET : family == Family::v6 ? AF_INET6 : AF_UNSPEC;
  UniqueFd fd(socket(domain, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd) return std::unexpected(errno);
  return fd;
}

int attach(int fd, Program& program) {
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0 ? 0 : errno;
}

int detach(int fd) {
  const int unused = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) == 0) return 0;
  return errno == ENOENT ? 0 : errno;
}

// A raw socket receives from its birth on: what came before the filter goes too, or it would fill the buffer
// for ever.
int refuse_everything(int fd) {
  Program program{BPF_STMT(BPF_RET | BPF_K, 0)};
  if (const int error = attach(fd, program); error != 0) return error;
  std::array<uint8_t, 1> byte;
  while (recv(fd, byte.data(), byte.size(), MSG_DONTWAIT) >= 0) {
  }
  return 0;
}

// A socket bound to an address that no packet is sent to is passed over in the delivery of its protocol,
// where a filter would get, and refuse, a copy of each packet's head. Being a group's, the address is not the
// source of what the socket sends. Reserved, and assigned to no group: RFC 1112 4, RFC 4291 2.7.1.
int hear_nothing(int fd, Family family) {
  if (family == Family::v4) {
    sockaddr_in nobody{};
    nobody.sin_family = AF_INET;
    nobody.sin_addr.s_addr = htonl(0xe000'0000);
    return bind(fd, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody) == 0 ? 0 : errno;
  }
  sockaddr_in6 nobody{};
  nobody.sin6_family = AF_INET6;
  nobody.sin6_addr.s6_addr[0] = 0xff;
  nobody.sin6_addr.s6_addr[1] = 0x0e;
  return bind(fd, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody) == 0 ? 0 : errno;
}

int set_receive_options(int fd, Family family) {
  if (family == Family::v4) return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
  for (const int option : {IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_RECVHOPLIMIT}) {
    if (const int error = set_int(fd, IPPROTO_IPV6, option, 1); error != 0) return error;
  }
  return 0;
}

// PROBE sets DF like DO does, but DO also refuses what is larger than the path MTU that the kernel has
// learned. IPv6's PROBE refuses too much: Linux __ip6_append_data counts a destination option twice. OMIT
// looks at the device's MTU, too, but makes fragments where PROBE refuses.
int set_send_options(int fd, Family family, RawMode mode) {
  const bool fragmentable = mode == RawMode::fragmentable;
  if (family == Family::v4) {
    if (mode == RawMode::header_included) return set_int(fd, IPPROTO_IP, IP_HDRINCL, 1);
    return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, fragmentable ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE);
  }
  // The flow label of each packet is in the name that it is sent to.
  if (const int error = set_int(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1); error != 0) return error;
  return set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, fragmentable ? IPV6_PMTUDISC_DONT : IPV6_PMTUDISC_OMIT);
}

// One comparison each, which jumps to the end if it succeeds.
Program build_filter_v4(std::span<const IpAddress> remotes) {
  Program out{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kSourceV4)};
  for (size_t left = remotes.size(); const IpAddress& remote : remotes) {
    out.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, load_be32(remote.bytes.data()), static_cast<uint8_t>(left--), 0));
  }
  out.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  out.push_back(BPF_STMT(BPF_RET | BPF_K, kKeep));
  return out;
}
static_assert(kMaxFilteredRemotes <= 255, "jumps of a filter have 8 bits");

// The words are read into the scratch memory once: reading the packet again takes ten times the instructions,
// and the kernel limits what they take. The last word differs most.
Program build_filter_v6(std::span<const IpAddress> remotes) {
  Program out;
  for (uint32_t word = 0; word < kWordsV6; ++word) {
    out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kSourceV6 + 4 * word));
    out.push_back(BPF_STMT(BPF_ST, word));
  }
  for (const IpAddress& remote : remotes) {
    for (uint32_t word = kWordsV6; word-- > 0;) {
      // Unlike: past the remaining comparisons and the return.
      const auto past = static_cast<uint8_t>(2 * word + 1);
      out.push_back(BPF_STMT(BPF_LD | BPF_MEM, word));
      out.push_back(
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, load_be32(remote.bytes.data() + size_t{4} * word), 0, past));
    }
    out.push_back(BPF_STMT(BPF_RET | BPF_K, kKeep));
  }
  out.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  return out;
}

}  // namespace

std::expected<UniqueFd, int> open_raw_receiver(Family family, uint8_t protocol) {
  auto fd = open_raw(family, protocol);
  if (!fd) return fd;
  if (const int error = set_receive_options(fd->get(), family); error != 0) return std::unexpected(error);
  set_buffers(fd->get(), kReceiveBuffer, 0);
  return fd;
}

std::expected<UniqueFd, int> open_raw_sender(Family family, uint8_t protocol, RawMode mode) {
  const bool header_included = mode == RawMode::header_included;
  if (header_included && family != Family::v4) return std::unexpected(EINVAL);
  auto fd = open_raw(family, header_included ? int{IPPROTO_RAW} : int{protocol});
  if (!fd) return fd;
  if (const int error = refuse_everything(fd->get()); error != 0) return std::unexpected(error);
  if (!header_included) {
    if (const int error = hear_nothing(fd->get(), family); error != 0) return std::unexpected(error);
  }
  if (const int error = set_send_options(fd->get(), family, mode); error != 0) return std::unexpected(error);
  set_buffers(fd->get(), 0, kSocketBuffer);
  return fd;
}

std::expected<UniqueFd, int> open_silencer(Family family, uint8_t protocol) {
  auto fd = open_raw(family, protocol);
  if (!fd) return fd;
  if (const int error = refuse_everything(fd->get()); error != 0) return std::unexpected(error);
  if (family == Family::v6) {
    // Errors of the path are believed for connected sockets and for those that want to hear of them. Its
    // queue of errors fills and then takes no more, below the bound at which it would no longer be a
    // silencer.
    if (const int error = set_int(fd->get(), IPPROTO_IPV6, IPV6_RECVERR, 1); error != 0) {
      return std::unexpected(error);
    }
  }
  return fd;
}

int set_remotes_filter(int fd, Family family, std::span<const IpAddress> remotes) {
  std::vector<IpAddress> listed;
  for (const IpAddress& remote : remotes) {
    // Tunnels that keys tell apart have one remote.
    if (remote.family != family || std::ranges::find(listed, remote) != listed.end()) continue;
    if (listed.size() == kMaxFilteredRemotes) return detach(fd);
    listed.push_back(remote);
  }
  Program program = family == Family::v4 ? build_filter_v4(listed) : build_filter_v6(listed);
  const int error = attach(fd, program);
  if (error != ENOMEM) return error;
  // The old filter is charged until the new one is in.
  if (const int failed = detach(fd); failed != 0) return failed;
  const int again = attach(fd, program);
  return again == ENOMEM ? 0 : again;
}

std::optional<uint32_t> count_overflow(int fd) {
  std::array<uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0) return std::nullopt;
  if (size <= SK_MEMINFO_DROPS * sizeof(uint32_t)) return std::nullopt;
  return info[SK_MEMINFO_DROPS];
}

std::expected<UniqueFd, int> open_icmp_listener(Family family) {
  auto fd = open_raw(family, family == Family::v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  if (!fd) return fd;
  int done = 0;
  if (family == Family::v4) {
    const icmp_filter filter{
        ~(1U << ICMP_DEST_UNREACH | 1U << ICMP_TIME_EXCEEDED | 1U << ICMP_PARAMETERPROB)};
    done = setsockopt(fd->get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  } else {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    for (const int type : {ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB}) {
      ICMP6_FILTER_SETPASS(type, &filter);
    }
    done = setsockopt(fd->get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  }
  if (done != 0) return std::unexpected(errno);
  if (const int error = set_receive_options(fd->get(), family); error != 0) return std::unexpected(error);
  set_buffers(fd->get(), kIcmpBuffer, 0);
  return fd;
}

}  // namespace hats::transport
