#include "core/config/uapi_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/config/text.hpp"

namespace hats::config {

UapiReader::~UapiReader() {
  wipe_text(buffer_);
}

void UapiReader::feed(std::string_view bytes) {
  if (finished_) return;
  let_go();
  if (front_ > 0) {  // what is left is the beginning of one operation
    const size_t rest = buffer_.size() - front_;
    std::memmove(buffer_.data(), buffer_.data() + front_, rest);
    crypto::wipe({reinterpret_cast<uint8_t*>(buffer_.data()) + rest, front_});
    buffer_.resize(rest);
    front_ = 0;
  }
  make_room(bytes.size());
  buffer_ += bytes;
}

std::optional<UapiOperation> UapiReader::next() {
  using Kind = UapiOperation::Kind;
  if (finished_) return std::nullopt;
  let_go();
  const std::string_view held = std::string_view(buffer_).substr(front_);
  const size_t line_end = held.substr(0, kMaxUapiFirstLine).find('\n');
  if (line_end == std::string_view::npos) {
    if (held.size() < kMaxUapiFirstLine) return std::nullopt;
    return finish(Kind::close, 0);
  }
  const std::string_view first = held.substr(0, line_end);
  if (first != "get=1" && first != "set=1") return finish(Kind::close, 0);
  const Kind kind = first == "get=1" ? Kind::get : Kind::set;
  // The search goes on where it stopped, less one byte: the end of a line may have been the last of a piece.
  const size_t blank = held.find("\n\n", std::max(line_end, searched_ - std::min<size_t>(searched_, 1)));
  if (std::min(blank, held.size()) > kMaxUapiOperation) return finish(kind, E2BIG);
  if (blank == std::string_view::npos) {
    searched_ = held.size();
    return std::nullopt;
  }
  const size_t body = line_end + 1;
  const std::string_view lines = blank > line_end ? held.substr(body, blank + 1 - body) : std::string_view();
  if (kind == Kind::get && !lines.empty()) return finish(kind, EPROTO);
  taken_ = blank + 2;
  searched_ = 0;
  return UapiOperation{kind, lines, 0};
}

UapiOperation UapiReader::finish(UapiOperation::Kind kind, int error) {
  finished_ = true;
  wipe_text(buffer_);
  buffer_ = {};
  return UapiOperation{kind, {}, error};
}

/// Wipes the operation given out last.
void UapiReader::let_go() {
  crypto::wipe({reinterpret_cast<uint8_t*>(buffer_.data()) + front_, taken_});
  front_ += taken_;
  taken_ = 0;
}

/// A std::string that grows gives its old memory back as it is; this one wipes it first.
void UapiReader::make_room(size_t more) {
  const size_t needed = buffer_.size() + more;
  if (needed <= buffer_.capacity()) return;
  std::string bigger;
  bigger.reserve(std::max(needed, 2 * buffer_.capacity()));
  bigger = std::string_view(buffer_);
  wipe_text(buffer_);
  buffer_ = std::move(bigger);
}

std::string format_uapi_errno(UapiOperation::Kind kind, int error) {
  return "errno=" + std::to_string(kind == UapiOperation::Kind::set ? -error : error) + "\n\n";
}

}  // namespace hats::config
