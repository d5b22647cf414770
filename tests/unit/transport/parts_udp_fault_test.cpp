// What the kernel may say to a sendmmsg, said at will: sendmmsg is this file's own.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "transport/udp_sender.hpp"

namespace {

// Whether the message (its bytes and its segment size, 0 without UDP_SEGMENT) is taken: 0 or errno.
using Verdict = std::function<int(const std::vector<uint8_t>& bytes, uint16_t segment)>;
Verdict& verdict() {
  static Verdict one;
  return one;
}

uint16_t segment_of(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_SEGMENT) continue;
    uint16_t size = 0;
    std::memcpy(&size, CMSG_DATA(c), sizeof size);
    return size;
  }
  return 0;
}

}  // namespace

// As the kernel's: stops at the first refusal, and tells it only if nothing went before.
extern "C" int sendmmsg(int /*fd*/, mmsghdr* messages, unsigned count, int /*flags*/) {
  for (unsigned i = 0; i < count; ++i) {
    msghdr& message = messages[i].msg_hdr;
    std::vector<uint8_t> bytes;
    for (size_t part = 0; part < message.msg_iovlen; ++part) {
      const auto* data = static_cast<const uint8_t*>(message.msg_iov[part].iov_base);
      bytes.insert(bytes.end(), data, data + message.msg_iov[part].iov_len);
    }
    const int error = verdict()(bytes, segment_of(message));
    if (error == 0) continue;
    errno = error;
    return i == 0 ? -1 : static_cast<int>(i);
  }
  return static_cast<int>(count);
}

