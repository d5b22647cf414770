// The words in which tun/ and core speak of packets that lie in slabs which somebody else owns. Nothing here
// copies payload. The lender of the memory promises that it stays until the batch is committed and its output
// is sent.
#pragma once

#include <cstdint>
#include <vector>

#include "crypto/bytes.hpp"

namespace hats::packet {

/// One IP packet to be sent through a tunnel.
struct Piece {
  uint8_t* data = nullptr;  // first byte of the IP header (of its place, if head_size > 0)
  uint32_t size = 0;        // bytes of the IP packet
  uint32_t room = 0;        // bytes behind data + size that may be overwritten when this piece is worked on
  uint16_t head_size =
      0;  // if not 0: the true first head_size bytes are at `head`, and must be copied over data
  const uint8_t* head =
      nullptr;  //   just before this piece is used, after all pieces before it have been used

  /// The bytes of the header, wherever they are now: valid for reading the first max(head_size, ...) bytes of
  /// headers.
  [[nodiscard]] ByteView header() const {
    return head_size ? ByteView{head, head_size} : ByteView{data, size};
  }
};

/// What a virtio-net header says of one TUN read, or is to say of one TUN write, in our words.
struct Offload {
  enum class Kind : uint8_t { none, tcp4, tcp6, udp };  // udp: USO, either family
  Kind kind = Kind::none;
  bool needs_checksum = false;   // the transport checksum holds only the folded pseudo-header sum
  bool ecn = false;              // TSO_ECN: CWR in the first segment only
  uint16_t checksum_start = 0;   // offset from the IP header
  uint16_t checksum_offset = 0;  // from checksum_start
  uint16_t header_size = 0;      // IP + transport headers (0: unknown)
  uint16_t segment_size = 0;     // payload bytes a segment
};

/// Memory for the headers of the segments of one batch; cleared, not freed, between batches.
class HeadArena {
 public:
  static constexpr size_t kMaxHead =
      128;  // IPv6 with options and TCP with options; larger headers are copied apart
  explicit HeadArena(size_t heads) : bytes_(heads * kMaxHead) {}
  /// kMaxHead bytes, or nullptr when the arena is used up.
  uint8_t* take() {
    return used_ + kMaxHead > bytes_.size() ? nullptr : &bytes_[(used_ += kMaxHead) - kMaxHead];
  }
  void clear() { used_ = 0; }
  /// How many heads it holds, and how many take() can still give.
  [[nodiscard]] size_t capacity() const { return bytes_.size() / kMaxHead; }
  [[nodiscard]] size_t left() const { return (bytes_.size() - used_) / kMaxHead; }

 private:
  std::vector<uint8_t> bytes_;
  size_t used_ = 0;
};

/// One part of a gathered TUN write.
struct Fragment {
  const uint8_t* data = nullptr;
  uint32_t size = 0;
};

}  // namespace hats::packet
