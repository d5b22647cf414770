// The framing of wg's cross-platform socket (peers.md 4): bytes of a stream in, whole operations out, and the
// form of the answers. Pure; the socket's owner needs only this loop:
//
//   UapiReader reader;
//   for each read:  reader.feed(bytes);
//     while (auto operation = reader.next()) {
//       get:   write(format_uapi_get(...) + format_uapi_errno(kind, error))
//       set:   write(format_uapi_errno(kind, error))
//       and close the connection, after writing, if an error was answered: the rest is garbage
//       close: close the connection without an answer
//     }
//
// Operations of one connection are answered in order. The reader holds keys: it wipes what it lets go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hats::config {

/// Bytes of one operation at the most: 65,000 AllowedIPs of IPv6 are 4 MiB. A longer one is answered with
/// E2BIG, and its connection is closed.
inline constexpr size_t kMaxUapiOperation = size_t{64} << 20;
/// Bytes of the first line at the most: it is "get=1" or "set=1".
inline constexpr size_t kMaxUapiFirstLine = 16;

struct UapiOperation {
  enum class Kind : uint8_t { get, set, close } kind = Kind::close;
  /// Of set: the lines after "set=1", without the blank line, for parse_uapi_set. Valid until the next call
  /// of the reader.
  std::string_view body;
  /// Positive errno if the operation cannot be carried out as framed: E2BIG, or EPROTO for a get with lines
  /// of its own. To be answered with format_uapi_errno; then the connection is closed.
  int error = 0;
};

class UapiReader {
 public:
  UapiReader() = default;
  ~UapiReader();
  UapiReader(const UapiReader&) = delete;
  UapiReader& operator=(const UapiReader&) = delete;

  /// Takes bytes as they come, in pieces of any size. Ignored after an operation of kind close or with an
  /// error. The caller wipes its own buffer.
  void feed(std::string_view bytes);
  /// The next whole operation, or nullopt if more bytes are needed. Its cost over a connection is linear in
  /// the bytes fed. Nothing follows an operation of kind close or with an error.
  [[nodiscard]] std::optional<UapiOperation> next();
  /// Whether nothing more will come: the connection is to be closed once the answers are written.
  [[nodiscard]] bool is_finished() const { return finished_; }

 private:
  UapiOperation finish(UapiOperation::Kind kind, int error);
  void let_go();
  void make_room(size_t more);

  std::string buffer_;
  size_t front_ = 0;     // bytes at the front that have been let go, and wiped
  size_t taken_ = 0;     // bytes after them that belong to the operation given out last
  size_t searched_ = 0;  // bytes of the next operation in which no blank line ends
  bool finished_ = false;
};

/// "errno=N" and the blank line. `error` is a positive errno, or 0. wg(8) takes the number of a set as a
/// negative errno, and reads none but positive ones in the reply to a get (peers.md 4).
[[nodiscard]] std::string format_uapi_errno(UapiOperation::Kind kind, int error);

}  // namespace hats::config
