// IPv4, IPv6, TCP and UDP headers as they lie in a packet: bounds are checked once, at parse; the accessors
// then read. Views own nothing and change nothing. Inline, because every packet passes here.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/address.hpp"
#include "crypto/bytes.hpp"

namespace hats::packet {

inline constexpr size_t kIpv4MinHeader = 20;
inline constexpr size_t kIpv6Header = 40;
inline constexpr size_t kTcpMinHeader = 20;
inline constexpr size_t kUdpHeader = 8;

inline constexpr uint8_t kProtoIcmp = 1;
inline constexpr uint8_t kProtoTcp = 6;
inline constexpr uint8_t kProtoUdp = 17;
inline constexpr uint8_t kProtoFragment = 44;
inline constexpr uint8_t kProtoIcmpV6 = 58;

/// An IP packet whose version, fixed header and length field agree with the bytes.
class IpView {
 public:
  /// The inner length rule (WG 5.4.6; formats.md 6.5): version 4 or 6, the fixed header present, and the
  /// length that the header states at least its fixed header and at most the bytes there are. Bytes behind
  /// that length (WireGuard's padding) are not part of the view. The IPv4 header length is not judged here,
  /// as the kernel does not: see transport_offset().
  [[nodiscard]] static std::optional<IpView> parse(ByteView bytes) noexcept {
    if (bytes.size() < kIpv4MinHeader) return std::nullopt;
    const uint8_t version = bytes[0] >> 4;
    if (version == 4) {
      const size_t length = load_be16(&bytes[2]);
      if (length < kIpv4MinHeader || length > bytes.size()) return std::nullopt;
      return IpView(bytes.first(length));
    }
    if (version != 6 || bytes.size() < kIpv6Header) return std::nullopt;
    const size_t length = kIpv6Header + load_be16(&bytes[4]);
    if (length > bytes.size()) return std::nullopt;
    return IpView(bytes.first(length));
  }

  [[nodiscard]] ByteView bytes() const noexcept { return bytes_; }
  [[nodiscard]] size_t length() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool is_v4() const noexcept { return (bytes_[0] >> 4) == 4; }
  [[nodiscard]] Family family() const noexcept { return is_v4() ? Family::v4 : Family::v6; }
  /// TOS byte or traffic class: DSCP and ECN.
  [[nodiscard]] uint8_t ds() const noexcept {
    return is_v4() ? bytes_[1] : static_cast<uint8_t>(load_be16(bytes_.data()) >> 4);
  }
  [[nodiscard]] uint8_t ttl() const noexcept { return is_v4() ? bytes_[8] : bytes_[7]; }
  /// Protocol, or the first next header of IPv6.
  [[nodiscard]] uint8_t protocol() const noexcept { return is_v4() ? bytes_[9] : bytes_[6]; }
  [[nodiscard]] IpAddress source() const noexcept {
    return is_v4() ? IpAddress::v4(&bytes_[12]) : IpAddress::v6(&bytes_[8]);
  }
  [[nodiscard]] IpAddress destination() const noexcept {
    return is_v4() ? IpAddress::v4(&bytes_[16]) : IpAddress::v6(&bytes_[24]);
  }
  /// Source and destination as they lie in the header: 8 or 32 bytes; the start of the pseudo-header.
  [[nodiscard]] ByteView addresses() const noexcept {
    return is_v4() ? bytes_.subspan(12, 8) : bytes_.subspan(8, 32);
  }
  [[nodiscard]] bool dont_fragment() const noexcept { return is_v4() && (bytes_[6] & 0x40) != 0; }
  /// IPv4: more fragments, or an offset. IPv6: always false; a fragment header is a protocol (44).
  [[nodiscard]] bool is_fragment() const noexcept { return is_v4() && (load_be16(&bytes_[6]) & 0x3fff) != 0; }
  /// Bytes of the IPv4 header with options, or 40; 0 if an IPv4 header length is not possible (below 5 words
  /// or beyond the packet).
  [[nodiscard]] size_t transport_offset() const noexcept {
    if (!is_v4()) return kIpv6Header;
    const size_t size = size_t{bytes_[0]} % 16 * 4;
    return size >= kIpv4MinHeader && size <= bytes_.size() ? size : 0;
  }

