// Handshake initiations as load: of peers that the responder knows, to count what it answers; and forged
// ones, or plain random bytes, as a flood.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/address.hpp"
#include "crypto/keys.hpp"
#include "tools/hatsd-user/bench/network_space.hpp"

namespace hats::bench {

using app::AppResult;
using app::bench::NetworkSpace;

/// The key pair of test peer `number`; the same in every process, so that whoever configures the responder
/// can ask for the public keys.
[[nodiscard]] crypto::PrivateKey peer_key(unsigned number);

struct Responder {
  Endpoint at;
  crypto::PublicKey key;
};

enum class FloodKind : uint8_t {
  initiations,  // forged, with a valid mac1: the responder must do Diffie-Hellman or answer with a cookie
  random        // 148 random bytes
};

struct FloodResult {
  uint64_t sent = 0;
  double seconds = 0;
};

/// Sends `rate` datagrams of 148 bytes a second from `source` for `seconds`.
[[nodiscard]] AppResult<FloodResult> flood(const NetworkSpace& from, const IpAddress& source,
                                           const Responder& to, FloodKind kind, double rate, double seconds);

struct HandshakeLoad {
  unsigned first_peer = 0, peers = 1;  // numbers of peer_key()
  IpAddress first_source;              // each peer has an address of its own: peer n sends from this one + n
  unsigned window = 16;                // initiations without an answer, at the most
  double timeout_s = 0.2;              // after which one counts as unanswered
  double seconds = 1;                  // of sending, at the most
  unsigned most = 10'000;              // initiations, made before the clock starts
};

struct HandshakeResult {
  unsigned sent = 0, sessions = 0, cookies = 0;
  double seconds = 0;
  std::vector<double> answer_ms;  // from initiation to response, of those that were answered
};

/// Initiations of known peers in turn, never more than `window` at a time: what the responder can answer
/// without being under load. A cookie is counted, not used: the peer's next initiation is a new one. Each
/// response is checked: only a session counts.
[[nodiscard]] AppResult<HandshakeResult> load_handshakes(const NetworkSpace& from, const Responder& to,
                                                         const HandshakeLoad& load);

}  // namespace hats::bench