namespace hats::transport {
namespace {

constexpr BootTime kNow{1'000'000'000'000};
constexpr uint32_t kSegment = 1'452;

Endpoint peer(uint8_t number) {
  const uint8_t bytes[4] = {192, 0, 2, number};
  return {IpAddress::v4(bytes), 51'820, 0};
}

class UdpFaultTest : public testing::TestWithParam<int> {
 protected:
  UdpFaultTest() {
    port_.family = Family::v4;
    port_.gso = true;
    verdict() = [this](const std::vector<uint8_t>& bytes, uint16_t segment) {
      const int error = refuse_ ? refuse_(bytes, segment) : 0;
      if (error != 0) return error;
      const size_t step = segment != 0 ? segment : bytes.size();
      if (segment != 0) ++merged_sends_;
      for (size_t at = 0; at < bytes.size(); at += step) arrived_.push_back(bytes[at]);
      return 0;
    };
  }

  // A run of datagrams, each of which begins with its number.
  void queue(uint8_t to, uint8_t first, uint32_t count) {
    UdpSend send;
    send.slab = (*arena_)->take();
    ASSERT_TRUE(send.slab);
    uint8_t* data = send.slab.bytes().data();
    for (uint32_t i = 0; i < count; ++i) data[size_t{i} * kSegment] = static_cast<uint8_t>(first + i);
    send.data = data;
    send.size = count * kSegment;
    send.segment_size = kSegment;
    send.to = peer(to);
    ASSERT_TRUE(port_.queue.push(QueuedUdp{std::move(send), 0, 0, 0}));
  }
  SendResult flush() { return sender_.flush(port_, kNow, failed_); }
  static std::vector<uint8_t> numbers(uint8_t first, uint8_t end) {
    std::vector<uint8_t> out;
    for (uint8_t i = first; i < end; ++i) out.push_back(i);
    return out;
  }

  std::expected<std::unique_ptr<Arena>, int> arena_ = Arena::make(kMinSlabs);
  std::function<int(const std::vector<uint8_t>&, uint16_t)> refuse_;
  std::vector<uint8_t> arrived_;
  int merged_sends_ = 0;
  LoopCounters counters_;
  UdpSender sender_{counters_};
  UdpPort port_;
  std::vector<FailedSend<UdpSend>> failed_;
};

std::string error_name(const testing::TestParamInfo<int>& info) {
  return strerrorname_np(info.param);
}

class GsoRefusalTest : public UdpFaultTest {};
INSTANTIATE_TEST_SUITE_P(Errno, GsoRefusalTest, testing::Values(EMSGSIZE, EINVAL, EIO), error_name);

// DESIGN.md 9: fall back per path, not globally.
TEST_P(GsoRefusalTest, APathThatRefusesUdpSegmentGetsEveryDatagramInOrderAndOtherPathsKeepIt) {
  int asked = 0;
  bool narrow = true;
  refuse_ = [&](const std::vector<uint8_t>& bytes, uint16_t segment) {
    if (!narrow || segment == 0 || bytes[0] >= 100) return 0;
    ++asked;
    return GetParam();
  };
  queue(1, 0, 20);
  queue(2, 100, 20);
  queue(1, 20, 20);
  EXPECT_EQ(flush(), SendResult::drained);
  std::vector<uint8_t> to_one, to_two;
  for (const uint8_t number : arrived_) (number < 100 ? to_one : to_two).push_back(number);
  EXPECT_EQ(to_one, numbers(0, 40));
  EXPECT_EQ(to_two, numbers(100, 120));
  EXPECT_EQ(merged_sends_, 1) << "the other path's run went merged";
  EXPECT_EQ(counters_.gso_fallbacks, 1U);
  EXPECT_TRUE(failed_.empty());
  const int before = asked;
  queue(1, 40, 20);
  EXPECT_EQ(flush(), SendResult::drained);
  EXPECT_EQ(asked, before) << "what the path refused is not tried again";
}

TEST_P(GsoRefusalTest, ARefusalThatSingleDatagramsMeetAsWellIsToldAndTeachesNothing) {
  refuse_ = [&](const std::vector<uint8_t>& bytes, uint16_t) { return bytes[0] < 20 ? GetParam() : 0; };
  queue(1, 0, 20);
  queue(1, 20, 20);
  EXPECT_EQ(flush(), SendResult::drained);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].error, GetParam());
  EXPECT_EQ(failed_[0].send.size, 20 * kSegment) << "nothing of it went";
  EXPECT_EQ(arrived_, numbers(20, 40));
  EXPECT_EQ(merged_sends_, 1);
  EXPECT_EQ(counters_.gso_fallbacks, 0U);
}

class GsoAbsentTest : public UdpFaultTest {};
INSTANTIATE_TEST_SUITE_P(Errno, GsoAbsentTest, testing::Values(EOPNOTSUPP, ENOPROTOOPT), error_name);

TEST_P(GsoAbsentTest, ASocketWithoutUdpSegmentAtRunTimeGoesOnWithoutIt) {
  refuse_ = [&](const std::vector<uint8_t>&, uint16_t segment) { return segment != 0 ? GetParam() : 0; };
  queue(1, 0, 30);
  queue(2, 30, 30);
  EXPECT_EQ(flush(), SendResult::drained);
  EXPECT_EQ(arrived_, numbers(0, 60));
  EXPECT_FALSE(port_.gso);
  EXPECT_TRUE(failed_.empty());
}

class PassingErrorTest : public UdpFaultTest {};
INSTANTIATE_TEST_SUITE_P(Errno, PassingErrorTest, testing::Values(ENOBUFS, ENOMEM, EPERM, ENETUNREACH),
                         error_name);

TEST_P(PassingErrorTest, LosesNoMoreThanTheRunItMeetsAndSaysSo) {
  int failures = 1;
  refuse_ = [&](const std::vector<uint8_t>&, uint16_t) { return failures-- > 0 ? GetParam() : 0; };
  queue(1, 0, 10);
  queue(1, 10, 10);
  EXPECT_EQ(flush(), SendResult::drained);
  ASSERT_EQ(failed_.size(), 1U);
  EXPECT_EQ(failed_[0].error, GetParam());
  EXPECT_EQ(arrived_, numbers(10, 20));
  EXPECT_TRUE(port_.gso);
}

TEST_F(UdpFaultTest, AFullSocketKeepsWhatIsQueuedAndItsOrder) {
  int taken = 0;
  refuse_ = [&](const std::vector<uint8_t>&, uint16_t) { return ++taken % 4 >= 2 ? EAGAIN : 0; };
  for (uint8_t i = 0; i < 10; ++i) queue(1, static_cast<uint8_t>(i * 5), 5);
  int tries = 0;
  while (flush() == SendResult::blocked) ASSERT_LT(++tries, 20);
  EXPECT_GT(tries, 1);
  EXPECT_EQ(arrived_, numbers(0, 50));
  EXPECT_TRUE(failed_.empty());
}

}  // namespace
}  // namespace hats::transport
