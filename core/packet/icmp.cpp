#include "core/packet/icmp.hpp"

#include <algorithm>

#include "core/packet/checksum.hpp"
#include "core/packet/ip_view.hpp"
#include "core/packet/path_mtu.hpp"

namespace hats::packet {

namespace {

constexpr uint8_t kUnreachableV4 = 3, kFragmentationNeeded = 4, kHostUnreachable = 1;
constexpr uint8_t kUnreachableV6 = 1, kTooBigV6 = 2, kAddressUnreachable = 3;
constexpr size_t kIcmpHeader = 8;
constexpr uint8_t kTtl = 64;
constexpr uint8_t kInternetControl = 0xc0;  // precedence of ICMP errors (RFC 1812 4.3.2.5)

// RFC 1122 3.2.2. Types beyond those that Linux knows count as errors.
bool is_icmp_error(uint8_t type) noexcept {
  constexpr uint8_t kLastKnown = 18;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12 || type > kLastKnown;
}

// RFC 4443 2.4 (e.1) and (e.2): error messages, and redirects.
bool is_icmp_v6_error(uint8_t type) noexcept {
  constexpr uint8_t kFirstInformational = 128, kRedirect = 137;
  return type < kFirstInformational || type == kRedirect;
}

bool may_answer_v4(ByteView packet, const IcmpMessage& message) noexcept {
  constexpr uint8_t kDontFragment = 0x40;
  const uint32_t source = load_be32(&packet[12]);
  const uint32_t destination = load_be32(&packet[16]);
  const auto is_group = [](uint32_t a) { return a >= 0xe000'0000; };  // multicast, reserved, broadcast
  if (source >> 24 == 0 || source >> 24 == 127 || is_group(source) || is_group(destination)) return false;
  if ((load_be16(&packet[6]) & 0x1fff) != 0) return false;
  const bool about_size = message.type == kUnreachableV4 && message.code == kFragmentationNeeded;
  if (about_size && (packet[6] & kDontFragment) == 0) return false;
  if (packet[9] != kProtoIcmp) return true;
  const size_t header = size_t{packet[0]} % 16 * 4;
  return header < packet.size() && !is_icmp_error(packet[header]);
}

bool may_answer_v6(ByteView packet, const IcmpMessage& message) noexcept {
  constexpr std::array<uint8_t, 16> kUnspecified{};
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kDestinationOptions = 60;
  const bool multicast = packet[24] == 0xff;
  if (packet[8] == 0xff || std::memcmp(&packet[8], kUnspecified.data(), 16) == 0) return false;
  if (multicast && message.type != kTooBigV6) return false;
  // Like find_transport(), but through first fragments, and in a packet whose end may be missing.
  uint8_t next = packet[6];
  size_t offset = kIpv6Header;
  while (next == kHopByHop || next == kRouting || next == kDestinationOptions || next == kProtoFragment) {
    if (offset + 8 > packet.size()) return false;
    const bool fragment = next == kProtoFragment;
    if (fragment && (load_be16(&packet[offset + 2]) & 0xfff8) != 0) return false;
    next = packet[offset];
    offset += fragment ? 8 : 8 + size_t{packet[offset + 1]} * 8;
  }
  if (next != kProtoIcmpV6) return true;
  return offset < packet.size() && !is_icmp_v6_error(packet[offset]);
}

bool has_header(ByteView packet) noexcept {
  if (packet.size() < kIpv4MinHeader) return false;
  const uint8_t version = packet[0] >> 4;
  return version == 4 || (version == 6 && packet.size() >= kIpv6Header);
}

void write_head_v4(uint8_t* ip, size_t size, const IpAddress& source, const uint8_t* destination) noexcept {
  ip[0] = 0x45;
  ip[1] = kInternetControl;
  store_be16(ip + 2, static_cast<uint16_t>(size));
  store_be16(ip + 4, 0);
  store_be16(ip + 6, 0x4000);  // DF, which is what makes an identification of 0 right (RFC 6864 4.1)
  ip[8] = kTtl;
  ip[9] = kProtoIcmp;
  store_be16(ip + 10, 0);
  std::memcpy(ip + 12, source.bytes.data(), 4);
  std::memcpy(ip + 16, destination, 4);
  store_be16(ip + 10, finish(sum_of({ip, kIpv4MinHeader})));
}

void write_head_v6(uint8_t* ip, size_t size, const IpAddress& source, const uint8_t* destination) noexcept {
  store_be32(ip, 0x6000'0000);
  store_be16(ip + 4, static_cast<uint16_t>(size - kIpv6Header));
  ip[6] = kProtoIcmpV6;
  ip[7] = kTtl;
  std::memcpy(ip + 8, source.bytes.data(), 16);
  std::memcpy(ip + 24, destination, 16);
}

// Whoever writes the error quotes no more than its family's limit less the IP and ICMP headers.
IcmpError quote_as(bool v4, ByteView packet, const IcmpMessage& message) {
  const size_t most =
      v4 ? kMaxIcmpError - kIpv4MinHeader - kIcmpHeader : kMaxIcmpV6Error - kIpv6Header - kIcmpHeader;
  const ByteView quoted = packet.first(std::min(packet.size(), most));
  return {.packet = {quoted.begin(), quoted.end()},
          .type = message.type,
          .code = message.code,
          .rest = message.rest};
}

}  // namespace

IcmpMessage icmp_unreachable(Family family) noexcept {
  if (family == Family::v4) return {kUnreachableV4, kHostUnreachable, 0};
  return {kUnreachableV6, kAddressUnreachable, 0};
}

IcmpMessage icmp_too_big(Family family, uint32_t mtu) noexcept {
  if (family == Family::v4) {
    return {kUnreachableV4, kFragmentationNeeded, std::clamp<uint32_t>(mtu, kMinMtuV4, 0xffff)};
  }
  return {kTooBigV6, 0, std::max(mtu, kMinMtuV6)};
}

bool may_answer(ByteView offender, const IcmpMessage& message) noexcept {
  if (!has_header(offender)) return false;
  return (offender[0] >> 4) == 4 ? may_answer_v4(offender, message) : may_answer_v6(offender, message);
}

IcmpError quote(ByteView packet, const IcmpMessage& message) {
  return quote_as((packet[0] >> 4) == 4, packet, message);
}

IcmpError quote(const Piece& piece, const IcmpMessage& message) {
  IcmpError out = quote_as((piece.header()[0] >> 4) == 4, {piece.data, piece.size}, message);
  if (piece.head_size != 0) {
    std::memcpy(out.packet.data(), piece.head, std::min<size_t>(piece.head_size, out.packet.size()));
  }
  return out;
}

size_t write_icmp_error(const IcmpMessage& message, const IpAddress& source, ByteView offender,
                        ByteSpan out) noexcept {
  if (!has_header(offender)) return 0;
  const bool v4 = (offender[0] >> 4) == 4;
  if (source.family != (v4 ? Family::v4 : Family::v6)) return 0;
  const size_t ip_header = v4 ? kIpv4MinHeader : kIpv6Header;
  const size_t head = ip_header + kIcmpHeader;
  const size_t offender_header = v4 ? size_t{offender[0]} % 16 * 4 : kIpv6Header;
  const size_t most = std::min(out.size(), v4 ? kMaxIcmpError : kMaxIcmpV6Error);
  if (most < head + offender_header + 8) return 0;
  const size_t quoted = std::min(offender.size(), most - head);
  const size_t size = head + quoted;

  uint8_t* icmp = out.data() + ip_header;
  if (v4) {
    write_head_v4(out.data(), size, source, &offender[12]);
  } else {
    write_head_v6(out.data(), size, source, &offender[8]);
  }
  icmp[0] = message.type;
  icmp[1] = message.code;
  store_be16(icmp + 2, 0);
  store_be32(icmp + 4, message.rest);
  std::memcpy(icmp + kIcmpHeader, offender.data(), quoted);
  Sum sum = sum_of({icmp, kIcmpHeader + quoted});
  if (!v4) {
    sum += pseudo_header_sum(out.subspan(8, 32), kProtoIcmpV6, static_cast<uint32_t>(kIcmpHeader + quoted));
  }
  store_be16(icmp + 2, finish(sum));
  return size;
}

}  // namespace hats::packet
