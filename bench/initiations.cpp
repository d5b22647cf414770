#include "bench/initiations.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <optional>

#include "core/wg/cookie.hpp"
#include "core/wg/handshake.hpp"
#include "crypto/x25519.hpp"
#include "tools/hatsd-user/bench/clock.hpp"
#include "tools/hatsd-user/bench/paced_link.hpp"
#include "transport/message.hpp"

namespace hats::bench {

using app::bench::seconds_now;
using app::bench::sleep_seconds;

namespace {

constexpr unsigned kFloodMessages = 4'096;  // different ones, sent in turn
constexpr unsigned kBatch = 32;
constexpr size_t kSize = sizeof(wg::InitiationMessage);

AppResult<transport::UniqueFd> connected(const NetworkSpace& from, const IpAddress& source,
                                         const Endpoint& to) {
  const app::bench::StayInSpace stay(from);
  transport::UniqueFd fd(
      socket(to.address.family == Family::v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return app::fail(app::errno_text("UDP socket", errno));
  transport::set_buffers(fd.get(), transport::kSocketBuffer, transport::kSocketBuffer);
  sockaddr_in6 name{};
  socklen_t size = transport::fill_name({.address = source}, name);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    return app::fail(app::errno_text(source.text(), errno));
  }
  size = transport::fill_name(to, name);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    return app::fail(app::errno_text(to.text(), errno));
  }
  return fd;
}

std::vector<wg::InitiationMessage> flood_messages(const crypto::PublicKey& responder, FloodKind kind) {
  crypto::SystemRng rng;
  wg::CookieGenerator macs(responder);
  std::vector<wg::InitiationMessage> out(kFloodMessages);
  for (wg::InitiationMessage& message : out) {
    rng.fill({reinterpret_cast<uint8_t*>(&message), sizeof message});
    if (kind == FloodKind::random) continue;
    message.type = {1, 0, 0, 0};
    macs.add_macs(message, BootTime{});
  }
  return out;
}

// Time stamps grow with each message of a peer; the responder lets 50 a second pass at the most.
wg::Tai64n stamp(unsigned turn) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return wg::Tai64n::from({now.tv_sec + turn, 0});
}

// The peers of a handshake load with their initiations, and what is on its way.
class Initiators {
 public:
  static AppResult<Initiators> make(const NetworkSpace& from, const Responder& to,
                                    const HandshakeLoad& load) {
    if (load.peers == 0) return app::fail("no peers to begin handshakes for");
    Initiators out;
    crypto::SystemRng rng;
    for (unsigned i = 0; i < load.peers; ++i) {
      auto fd = connected(from, app::bench::address_after(load.first_source, i), to.at);
      if (!fd) return std::unexpected(fd.error());
      Peer& peer = out.peers_.emplace_back();
      peer.line = std::move(*fd);
      peer.self.private_key = peer_key(load.first_peer + i);
      peer.self.public_key = crypto::public_key_of(peer.self.private_key);
      peer.remote.public_key = to.key;
      peer.remote.precompute(peer.self);
    }
    for (unsigned i = 0; i < load.most; ++i) {
      Peer& peer = out.peers_[i % load.peers];
      Initiation& one = out.initiations_.emplace_back();
      one.peer = i % load.peers;
      auto pending =
          wg::create_initiation(peer.self, peer.remote, stamp(i / load.peers), i, rng, one.message);
      if (!pending) return app::fail("the responder's key is none");
      one.pending = std::move(*pending);
      wg::CookieGenerator(to.key).add_macs(one.message, BootTime{});
    }
    return out;
  }

  HandshakeResult run(const HandshakeLoad& load) {
    const double begin = seconds_now();
    for (;;) {
      const double now = seconds_now();
      while (!waiting_.empty() && initiations_[waiting_.front()].settled(now, load.timeout_s)) {
        in_flight_ -= static_cast<unsigned>(!initiations_[waiting_.front()].answered);
        waiting_.pop_front();
      }
      const bool more = next_ < initiations_.size() && now - begin < load.seconds;
      if (!more && in_flight_ == 0) break;
      while (more && next_ < initiations_.size() && in_flight_ < load.window) send_next();
      collect();
    }
    result_.seconds = seconds_now() - begin;
    return std::move(result_);
  }

 private:
  struct Peer {
    transport::UniqueFd line;
    wg::StaticIdentity self;
    wg::RemoteIdentity remote;
  };
  struct Initiation {
    unsigned peer = 0;
    wg::InitiationMessage message;
    wg::PendingInitiation pending;
    double sent_at = 0;
    bool answered = false;
    [[nodiscard]] bool settled(double now, double timeout) const {
      return answered || now - sent_at > timeout;
    }
  };

