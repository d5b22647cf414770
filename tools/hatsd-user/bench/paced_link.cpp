#include "tools/hatsd-user/bench/paced_link.hpp"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "tools/hatsd-user/bench/clock.hpp"
#include "transport/message.hpp"

namespace hats::app::bench {

namespace {

constexpr unsigned kBatch = 32;            // packets of one sendmmsg or recvmmsg
constexpr int kBuffer = 16 << 20;          // bytes; the tunnel is measured, not these sockets
constexpr double kPause = 20e-6;           // seconds that the sender sleeps when nothing is due
constexpr double kMostDebt = 2e-3;         // seconds' worth of packets that a late sender makes up for
constexpr double kLastPacketAfter = 0.15;  // seconds without a packet after which none is expected

AppResult<transport::UniqueFd> udp_socket(Family family, const NetworkSpace& space) {
  const StayInSpace stay(space);
  if (!stay.entered()) return fail(errno_text("cannot enter a network namespace", errno));
  transport::UniqueFd fd(socket(family == Family::v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(errno_text("UDP socket", errno));
  transport::set_buffers(fd.get(), kBuffer, kBuffer);
  return fd;
}

}  // namespace

IpAddress address_after(IpAddress first, unsigned n) {
  for (size_t i = first.view().size(); i-- > 0 && n != 0; n >>= 8) {
    n += first.bytes[i];
    first.bytes[i] = static_cast<uint8_t>(n);
  }
  return first;
}

AppResult<PacedLink> PacedLink::open(const NetworkSpace& from, const NetworkSpace& to, const Endpoint& first,
                                     unsigned flows) {
  PacedLink out;
  auto sender = udp_socket(first.address.family, from);
  if (!sender) return std::unexpected(sender.error());
  auto receiver = udp_socket(first.address.family, to);
  if (!receiver) return std::unexpected(receiver.error());
  out.sender_ = std::move(*sender);
  out.receiver_ = std::move(*receiver);

  sockaddr_in6 name{};
  Endpoint any = first;
  any.address.bytes = {};
  socklen_t size = transport::fill_name(any, name);
  if (bind(out.receiver_.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    return fail(errno_text("UDP port " + std::to_string(first.port), errno));
  }
  const timeval wait{.tv_sec = 0, .tv_usec = static_cast<suseconds_t>(kLastPacketAfter * 1e6)};
  (void)setsockopt(out.receiver_.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);

  out.flows_.reserve(flows);
  for (unsigned i = 0; i < flows; ++i) {
    out.flows_.push_back(first);
    out.flows_.back().address = address_after(first.address, i);
  }
  if (flows == 1) {
    size = transport::fill_name(first, name);
    if (connect(out.sender_.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
      return fail(errno_text(first.text(), errno));
    }
  }
  return out;
}

PacedLink::Counted PacedLink::send(uint32_t size, double rate, double seconds, uint64_t mark) const {
  (void)prctl(PR_SET_TIMERSLACK, 1UL);  // nanoseconds, of this thread
  std::vector<uint8_t> payload(size);
  std::memcpy(payload.data(), &mark, sizeof mark);
  std::vector<sockaddr_in6> names(flows_.size());
  std::vector<socklen_t> name_sizes;
  name_sizes.reserve(flows_.size());
  for (size_t i = 0; i < flows_.size(); ++i) name_sizes.push_back(transport::fill_name(flows_[i], names[i]));
  iovec part{payload.data(), size};
  std::array<mmsghdr, kBatch> messages{};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_iov = &part;
    message.msg_hdr.msg_iovlen = 1;
  }
  size_t flow = 0;
  Counted out;
  double owed_since = seconds_now();  // when the packet to be sent next was due
  const double begin = owed_since;
  for (;;) {
    const double now = seconds_now();
    out.seconds = now - begin;
    if (out.seconds >= seconds) return out;
    owed_since = std::max(owed_since, now - kMostDebt - kBatch / rate);
    const auto due = static_cast<int64_t>((now - owed_since) * rate);
    if (due <= 0) {
      sleep_seconds(kPause);
      continue;
    }
    const auto count = static_cast<unsigned>(std::min<int64_t>(due, kBatch));
    if (flows_.size() > 1) {
      for (unsigned i = 0; i < count; ++i) {
        messages[i].msg_hdr.msg_name = &names[flow];
        messages[i].msg_hdr.msg_namelen = name_sizes[flow];
        flow = (flow + 1) % flows_.size();
      }
    }
    const int sent = sendmmsg(sender_.get(), messages.data(), count, 0);
    if (sent > 0) out.packets += static_cast<unsigned>(sent);
    owed_since += count / rate;
  }
}

uint64_t PacedLink::receive(uint64_t mark) const {
  std::vector<std::array<uint8_t, kMostPayload>> buffers(kBatch);
  std::array<iovec, kBatch> parts;
  std::array<mmsghdr, kBatch> messages{};
  for (unsigned i = 0; i < kBatch; ++i) {
    parts[i] = {buffers[i].data(), kMostPayload};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t packets = 0;
  for (;;) {
    const int got = recvmmsg(receiver_.get(), messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return packets;
    for (unsigned i = 0; i < static_cast<unsigned>(got); ++i) {
      uint64_t marked = 0;
      if (messages[i].msg_len >= sizeof marked) std::memcpy(&marked, buffers[i].data(), sizeof marked);
      packets += static_cast<uint64_t>(marked == mark);
    }
  }
}

RateTrial PacedLink::run(uint32_t size, double rate, double seconds) {
  const uint64_t mark = (uint64_t{0x6861747370616365} ^ ++run_);
  uint64_t received = 0;
  std::thread sink([&] { received = receive(mark); });
  const Counted sent = send(std::clamp<uint32_t>(size, sizeof mark, kMostPayload), rate, seconds, mark);
  sink.join();
  return {.offered = rate,
          .sent = static_cast<double>(sent.packets) / sent.seconds,
          .delivered = static_cast<double>(received) / sent.seconds};
}

RateTrial search_rate(PacedLink& link, uint32_t size, double seconds, const RateSearchOptions& options) {
  RateSearch search(options);
  while (const auto rate = search.next()) search.tried(link.run(size, *rate, seconds));
  return search.best();
}

}  // namespace hats::app::bench
