// Byte spans and unaligned loads and stores. No wire struct is ever cast onto a buffer: fields are read with
// these.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace hats {

using ByteView = std::span<const uint8_t>;
using ByteSpan = std::span<uint8_t>;

namespace detail {
template <typename T>
constexpr T to_order(T value, std::endian order) {
  return order == std::endian::native ? value : std::byteswap(value);
}
template <typename T>
inline T load(const uint8_t* from, std::endian order) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return to_order(value, order);
}
template <typename T>
inline void store(uint8_t* to, T value, std::endian order) {
  value = to_order(value, order);
  std::memcpy(to, &value, sizeof value);
}
}  // namespace detail

// The caller has checked that the bytes are there.
inline uint16_t load_be16(const uint8_t* p) {
  return detail::load<uint16_t>(p, std::endian::big);
}
inline uint32_t load_be32(const uint8_t* p) {
  return detail::load<uint32_t>(p, std::endian::big);
}
inline uint64_t load_be64(const uint8_t* p) {
  return detail::load<uint64_t>(p, std::endian::big);
}
inline uint32_t load_le32(const uint8_t* p) {
  return detail::load<uint32_t>(p, std::endian::little);
}
inline uint64_t load_le64(const uint8_t* p) {
  return detail::load<uint64_t>(p, std::endian::little);
}
inline void store_be16(uint8_t* p, uint16_t v) {
  detail::store(p, v, std::endian::big);
}
inline void store_be32(uint8_t* p, uint32_t v) {
  detail::store(p, v, std::endian::big);
}
inline void store_be64(uint8_t* p, uint64_t v) {
  detail::store(p, v, std::endian::big);
}
inline void store_le32(uint8_t* p, uint32_t v) {
  detail::store(p, v, std::endian::little);
}
inline void store_le64(uint8_t* p, uint64_t v) {
  detail::store(p, v, std::endian::little);
}

}  // namespace hats
