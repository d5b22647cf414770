// Endpoints given by name: looked up in the background, again until it works, and again when handshakes fail
// (formats.md 1.3, last line). On the control thread; the look-ups themselves run on Asio's resolver thread,
// in the namespace where the process was born.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/wg_quick.hpp"
#include "core/wg/device.hpp"
#include "crypto/keys.hpp"

namespace hats::app {

class EndpointResolver {
 public:
  /// Told of each new address of a peer.
  using Found = std::function<void(const crypto::PublicKey& peer, const Endpoint& endpoint)>;

  EndpointResolver(boost::asio::io_context& io, std::string interface, Found found);

  /// Looks `name` up for `peer` until it is found, and keeps it in mind.
  void watch(const crypto::PublicKey& peer, const config::EndpointText& name);
  /// The peer is gone, or has got its endpoint from elsewhere.
  void forget(const crypto::PublicKey& peer);
  void forget_all() { entries_.clear(); }
  /// Looks up again the names of peers whose handshakes fail, each at most every kResolveAgain (30 s).
  void check(const std::vector<wg::PeerStatus>& peers, std::chrono::steady_clock::time_point now);
  [[nodiscard]] bool empty() const { return entries_.empty(); }

  struct Waiting {
    crypto::PublicKey peer;
    std::string name;   // "host:port"
    std::string error;  // of the last try; empty before the first answer
  };
  /// Names that have no address yet.
  [[nodiscard]] std::vector<Waiting> waiting() const;

 private:
  struct Entry {
    config::EndpointText name;
    uint64_t generation = 0;       // answers to older questions are dropped
    std::optional<Endpoint> last;  // the address that was told last, or does not answer now; unset: none yet
    std::string error;
    std::chrono::milliseconds delay{0};
    std::chrono::steady_clock::time_point asked{};
    bool asking = false;
    std::unique_ptr<boost::asio::steady_timer> retry;
  };
  using Protocol = boost::asio::ip::udp;

  void ask(const crypto::PublicKey& peer);
  void answer(const crypto::PublicKey& peer, uint64_t generation, const boost::system::error_code& error,
              const Protocol::resolver::results_type& results);
  void failed(const crypto::PublicKey& peer, Entry& entry, const std::string& why);

  std::string interface_;
  Found found_;
  boost::asio::io_context& io_;
  Protocol::resolver resolver_;
  std::map<crypto::PublicKey, Entry> entries_;
  uint64_t generations_ = 0;
};

}  // namespace hats::app
