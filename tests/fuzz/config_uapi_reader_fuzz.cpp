// The framing of the UAPI stream: the operations are the same however the stream is cut, and the same as a
// plain reading of the whole finds.
#include <cerrno>
#include <string>
#include <vector>

#include "core/config/uapi_reader.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using hats::config::UapiOperation;
using hats::config::UapiReader;

struct Seen {
  UapiOperation::Kind kind;
  std::string body;
  int error;
  bool operator==(const Seen&) const = default;
};

void drain(UapiReader& reader, std::vector<Seen>& out) {
  while (const auto operation = reader.next()) {
    HATS_FUZZ_CHECK(!reader.is_finished() || operation->body.empty());
    out.push_back({operation->kind, std::string(operation->body), operation->error});
  }
}

/// The grammar read from one string, line by line.
std::vector<Seen> plainly(std::string_view stream) {
  std::vector<Seen> out;
  for (;;) {
    const size_t end = stream.substr(0, 16).find('\n');
    if (end == std::string_view::npos && stream.size() < 16) return out;
    const std::string_view first = stream.substr(0, end);
    if (end == std::string_view::npos || (first != "get=1" && first != "set=1")) {
      out.push_back({UapiOperation::Kind::close, "", 0});
      return out;
    }
    const auto kind = first == "get=1" ? UapiOperation::Kind::get : UapiOperation::Kind::set;
    std::string_view rest = stream.substr(end + 1);
    std::string body;
    while (!rest.starts_with('\n')) {
      const size_t line = rest.find('\n');
      if (line == std::string_view::npos) return out;
      body += rest.substr(0, line + 1);
      rest.remove_prefix(line + 1);
    }
    stream = rest.substr(1);
    if (kind == UapiOperation::Kind::get && !body.empty()) {
      out.push_back({kind, "", EPROTO});
      return out;
    }
    out.push_back({kind, body, 0});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hats::fuzz::Input input(data, size);
  const size_t piece = 1 + input.below(32);
  const hats::ByteView bytes = input.rest();
  const std::string_view stream(reinterpret_cast<const char*>(bytes.data()), bytes.size());

  UapiReader whole, cut;
  std::vector<Seen> from_whole, from_cut;
  whole.feed(stream);
  drain(whole, from_whole);
  for (size_t at = 0; at < stream.size(); at += piece) {
    cut.feed(stream.substr(at, piece));
    drain(cut, from_cut);
  }
  HATS_FUZZ_CHECK(from_whole == plainly(stream));
  HATS_FUZZ_CHECK(from_whole == from_cut);
  return 0;
}
