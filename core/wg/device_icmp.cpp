// ICMP errors for inner packets that have no way out (formats.md 5.5; RFC 1122 3.2.2, RFC 4443 2.4).
#include <cstring>

#include "core/packet/ip_view.hpp"
#include "core/wg/device_impl.hpp"

namespace hats::wg {
namespace {

// What an error may quote: IPv4 errors stay within 576 bytes, IPv6 errors within 1,280.
constexpr size_t kQuoteV4 = 576 - 20 - 8;
constexpr size_t kQuoteV6 = 1'280 - 40 - 8;

bool is_icmp_v4_error(uint8_t type) noexcept {
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

// RFC 1122 3.2.2: never about an ICMP error, a later fragment, or anything multicast, broadcast or
// sourceless.
bool may_answer_v4(ByteView packet) noexcept {
  const uint32_t source = load_be32(&packet[12]), destination = load_be32(&packet[16]);
  const auto is_group = [](uint32_t address) {
    return address >= 0xe000'0000;
  };  // multicast, reserved, broadcast
  if (source >> 24 == 0 || is_group(source) || is_group(destination)) return false;
  if ((load_be16(&packet[6]) & 0x1fff) != 0) return false;
  if (packet[9] != packet::kProtoIcmp) return true;
  const size_t header = size_t{packet[0]} % 16 * 4;
  return header < packet.size() && !is_icmp_v4_error(packet[header]);
}

// RFC 4443 2.4 (e): the same, with ICMPv6 found behind extension headers.
bool may_answer_v6(ByteView packet) noexcept {
  static constexpr std::array<uint8_t, 16> kUnspecified{};
  if (packet[8] == 0xff || packet[24] == 0xff || std::memcmp(&packet[8], kUnspecified.data(), 16) == 0) {
    return false;
  }
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kDestination = 60;
  uint8_t next = packet[6];
  size_t offset = packet::kIpv6Header;
  while (next == kHopByHop || next == kRouting || next == kDestination || next == packet::kProtoFragment) {
    if (offset + 8 > packet.size()) return false;
    const bool fragment = next == packet::kProtoFragment;
    if (fragment && (load_be16(&packet[offset + 2]) & 0xfff8) != 0) return false;
    next = packet[offset];
    offset += fragment ? 8 : (size_t{packet[offset + 1]} + 1) * 8;
  }
  if (next != packet::kProtoIcmpV6) return true;
  return offset < packet.size() && packet[offset] >= 128;
}

}  // namespace

void Device::Impl::owe_icmp(BootTime now, const packet::Piece& piece) {
  const bool v4 = (piece.header()[0] >> 4) == 4;
  IcmpError error;
  error.packet.assign(piece.data, piece.data + std::min<size_t>(piece.size, v4 ? kQuoteV4 : kQuoteV6));
  if (piece.head_size != 0) {
    std::memcpy(error.packet.data(), piece.head, std::min<size_t>(piece.head_size, error.packet.size()));
  }
  if (!(v4 ? may_answer_v4(error.packet) : may_answer_v6(error.packet))) return;
  if (icmp.size() >= kMaxQueuedIcmp || !icmp_limit.allow(now)) return;
  error.type = v4 ? 3 : 1;  // destination unreachable
  error.code = v4 ? 1 : 3;  // host, address
  icmp.push(std::move(error));
}

bool Device::poll_icmp(IcmpError& out) {
  if (impl_->icmp.empty()) return false;
  out = std::move(impl_->icmp.front());
  impl_->icmp.pop();
  return true;
}

}  // namespace hats::wg
