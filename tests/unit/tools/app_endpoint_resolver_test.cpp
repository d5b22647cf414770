// Endpoints by name (formats.md 1.3): looked up in the background, and again when handshakes fail. The names
// are those of /etc/hosts.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <utility>
#include <vector>

#include "tools/hatsd-user/daemon/endpoint_resolver.hpp"

namespace hats::app {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const crypto::PublicKey kPeer{{1}};

Endpoint at(const char* address, uint16_t port) {
  return {.address = *IpAddress::parse(address), .port = port};
}

class EndpointResolverTest : public ::testing::Test {
 protected:
  /// Lets what is under way end; what waits for a retry is not waited for.
  void settle(const EndpointResolver& resolver) {
    const auto deadline = Clock::now() + 10s;
    io_.restart();
    while (Clock::now() < deadline && io_.run_one_for(200ms) != 0) {
      if (!resolver.waiting().empty() && !resolver.waiting().front().error.empty()) break;
    }
  }
  /// What `name` leads to, in the resolver's order.
  std::vector<Endpoint> addresses_of(const char* name) {
    std::vector<Endpoint> out;
    boost::asio::ip::udp::resolver plain(io_);
    for (const auto& one : plain.resolve(name, "51820")) {
      out.push_back(at(one.endpoint().address().to_string().c_str(), 51820));
    }
    return out;
  }
  std::vector<wg::PeerStatus> peer_at(const Endpoint& endpoint, bool failing) {
    wg::PeerStatus status;
    status.public_key = kPeer;
    status.endpoint = endpoint;
    status.handshake_failing = failing;
    return {status};
  }

  boost::asio::io_context io_;
  std::vector<std::pair<crypto::PublicKey, Endpoint>> told_;
  EndpointResolver resolver_{io_, "wgr", [this](const crypto::PublicKey& peer, const Endpoint& endpoint) {
                               told_.emplace_back(peer, endpoint);
                             }};
  const config::EndpointText kLocalhost{.host = "localhost", .port = "51820"};
};

TEST_F(EndpointResolverTest, ANameIsLookedUpAndItsFirstAddressTold) {
  resolver_.watch(kPeer, kLocalhost);
  ASSERT_EQ(resolver_.waiting().size(), 1U);
  EXPECT_EQ(resolver_.waiting()[0].name, "localhost:51820");
  settle(resolver_);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].first, kPeer);
  EXPECT_EQ(told_[0].second, addresses_of("localhost").front());
  EXPECT_TRUE(resolver_.waiting().empty());
}

TEST_F(EndpointResolverTest, WhatCannotBeLookedUpWaitsAndSaysWhy) {
  resolver_.watch(kPeer, {.host = "127.0.0.1", .port = "no-such-service"});
  settle(resolver_);
  EXPECT_TRUE(told_.empty());
  ASSERT_EQ(resolver_.waiting().size(), 1U);
  EXPECT_FALSE(resolver_.waiting()[0].error.empty());
}

TEST_F(EndpointResolverTest, AnAnswerForAPeerThatHasItsEndpointFromElsewhereMeanwhileIsDropped) {
  resolver_.watch(kPeer, kLocalhost);
  resolver_.forget(kPeer);
  settle(resolver_);
  EXPECT_TRUE(told_.empty());
}

TEST_F(EndpointResolverTest, ANameIsLookedUpAgainOnlyIfHandshakesFailAndThirtySecondsHavePassed) {
  resolver_.watch(kPeer, {.host = "127.0.0.1", .port = "domain"});
  settle(resolver_);
  ASSERT_EQ(told_.size(), 1U);
  const Endpoint elsewhere = at("192.0.2.7", 4000);
  resolver_.check(peer_at(elsewhere, false), Clock::now() + 1h);
  resolver_.check(peer_at(elsewhere, true), Clock::now() + 25s);
  settle(resolver_);
  EXPECT_EQ(told_.size(), 1U);
  resolver_.check(peer_at(elsewhere, true), Clock::now() + 31s);
  settle(resolver_);
  EXPECT_EQ(told_.size(), 2U);
}

TEST_F(EndpointResolverTest, APeerThatRoamedAndFellSilentIsSoughtAtItsNameAgain) {
  resolver_.watch(kPeer, {.host = "127.0.0.1", .port = "domain"});
  settle(resolver_);
  ASSERT_EQ(told_.size(), 1U);
  // The name has the one address that it always had; the peer was last heard at another.
  resolver_.check(peer_at(at("192.0.2.7", 4000), true), Clock::now() + 31s);
  settle(resolver_);
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[1].second, at("127.0.0.1", 53));
  // Silent there as well, and the name knows no other: nothing is new.
  resolver_.check(peer_at(told_[1].second, true), Clock::now() + 62s);
  settle(resolver_);
  EXPECT_EQ(told_.size(), 2U);
}

TEST_F(EndpointResolverTest, TheNextAddressOfANameIsTriedWhenOneIsSilent) {
  // No name at all is the loopback of both families.
  const std::vector<Endpoint> all = addresses_of("");
  ASSERT_EQ(all.size(), 2U);
  resolver_.watch(kPeer, {.host = "", .port = "51820"});
  settle(resolver_);
  resolver_.check(peer_at(all[0], true), Clock::now() + 31s);
  settle(resolver_);
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[1].second, all[1]);
}

}  // namespace
}  // namespace hats::app
