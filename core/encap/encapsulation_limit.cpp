#include "core/encap/encapsulation_limit.hpp"

#include "core/packet/ip_view.hpp"

namespace hats::encap {
namespace {

constexpr uint8_t kHopByHop = 0, kRouting = 43, kAuthentication = 51, kDestinationOptions = 60;
constexpr uint8_t kPad1 = 0, kEncapsulationLimit = 4;

// Bytes of the extension header at `at`; 0: it is none that may stand before the limit, or it is cut off.
size_t extension_size(ByteView packet, uint8_t type, size_t at) noexcept {
  if (packet.size() - at < 8) return 0;
  size_t size = 8 + size_t{packet[at + 1]} * 8;
  if (type == packet::kProtoFragment) {
    size = (load_be16(&packet[at + 2]) & 0xfff8) == 0 ? 8 : 0;  // what follows a later one is no header
  } else if (type == kAuthentication) {
    size = 8 + size_t{packet[at + 1]} * 4;
  } else if (type != kHopByHop && type != kRouting && type != kDestinationOptions) {
    return 0;
  }
  return size <= packet.size() - at ? size : 0;
}

// The option's value within a destination options header.
std::optional<uint32_t> find_option(ByteView header) noexcept {
  for (size_t at = 2; at + 3 <= header.size();) {
    if (header[at] == kEncapsulationLimit && header[at + 1] == 1) return static_cast<uint32_t>(at + 2);
    at += header[at] == kPad1 ? 1 : 2 + size_t{header[at + 1]};
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> find_encapsulation_limit(ByteView packet) noexcept {
  uint8_t type = packet[6];
  size_t at = packet::kIpv6Header;
  while (const size_t size = extension_size(packet, type, at)) {
    if (type == kDestinationOptions) {
      if (const auto found = find_option(packet.subspan(at, size))) return static_cast<uint32_t>(at) + *found;
    }
    type = packet[at];
    at += size;
  }
  return std::nullopt;
}

}  // namespace hats::encap
