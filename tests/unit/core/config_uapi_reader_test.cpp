// The framing of wg's cross-platform socket (peers.md 4). The limit is re-declared here.
#include <gtest/gtest.h>

#include <cerrno>

#include "core/config/uapi_reader.hpp"

namespace hats::config {
namespace {

using Kind = UapiOperation::Kind;
constexpr size_t kLimit = 64ULL * 1024 * 1024;  // bytes

struct Seen {
  Kind kind;
  std::string body;
  int error;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> drain(UapiReader& reader) {
  std::vector<Seen> out;
  while (const auto operation = reader.next()) {
    out.push_back({operation->kind, std::string(operation->body), operation->error});
  }
  return out;
}

std::vector<Seen> read(const std::string& stream, size_t piece) {
  UapiReader reader;
  std::vector<Seen> out;
  for (size_t at = 0; at < stream.size(); at += piece) {
    reader.feed(std::string_view(stream).substr(at, piece));
    for (Seen& seen : drain(reader)) out.push_back(std::move(seen));
  }
  return out;
}

TEST(UapiReaderTest, OperationsAreTheSameHoweverTheStreamIsCut) {
  const std::string stream =
      "get=1\n\nset=1\nlisten_port=5\nfwmark=7\n\nset=1\n\nget=1\n\nset=1\nprivate_key=0\n";
  const std::vector<Seen> expected = {{Kind::get, "", 0},
                                      {Kind::set, "listen_port=5\nfwmark=7\n", 0},
                                      {Kind::set, "", 0},
                                      {Kind::get, "", 0}};
  for (size_t piece = 1; piece <= stream.size(); ++piece) EXPECT_EQ(read(stream, piece), expected) << piece;
}

TEST(UapiReaderTest, AnUnknownOperationClosesTheConnection) {
  for (const std::string stream : {"put=1\n\n", "get=2\n\n", "\n\n", "get=1\r\n\r\n", "GET=1\n", "set=1 \n\n",
                                   "a line without an end"}) {
    for (const size_t piece : {size_t{1}, stream.size()}) {
      const auto seen = read(stream + "get=1\n\n", piece);
      ASSERT_EQ(seen.size(), 1u) << stream;
      EXPECT_EQ(seen[0], (Seen{Kind::close, "", 0})) << stream;
    }
  }
}

TEST(UapiReaderTest, LinesInAGetAreAProtocolError) {
  EXPECT_EQ(read("get=1\nlisten_port=5\n\nget=1\n\n", 3), (std::vector<Seen>{{Kind::get, "", EPROTO}}));
}

TEST(UapiReaderTest, AnOperationMayBeSixtyFourMebibytesAndNoMore) {
  const std::string line = "allowed_ip=2001:db8:1234:5678:9abc:def0:1234:5678/128\n";
  UapiReader reader;
  reader.feed("set=1\n");
  size_t fed = 6;
  for (; fed + line.size() < kLimit; fed += line.size()) {
    reader.feed(line);
    ASSERT_FALSE(reader.next());
  }
  reader.feed("\n");
  const auto whole = reader.next();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->error, 0);
  EXPECT_EQ(whole->body.size(), fed - 6);
  std::string much(kLimit, 'x');
  reader.feed("set=1\n");
  reader.feed(much);
  const auto refused = reader.next();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error, E2BIG);
  EXPECT_TRUE(reader.is_finished());
  reader.feed("get=1\n\n");
  EXPECT_FALSE(reader.next());
}

TEST(UapiReaderTest, ABodyStaysValidUntilTheNextCall) {
  UapiReader reader;
  reader.feed("set=1\nfwmark=1\n\nset=1\nfwmark=2\n\nset=1\nfwm");
  EXPECT_EQ(reader.next()->body, "fwmark=1\n");
  EXPECT_EQ(reader.next()->body, "fwmark=2\n");
  EXPECT_FALSE(reader.next());
  reader.feed("ark=3\n\n");
  EXPECT_EQ(reader.next()->body, "fwmark=3\n");
}

TEST(UapiReaderTest, SetFailuresAreNegativeAndGetFailuresPositive) {
  EXPECT_EQ(format_uapi_errno(Kind::set, 0), "errno=0\n\n");
  EXPECT_EQ(format_uapi_errno(Kind::get, 0), "errno=0\n\n");
  EXPECT_EQ(format_uapi_errno(Kind::set, EADDRINUSE), "errno=-98\n\n");
  EXPECT_EQ(format_uapi_errno(Kind::get, EPROTO), "errno=71\n\n");
}

}  // namespace
}  // namespace hats::config
