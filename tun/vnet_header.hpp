// virtio_net_hdr bytes to and from core's Offload. Pure.
#pragma once

#include <array>
#include <optional>

#include "core/packet/piece.hpp"

namespace hats::tun {

inline constexpr size_t kVnetHeaderSize = 10;

/// Reads the header at the front of a TUN read; nullopt if it is short or of a kind we never asked for.
[[nodiscard]] std::optional<packet::Offload> decode_vnet(ByteView header) noexcept;
/// The header for a write.
[[nodiscard]] std::array<uint8_t, kVnetHeaderSize> encode_vnet(const packet::Offload& offload) noexcept;

}  // namespace hats::tun
