// The four messages on the wire (WG 5.4.2 - 5.4.7; formats.md 6.1): byte arrays only, copied in and out,
// never cast onto a buffer. All integers are little-endian.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "crypto/bytes.hpp"

namespace hats::wg {

enum class MessageType : uint8_t { initiation = 1, response = 2, cookie_reply = 3, data = 4 };

template <size_t N>
using Field = std::array<uint8_t, N>;

/// Ends messages 1 and 2 (WG 5.4.4).
struct Macs {
  Field<16> mac1{};
  Field<16> mac2{};
};

struct InitiationMessage {  // WG 5.4.2
  Field<4> type{1, 0, 0, 0};
  Field<4> sender{};
  Field<32> ephemeral{};
  Field<48> encrypted_static{};
  Field<28> encrypted_timestamp{};
  Macs macs;
};

struct ResponseMessage {  // WG 5.4.3
  Field<4> type{2, 0, 0, 0};
  Field<4> sender{};
  Field<4> receiver{};
  Field<32> ephemeral{};
  Field<16> encrypted_nothing{};
  Macs macs;
};

struct CookieReplyMessage {  // WG 5.4.7
  Field<4> type{3, 0, 0, 0};
  Field<4> receiver{};
  Field<24> nonce{};
  Field<32> encrypted_cookie{};
};

struct DataHeader {  // WG 5.4.6; ciphertext and tag follow
  Field<4> type{4, 0, 0, 0};
  Field<4> receiver{};
  Field<8> counter{};
};

static_assert(sizeof(InitiationMessage) == 148 && alignof(InitiationMessage) == 1);
static_assert(sizeof(ResponseMessage) == 92 && alignof(ResponseMessage) == 1);
static_assert(sizeof(CookieReplyMessage) == 64 && alignof(CookieReplyMessage) == 1);
static_assert(sizeof(DataHeader) == 16 && alignof(DataHeader) == 1);

inline constexpr size_t kDataHeaderSize = sizeof(DataHeader);
inline constexpr size_t kDataTagSize = 16;
/// What a data message adds to its plaintext; also the size of a keepalive.
inline constexpr size_t kDataOverhead = kDataHeaderSize + kDataTagSize;

/// The type of a datagram whose reserved bytes are zero and whose length is right: exact for types 1 to 3, at
/// least 32 for type 4. nullopt: not ours, to be dropped without a word.
[[nodiscard]] inline std::optional<MessageType> classify(ByteView datagram) noexcept {
  if (datagram.size() < kDataOverhead) return std::nullopt;
  // Type and the three reserved bytes in one comparison.
  switch (load_le32(datagram.data())) {
    case 1:
      if (datagram.size() == sizeof(InitiationMessage)) return MessageType::initiation;
      break;
    case 2:
      if (datagram.size() == sizeof(ResponseMessage)) return MessageType::response;
      break;
    case 3:
      if (datagram.size() == sizeof(CookieReplyMessage)) return MessageType::cookie_reply;
      break;
    case 4:
      return MessageType::data;
    default:
      break;
  }
  return std::nullopt;
}

/// Copies a message out of a datagram that classify() has found to be of this type.
template <typename Message>
[[nodiscard]] Message read_message(ByteView datagram) noexcept {
  Message out;
  std::memcpy(&out, datagram.data(), sizeof out);
  return out;
}

template <typename Message>
[[nodiscard]] ByteView bytes_of(const Message& message) noexcept {
  return {reinterpret_cast<const uint8_t*>(&message), sizeof message};
}

/// The bytes that mac1 covers: all before the two MACs. mac2 covers mac1 as well (WG 5.4.4).
template <typename Message>
[[nodiscard]] ByteView bytes_before_mac1(const Message& message) noexcept {
  return bytes_of(message).first(sizeof message - sizeof(Macs));
}
template <typename Message>
[[nodiscard]] ByteView bytes_before_mac2(const Message& message) noexcept {
  return bytes_of(message).first(sizeof message - sizeof(Macs::mac2));
}

inline void write_data_header(uint8_t* to, uint32_t receiver, uint64_t counter) noexcept {
  store_le32(to, 4);
  store_le32(to + 4, receiver);
  store_le64(to + 8, counter);
}

}  // namespace hats::wg
