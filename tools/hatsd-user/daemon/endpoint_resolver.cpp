#include "tools/hatsd-user/daemon/endpoint_resolver.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace hats::app {

namespace {

using namespace std::chrono_literals;

// wg-quick's tools wait 1 s, growing by 1.2 up to 20 s, and give up; we do not give up (formats.md 1.3).
constexpr std::chrono::milliseconds kFirstRetry = 1s;
constexpr std::chrono::milliseconds kLastRetry = 20s;
constexpr std::chrono::milliseconds kResolveAgain = 30s;

std::chrono::milliseconds longer(std::chrono::milliseconds delay) {
  return delay == 0ms ? kFirstRetry : std::min(kLastRetry, delay * 6 / 5);
}

Endpoint endpoint_of(const boost::asio::ip::udp::endpoint& found) {
  Endpoint out;
  out.port = found.port();
  if (found.address().is_v4()) {
    out.address = IpAddress::v4(found.address().to_v4().to_bytes().data());
  } else {
    const auto v6 = found.address().to_v6();
    out.address = IpAddress::v6(v6.to_bytes().data());
    out.scope_id = static_cast<uint32_t>(v6.scope_id());
  }
  return out;
}

}  // namespace

EndpointResolver::EndpointResolver(boost::asio::io_context& io, std::string interface, Found found)
    : interface_(std::move(interface)), found_(std::move(found)), io_(io), resolver_(io) {}

void EndpointResolver::watch(const crypto::PublicKey& peer, const config::EndpointText& name) {
  Entry entry;
  entry.name = name;
  entry.generation = ++generations_;
  entry.retry = std::make_unique<boost::asio::steady_timer>(io_);
  entries_[peer] = std::move(entry);
  ask(peer);
}

void EndpointResolver::forget(const crypto::PublicKey& peer) {
  entries_.erase(peer);
}

void EndpointResolver::check(const std::vector<wg::PeerStatus>& peers,
                             std::chrono::steady_clock::time_point now) {
  for (const wg::PeerStatus& peer : peers) {
    const auto found = entries_.find(peer.public_key);
    if (!peer.handshake_failing || found == entries_.end() || !found->second.last || found->second.asking)
      continue;
    if (now - found->second.asked < kResolveAgain) continue;
    // The peer may have roamed since: then the name's address, although told before, is worth a try.
    if (peer.endpoint.is_set()) found->second.last = peer.endpoint;
    ask(peer.public_key);
  }
}

void EndpointResolver::ask(const crypto::PublicKey& peer) {
  Entry& entry = entries_.at(peer);
  entry.asking = true;
  entry.asked = std::chrono::steady_clock::now();
  resolver_.async_resolve(
      entry.name.host, entry.name.port,
      [this, peer, generation = entry.generation](const boost::system::error_code& error,
                                                  const Protocol::resolver::results_type& results) {
        if (error != boost::asio::error::operation_aborted) answer(peer, generation, error, results);
      });
}

void EndpointResolver::answer(const crypto::PublicKey& peer, uint64_t generation,
                              const boost::system::error_code& error,
                              const Protocol::resolver::results_type& results) {
  const auto found = entries_.find(peer);
  if (found == entries_.end() || found->second.generation != generation) return;
  Entry& entry = found->second;
  entry.asking = false;
  if (error || results.empty()) {
    failed(peer, entry, error ? error.message() : "no address");
    return;
  }
  std::vector<Endpoint> endpoints;
  for (const auto& result : results) endpoints.push_back(endpoint_of(result.endpoint()));
  entry.delay = 0ms;
  entry.error.clear();
  // We are here a second time because the address in use does not answer: take the one after it, if it is
  // still in the list; so a dead address family is left within two rounds.
  auto next = endpoints.begin();
  if (entry.last) {
    const auto current = std::find(endpoints.begin(), endpoints.end(), *entry.last);
    if (current != endpoints.end() && current + 1 != endpoints.end()) next = current + 1;
  }
  if (entry.last == *next) return;
  entry.last = *next;
  spdlog::info("{}: endpoint {} is {}", interface_, entry.name.text(), next->text());
  const auto tell = found_;
  tell(peer, *next);
}

void EndpointResolver::failed(const crypto::PublicKey& peer, Entry& entry, const std::string& why) {
  if (entry.error.empty()) {
    spdlog::warn("{}: endpoint {} cannot be looked up yet: {}", interface_, entry.name.text(), why);
  }
  entry.error = why;
  entry.delay = longer(entry.delay);
  entry.retry->expires_after(entry.delay);
  entry.retry->async_wait(
      [this, peer, generation = entry.generation](const boost::system::error_code& error) {
        if (error) return;
        const auto found = entries_.find(peer);
        if (found != entries_.end() && found->second.generation == generation) ask(peer);
      });
}

std::vector<EndpointResolver::Waiting> EndpointResolver::waiting() const {
  std::vector<Waiting> out;
  for (const auto& [peer, entry] : entries_) {
    if (!entry.last) out.push_back({peer, entry.name.text(), entry.error});
  }
  return out;
}

}  // namespace hats::app
