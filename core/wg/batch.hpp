// The batches that travel through plan, work and commit (DESIGN.md 4). plan and commit belong to the owner of
// the device; work is pure and may run on any thread. A batch is made once, and cleared, not freed, between
// uses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/address.hpp"
#include "core/base/time.hpp"
#include "core/packet/piece.hpp"
#include "crypto/aead.hpp"

namespace hats::wg {

class Keypair;
// Index of a peer's slot in its device. A slot is reused after its peer is removed: commit tells the two
// apart by the keypair, and whoever holds a PeerId longer may at most forget another peer's source address.
using PeerId = uint32_t;
inline constexpr PeerId kNoPeer = 0xffff'ffff;

/// Datagrams to one peer that lie one behind another in a lent slab, ready for one UDP_SEGMENT send: all of
/// segment_size bytes, the last one possibly shorter.
struct DatagramRun {
  const uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t segment_size = 0;
  uint16_t slab = 0;  // index of the lent slab that holds it
  uint8_t ds = 0;     // outer TOS or traffic class
  PeerId peer = kNoPeer;
  Endpoint to{};
  LocalSource from{};
};

/// Packets on their way out. Lend slabs, plan, work, commit, send runs() in order, clear.
class OutboundBatch {
 public:
  /// One slab takes at most this much, which is what one UDP_SEGMENT send can carry.
  static constexpr uint32_t kMaxRunBytes = 65'000;
  static constexpr uint32_t kMaxRunDatagrams = 64;

  void lend(ByteSpan slab) { slabs.push_back({slab, 0}); }
  void clear();

  struct LentSlab {
    ByteSpan bytes;
    uint32_t used = 0;
  };
  /// Jobs [first, first + count) are sealed under one keypair.
  struct KeyRun {
    std::shared_ptr<Keypair> keypair;
    PeerId peer = kNoPeer;
    uint32_t first = 0, count = 0;
    uint32_t data_packets = 0;  // of them, not keepalives
    uint64_t bytes = 0;         // of the datagrams
  };

  std::vector<LentSlab> slabs;
  std::vector<crypto::SealJob> jobs;
  std::vector<KeyRun> key_runs;
  std::vector<DatagramRun> runs;
  std::vector<std::vector<uint8_t>> staged;  // storage of staged packets that jobs point into
};

/// One receive: one datagram, or several of segment_size bytes (the last may be shorter) that GRO has merged.
struct Received {
  ByteSpan bytes;
  uint32_t segment_size = 0;  // 0 or bytes.size(): a single datagram
  Endpoint from{};
  LocalSource to{};
  uint8_t ds = 0;    // outer TOS or traffic class
  uint32_t tag = 0;  // the caller's; comes back with each inner packet
};

/// A decapsulated packet: an IP packet of the length its header says, in place in the receive's memory.
struct InnerPacket {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint32_t tag = 0;
};

/// Packets on their way in. plan cuts and looks up, work opens in place, commit checks in order.
class InboundBatch {
 public:
  void clear();

  struct Entry {
    PeerId peer = kNoPeer;
    uint32_t received = 0;  // index of the Received it came in
  };
  struct KeyRun {
    std::shared_ptr<Keypair> keypair;
    PeerId peer = kNoPeer;
    uint32_t first = 0, count = 0;  // into jobs
  };

  std::vector<Received> received;
  std::vector<crypto::OpenJob> jobs;
  std::vector<Entry> entries;  // one a job
  std::vector<KeyRun> key_runs;
};

}  // namespace hats::wg
