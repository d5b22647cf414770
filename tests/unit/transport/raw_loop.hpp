// A loop with a raw receiver and a raw sender, for the tests of raw sockets.
#pragma once

#include "raw_support.hpp"

namespace hats::transport::test {

inline constexpr uint8_t kGre = 47;
inline constexpr Tag kReceiver = 1, kSender = 2;

class LoopRawTest : public LoopTest {
 protected:
  /// A new loop with a receiver and a sender (a loop runs once).
  void add(Family family, RawMode mode = RawMode::fragmentable);
  static RawSend to(const char* destination);
  /// A packet of a number alone, in its head.
  static RawSend numbered_packet(uint32_t number, const char* destination);
  void send_numbered(uint32_t number, const char* destination) {
    loop->send_raw(kSender, numbered_packet(number, destination));
  }
  /// Runs the loop until everything that was queued has been sent or refused; the errors of the refused ones,
  /// with their cookies.
  std::vector<std::pair<uint64_t, int>> run_until_sent(uint64_t sends);
  /// A loop for one packet of `size` bytes; the errno of its refusal, or 0.
  int send_one(const char* destination, Family family, RawMode mode, uint32_t size);

  UniqueFd receiver, sender;
};

}  // namespace hats::transport::test