 private:
  explicit IpView(ByteView bytes) noexcept : bytes_(bytes) {}
  ByteView bytes_;
};

/// Whether the IP packet that begins with `header` is addressed to `address`. Too little of a header, or
/// another family: no.
[[nodiscard]] inline bool goes_to(ByteView header, const IpAddress& address) noexcept {
  if (header.size() >= kIpv4MinHeader && (header[0] >> 4) == 4) {
    return address.family == Family::v4 && std::memcmp(&header[16], address.bytes.data(), 4) == 0;
  }
  return header.size() >= kIpv6Header && (header[0] >> 4) == 6 && address.family == Family::v6 &&
         std::memcmp(&header[24], address.bytes.data(), 16) == 0;
}
/// The same of its source.
[[nodiscard]] inline bool comes_from(ByteView header, const IpAddress& address) noexcept {
  if (header.size() >= kIpv4MinHeader && (header[0] >> 4) == 4) {
    return address.family == Family::v4 && std::memcmp(&header[12], address.bytes.data(), 4) == 0;
  }
  return header.size() >= kIpv6Header && (header[0] >> 4) == 6 && address.family == Family::v6 &&
         std::memcmp(&header[8], address.bytes.data(), 16) == 0;
}

/// Where the transport header is: behind the IPv4 header, or behind those IPv6 extension headers that may
/// stand before TCP or UDP (hop-by-hop, routing, destination options; RFC 8200 4). The protocol may then be
/// any other one, a fragment header or AH too. nullopt: a header length that is not possible.
struct Transport {
  uint8_t protocol = 0;
  size_t offset = 0;  // at most the packet's length
};
[[nodiscard]] inline std::optional<Transport> find_transport(const IpView& ip) noexcept {
  Transport out{ip.protocol(), ip.transport_offset()};
  if (out.offset == 0) return std::nullopt;
  if (ip.is_v4()) return out;
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kDestinationOptions = 60;
  const ByteView bytes = ip.bytes();
  while (out.protocol == kHopByHop || out.protocol == kRouting || out.protocol == kDestinationOptions) {
    if (bytes.size() - out.offset < 8) return std::nullopt;
    const size_t next = out.offset + 8 + size_t{bytes[out.offset + 1]} * 8;
    if (next > bytes.size()) return std::nullopt;
    out = {bytes[out.offset], next};
  }
  return out;
}

/// TCP header flags as bits of byte 13.
inline constexpr uint8_t kTcpFin = 0x01, kTcpSyn = 0x02, kTcpRst = 0x04, kTcpPsh = 0x08, kTcpAck = 0x10,
                         kTcpUrg = 0x20, kTcpEce = 0x40, kTcpCwr = 0x80;

/// A TCP segment with its whole header (options too) present.
class TcpView {
 public:
  /// `bytes`: from the TCP header to the end of the packet.
  [[nodiscard]] static std::optional<TcpView> parse(ByteView bytes) noexcept {
    if (bytes.size() < kTcpMinHeader) return std::nullopt;
    const size_t header = size_t{bytes[12]} / 16 * 4;
    if (header < kTcpMinHeader || header > bytes.size()) return std::nullopt;
    return TcpView(bytes, header);
  }
  [[nodiscard]] size_t header_size() const noexcept { return header_; }
  [[nodiscard]] ByteView payload() const noexcept { return bytes_.subspan(header_); }
  [[nodiscard]] uint32_t sequence() const noexcept { return load_be32(&bytes_[4]); }
  [[nodiscard]] uint32_t acknowledgement() const noexcept { return load_be32(&bytes_[8]); }
  [[nodiscard]] uint8_t flags() const noexcept { return bytes_[13]; }
  [[nodiscard]] uint16_t checksum() const noexcept { return load_be16(&bytes_[16]); }

 private:
  TcpView(ByteView bytes, size_t header) noexcept : bytes_(bytes), header_(header) {}
  ByteView bytes_;
  size_t header_;
};

/// A UDP datagram whose length field is that of the bytes.
class UdpView {
 public:
  /// `bytes`: from the UDP header to the end of the packet.
  [[nodiscard]] static std::optional<UdpView> parse(ByteView bytes) noexcept {
    if (bytes.size() < kUdpHeader || load_be16(&bytes[4]) != bytes.size()) return std::nullopt;
    return UdpView(bytes);
  }
  [[nodiscard]] ByteView payload() const noexcept { return bytes_.subspan(kUdpHeader); }
  [[nodiscard]] uint16_t checksum() const noexcept { return load_be16(&bytes_[6]); }

 private:
  explicit UdpView(ByteView bytes) noexcept : bytes_(bytes) {}
  ByteView bytes_;
};

}  // namespace hats::packet
