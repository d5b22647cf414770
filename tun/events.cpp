// Link, address and route events, from this namespace and, where the caller may, from every namespace that
// has an id here: a moved interface keeps reporting (DESIGN.md 5).
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "tun/link.hpp"
#include "tun/netlink_socket.hpp"

namespace hats::tun {

namespace {

constexpr std::array<int, 5> kGroups = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                        RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
/// Bytes of receive buffer asked for; a full table import raises many route events at once.
constexpr int kEventBufferBytes = 1 << 20;
/// Datagrams a read() takes at most, so that an event storm cannot hold the control plane.
constexpr int kDatagramsPerRead = 64;

int close_and_fail(int fd) {
  const int error = errno;
  ::close(fd);
  return error;
}

std::optional<LinkEvent> event_of(const nlmsghdr* m) {
  using Kind = LinkEvent::Kind;
  LinkEvent out{};
  switch (m->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      if (mnl_nlmsg_get_payload_len(m) < sizeof(ifinfomsg)) return std::nullopt;
      const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(m));
      if (info->ifi_family != AF_UNSPEC) return std::nullopt;  // bridge ports and such
      out.index = static_cast<uint32_t>(info->ifi_index);
      if (m->nlmsg_type == RTM_NEWLINK) {
        out.kind = Kind::link_new;
        out.link = link_of(m);
        return out;
      }
      const Attributes<IFLA_NEW_IFINDEX> attributes(m, sizeof(ifinfomsg));
      const bool moved = attributes[IFLA_NEW_NETNSID] != nullptr || attributes[IFLA_NEW_IFINDEX] != nullptr;
      out.kind = moved ? Kind::link_moved : Kind::link_deleted;
      if (attributes[IFLA_NEW_NETNSID] != nullptr) {
        out.new_nsid = static_cast<int>(u32_of(attributes[IFLA_NEW_NETNSID], 0));
      }
      out.new_index = u32_of(attributes[IFLA_NEW_IFINDEX], 0);
      return out;
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (mnl_nlmsg_get_payload_len(m) < sizeof(ifaddrmsg)) return std::nullopt;
      out.kind = Kind::address_changed;
      out.index = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(m))->ifa_index;
      return out;
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      if (mnl_nlmsg_get_payload_len(m) < sizeof(rtmsg)) return std::nullopt;
      const Attributes<RTA_OIF> attributes(m, sizeof(rtmsg));
      out.kind = Kind::route_changed;
      out.index = u32_of(attributes[RTA_OIF], 0);
      return out;
    }
    default:
      return std::nullopt;
  }
}

// The namespace id that the kernel attaches to what comes from elsewhere.
std::optional<int> nsid_of(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID &&
        c->cmsg_len >= CMSG_LEN(sizeof(int))) {
      int nsid = 0;
      std::memcpy(&nsid, CMSG_DATA(c), sizeof nsid);
      return nsid;
    }
  }
  return std::nullopt;
}

void append(std::vector<LinkEvent>& out, LinkEvent event) {
  if (event.kind == LinkEvent::Kind::route_changed && !out.empty()) {
    const LinkEvent& last = out.back();
    if (last.kind == event.kind && last.index == event.index && last.nsid == event.nsid) return;
  }
  out.push_back(std::move(event));
}

}  // namespace

struct LinkEvents::Impl {
  explicit Impl(int descriptor) : fd(descriptor), buffer(kReceiveBytes) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { ::close(fd); }
  int fd;
  std::vector<char> buffer;
};

std::expected<LinkEvents, int> LinkEvents::open() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return std::unexpected(errno);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(close_and_fail(fd));
  }
  const int on = 1;
  // Needs CAP_NET_BROADCAST and Linux 4.2: without it a moved interface is seen through its TUN queue alone.
  (void)::setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on);
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kEventBufferBytes, sizeof kEventBufferBytes) != 0) {
    (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kEventBufferBytes, sizeof kEventBufferBytes);
  }
  for (const int group : kGroups) {
    if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return std::unexpected(close_and_fail(fd));
    }
  }
  LinkEvents out;
  out.impl_ = std::make_unique<Impl>(fd);
  return out;
}

LinkEvents::LinkEvents(LinkEvents&&) noexcept = default;
LinkEvents& LinkEvents::operator=(LinkEvents&&) noexcept = default;
LinkEvents::~LinkEvents() = default;

int LinkEvents::fd() const {
  return impl_->fd;
}

std::vector<LinkEvent> LinkEvents::read() {
  std::vector<LinkEvent> out;
  for (int i = 0; i < kDatagramsPerRead; ++i) {
    alignas(cmsghdr) std::array<char, 128> control{};
    sockaddr_nl from{};
    iovec part{impl_->buffer.data(), impl_->buffer.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(impl_->fd, &message, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != ENOBUFS) break;
      LinkEvent overrun{};
      overrun.kind = LinkEvent::Kind::overrun;
      out.push_back(overrun);
      continue;
    }
    if (from.nl_pid != 0) continue;  // only the kernel speaks here
    const std::optional<int> nsid = nsid_of(message);
    int left = static_cast<int>(got);
    for (const auto* m = reinterpret_cast<const nlmsghdr*>(impl_->buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      auto event = event_of(m);
      if (!event) continue;
      event->nsid = nsid;
      event->from_other_namespace = nsid.has_value();
      append(out, std::move(*event));
    }
  }
  return out;
}

}  // namespace hats::tun