  void send_next() {
    Initiation& one = initiations_[next_];
    one.sent_at = seconds_now();
    (void)send(peers_[one.peer].line.get(), &one.message, kSize, 0);
    waiting_.push_back(next_++);
    ++in_flight_;
    ++result_.sent;
  }

  // Waits a little for answers to what is on its way, and takes them.
  void collect() {
    std::vector<pollfd> lines;
    std::vector<unsigned> whose;
    for (const unsigned number : waiting_) {
      if (initiations_[number].answered) continue;
      lines.push_back({peers_[initiations_[number].peer].line.get(), POLLIN, 0});
      whose.push_back(initiations_[number].peer);
    }
    if (poll(lines.data(), lines.size(), 10) <= 0) return;
    for (size_t i = 0; i < lines.size(); ++i) {
      if ((lines[i].revents & POLLIN) != 0) take(peers_[whose[i]]);
    }
  }

  void take(const Peer& peer) {
    std::array<uint8_t, 2'048> data;
    for (;;) {
      const ssize_t size = recv(peer.line.get(), data.data(), data.size(), MSG_DONTWAIT);
      if (size < 0) return;
      const ByteView bytes{data.data(), static_cast<size_t>(size)};
      const auto type = wg::classify(bytes);
      if (type == wg::MessageType::cookie_reply) {
        settle(load_le32(data.data() + 4), nullptr, peer);
      } else if (type == wg::MessageType::response) {
        const auto response = wg::read_message<wg::ResponseMessage>(bytes);
        settle(load_le32(response.receiver.data()), &response, peer);
      }
    }
  }

  // `response`: nullptr for a cookie.
  void settle(uint32_t number, const wg::ResponseMessage* response, const Peer& peer) {
    if (number >= next_ || initiations_[number].answered) return;
    Initiation& one = initiations_[number];
    const bool late = std::ranges::find(waiting_, number) == waiting_.end();
    one.answered = true;
    if (!late) --in_flight_;
    if (response == nullptr) {
      ++result_.cookies;
    } else if (wg::consume_response(peer.self, peer.remote, one.pending, *response)) {
      ++result_.sessions;
      result_.answer_ms.push_back((seconds_now() - one.sent_at) * 1e3);
    }
  }

  std::vector<Peer> peers_;
  std::vector<Initiation> initiations_;
  std::deque<unsigned>
      waiting_;  // numbers of initiations, in order of sending; answered ones go when they are first
  unsigned next_ = 0, in_flight_ = 0;
  HandshakeResult result_;
};

}  // namespace

crypto::PrivateKey peer_key(unsigned number) {
  crypto::PrivateKey key;
  store_le32(key.span().data(), number + 1);
  key.span()[16] = 0x42;
  crypto::clamp(key);
  // Clamping clears the lowest three bits: the number must not be there alone.
  store_le32(key.span().data() + 8, number + 1);
  return key;
}

AppResult<FloodResult> flood(const NetworkSpace& from, const IpAddress& source, const Responder& to,
                             FloodKind kind, double rate, double seconds) {
  auto line = connected(from, source, to.at);
  if (!line) return std::unexpected(line.error());
  std::vector<wg::InitiationMessage> messages = flood_messages(to.key, kind);
  std::vector<iovec> parts;
  parts.reserve(messages.size());
  for (wg::InitiationMessage& message : messages) parts.push_back({&message, kSize});
  std::array<mmsghdr, kBatch> batch{};
  FloodResult out;
  const double begin = seconds_now();
  size_t next = 0;
  while ((out.seconds = seconds_now() - begin) < seconds) {
    const auto due = static_cast<int64_t>(out.seconds * rate) - static_cast<int64_t>(out.sent);
    if (due <= 0) {
      sleep_seconds(50e-6);
      continue;
    }
    const auto count = static_cast<unsigned>(std::min<int64_t>(due, kBatch));
    for (unsigned i = 0; i < count; ++i) {
      batch[i].msg_hdr.msg_iov = &parts[next];
      batch[i].msg_hdr.msg_iovlen = 1;
      next = (next + 1) % parts.size();
    }
    const int sent = sendmmsg(line->get(), batch.data(), count, MSG_DONTWAIT);
    // What the host refuses (ECONNREFUSED of a dead responder, a full queue) has been sent as far as the rate
    // goes.
    out.sent += sent > 0 ? static_cast<unsigned>(sent) : 1;
  }
  return out;
}

AppResult<HandshakeResult> load_handshakes(const NetworkSpace& from, const Responder& to,
                                           const HandshakeLoad& load) {
  auto initiators = Initiators::make(from, to, load);
  if (!initiators) return std::unexpected(initiators.error());
  return initiators->run(load);
}

}  // namespace hats::bench
