// Packets that the kernel merged, or whose transport checksum it left unfinished, before our raw socket saw
// them (formats.md 5.5). GRO merges TCP segments inside GRE and SIT: the inner IP header then states the
// whole length, and the TCP checksum field holds the folded pseudo-header sum (Linux tcp_gro_complete), for
// the device that would finish it. A sender on this very host, behind a veth or a virtual machine's TAP,
// leaves single TCP and UDP packets in the same state.
//
// Only the checksum tells; a length does not. What such a packet held on the wire was verified by the kernel
// part by part (tcp4_gro_receive, tcp6_gro_receive; the GRE checksum too, gre_gro_receive) or never left this
// host. A remote that forges the state gains nothing: it could as well send the right checksum.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/packet/ip_view.hpp"
#include "core/packet/piece.hpp"

namespace hats::encap {

/// Where the checksum of an inner TCP or UDP packet is.
struct TransportChecksum {
  uint8_t protocol = 0;  // TCP or UDP
  uint16_t start = 0;    // bytes from the IP header to the transport header
  uint16_t field = 0;    // bytes from there to the checksum
};

/// nullopt: a fragment, neither TCP nor UDP, its header not whole, or IPv4 with a wrong header checksum
/// (which nobody may repair).
[[nodiscard]] std::optional<TransportChecksum> find_checksum(const packet::IpView& ip) noexcept;

/// Whether the field holds the pseudo-header sum, and that is not by chance the right checksum. Costs a pass
/// over the packet only if it does.
[[nodiscard]] bool is_unfinished(const packet::IpView& ip, const TransportChecksum& where) noexcept;

/// Makes the checksum of an unfinished packet right. `packet`: the IP packet, as long as its header says.
void finish_checksum(ByteSpan packet, const TransportChecksum& where) noexcept;

/// How a merged TCP packet larger than `mtu` is to be written: in segments of at most `segment` bytes of
/// payload (at least 1), none larger than `mtu`. Kind none: it cannot be cut (no such segment, a header above
/// packet::HeadArena::kMaxHead, or flags that the kernel never merges).
[[nodiscard]] packet::Offload describe_merged(const packet::IpView& ip, const TransportChecksum& where,
                                              uint32_t mtu, uint32_t segment) noexcept;

/// The packet size that a link is taken to carry when nothing is known: IPv6 demands it of every link (RFC
/// 8200 5).
inline constexpr uint32_t kSafePacket = 1'280;

/// The size of the segments that a merged packet was made of, guessed. GRO does not tell it. A guess above
/// the truth does harm where the packet is forwarded over a link narrower than ours: its sender has already
/// been told, keeps to it, and would be told again forever. One below the truth costs a few more packets. So
/// the guess is what the flow was last seen to send unmerged (a segment of full size, or less), and until
/// then what every link carries.
///
/// A direct-mapped table: a flow whose place another one takes falls back to that.
class SegmentSizes {
 public:
  static constexpr size_t kFlows = 1'024;  // a power of two

  /// An unmerged packet; counts if it is TCP with data.
  void saw_single(const packet::IpView& ip, const TransportChecksum& where) noexcept;
  /// Payload bytes a segment, at least 1, for a merged TCP packet of this flow.
  [[nodiscard]] uint32_t guess(const packet::IpView& ip, const TransportChecksum& where) const noexcept;

 private:
  struct Entry {
    uint32_t flow = 0;  // hash of addresses and ports; 0: free
    uint16_t payload = 0;
  };
  std::array<Entry, kFlows> entries_{};
};

}  // namespace hats::encap
