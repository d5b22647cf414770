// Raw sockets alone: what the filters let in, who is answered by the kernel, which errors arrive.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "raw_support.hpp"

namespace hats::transport::test {
namespace {

constexpr uint8_t kGre = 47;
constexpr int kSoonMs = 2000;   // for what must come
constexpr int kNothingMs = 50;  // for what must not; loopback delivers before the send returns

struct Addresses {
  Family family;
  const char *ours, *known, *stranger;
};
constexpr Addresses kV4{Family::v4, "127.0.0.1", "127.0.0.2", "127.0.0.3"};
constexpr Addresses kV6{Family::v6, "::1", "fd00:88::2", "fd00:88::3"};

class RawSocketTest : public ::testing::TestWithParam<Addresses> {
 protected:
  void SetUp() override {
    if (!has_namespace()) GTEST_SKIP() << "no network namespace: this needs CAP_SYS_ADMIN and ip(8)";
    for (const char* one : {kV6.known, kV6.stranger}) ASSERT_TRUE(add_loopback_v6(one));
  }
  [[nodiscard]] static std::vector<uint8_t> packet(const char* from, uint32_t number, size_t size = 32) {
    return ip_packet(from, GetParam().ours, kGre, numbered(number, size));
  }
  // Whether a packet from `source` gets into `fd`.
  static bool lets_in(int fd, const char* source) {
    EXPECT_TRUE(Injector(GetParam().family).send(packet(source, 1)));
    const auto got = receive_raw(fd, kNothingMs);
    return got.has_value();
  }
};
INSTANTIATE_TEST_SUITE_P(Family, RawSocketTest, ::testing::Values(kV4, kV6), [](const auto& one) {
  return std::string(one.param.family == Family::v4 ? "v4" : "v6");
});

IpAddress nth_address(Family family, uint32_t n) {
  IpAddress out = address(family == Family::v4 ? "198.18.0.0" : "2001:db8::");
  store_be16(&out.bytes[family == Family::v4 ? 2 : 14], static_cast<uint16_t>(n));
  return out;
}

TEST_P(RawSocketTest, WithoutAFilterEverybodyGetsIn) {
  const auto fd = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(fd) << std::strerror(fd.error());
  EXPECT_TRUE(lets_in(fd->get(), GetParam().known));
  EXPECT_TRUE(lets_in(fd->get(), GetParam().stranger));
}

TEST_P(RawSocketTest, AFilterLetsItsRemotesInWhereverTheyStandInIt) {
  const auto fd = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(fd);
  for (const size_t count : {1UL, 2UL, 3UL, 64UL, 128UL}) {
    for (const size_t place : {size_t{0}, count / 2, count - 1}) {
      std::vector<IpAddress> remotes;
      for (uint32_t i = 0; i < count; ++i) remotes.push_back(nth_address(GetParam().family, i));
      remotes[place] = address(GetParam().known);
      ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, remotes), 0);
      EXPECT_TRUE(lets_in(fd->get(), GetParam().known)) << count << ' ' << place;
      EXPECT_FALSE(lets_in(fd->get(), GetParam().stranger)) << count << ' ' << place;
    }
  }
}

TEST_P(RawSocketTest, EachWordOfAnAddressCounts) {
  const auto fd = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(fd);
  const IpAddress known = address(GetParam().known);
  for (size_t byte = 0; byte < known.view().size(); ++byte) {
    IpAddress other = known;
    other.bytes[byte] ^= 0x40;
    ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, std::array{other}), 0);
    EXPECT_FALSE(lets_in(fd->get(), GetParam().known)) << byte;
  }
}

TEST_P(RawSocketTest, AnEmptyListLetsNobodyInAndATooLongOneEverybody) {
  const auto fd = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(fd);
  const std::vector<IpAddress> other_family(1,
                                            address(GetParam().family == Family::v4 ? "::1" : "127.0.0.1"));
  ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, {}), 0);
  EXPECT_FALSE(lets_in(fd->get(), GetParam().known));
  ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, other_family), 0);
  EXPECT_FALSE(lets_in(fd->get(), GetParam().known));
  std::vector<IpAddress> many;
  for (uint32_t i = 0; i < 129; ++i) many.push_back(nth_address(GetParam().family, i));
  for (int twice = 0; twice < 2; ++twice) {
    ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, many), 0);
    EXPECT_TRUE(lets_in(fd->get(), GetParam().stranger));
  }
}

TEST_P(RawSocketTest, ManyTunnelsToTheSameFewRemotesAreFilteredAsFewAre) {
  const auto fd = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(fd);
  std::vector<IpAddress> remotes;
  for (uint32_t i = 0; i < 10'000; ++i) remotes.push_back(nth_address(GetParam().family, i % 3));
  remotes.push_back(address(GetParam().known));
  ASSERT_EQ(set_remotes_filter(fd->get(), GetParam().family, remotes), 0);
  EXPECT_TRUE(lets_in(fd->get(), GetParam().known));
  EXPECT_FALSE(lets_in(fd->get(), GetParam().stranger));
}

// Without a socket the kernel answers: that is what the others keep silent.
TEST_P(RawSocketTest, TheKernelAnswersAProtocolThatNobodyHas) {
  const IcmpWatch icmp(GetParam().family);
  ASSERT_TRUE(Injector(GetParam().family).send(packet(GetParam().stranger, 1)));
  // RFC 792: protocol unreachable; RFC 4443 3.4: unrecognized next header.
  const IcmpWatch::Message wanted =
      GetParam().family == Family::v4 ? IcmpWatch::Message{3, 2} : IcmpWatch::Message{4, 1};
  EXPECT_EQ(icmp.next_error(kSoonMs), wanted);
}

TEST_P(RawSocketTest, ASilencerKeepsTheKernelSilentTowardsStrangers) {
  const IcmpWatch icmp(GetParam().family);
  const auto silencer = open_silencer(GetParam().family, kGre);
  ASSERT_TRUE(silencer) << std::strerror(silencer.error());
  const Injector injector(GetParam().family);
  for (uint32_t i = 0; i < 1000; ++i) ASSERT_TRUE(injector.send(packet(GetParam().stranger, i, 1000)));
  EXPECT_EQ(icmp.next_error(kNothingMs).type, -1);
  EXPECT_FALSE(receive_raw(silencer->get(), 0)) << "it keeps nothing";
}

TEST_P(RawSocketTest, ASilencerKeepsTheKernelSilentWhenTheReceiverIsFull) {
  const Injector injector(GetParam().family);
  for (const bool silent : {false, true}) {
    const IcmpWatch icmp(GetParam().family);
    const auto receiver = open_raw_receiver(GetParam().family, kGre);
    const auto silencer = silent ? open_silencer(GetParam().family, kGre) : UniqueFd{};
    ASSERT_TRUE(receiver && silencer);
    const int least = 1;
    ASSERT_EQ(setsockopt(receiver->get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
    for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(injector.send(packet(GetParam().known, i, 1000)));
    const bool answered = icmp.next_error(kNothingMs).type != -1;
    if (silent) {
      EXPECT_FALSE(answered);
    } else if (!answered) {
      break;  // a kernel that is silent in this case anyway
    }
  }
}

TEST_P(RawSocketTest, WhatAFullBufferLosesIsCountedAndWhatTheFilterRefusesIsNot) {
  const auto receiver = open_raw_receiver(GetParam().family, kGre);
  ASSERT_TRUE(receiver);
  const std::array<IpAddress, 1> known{address(GetParam().known)};
  ASSERT_EQ(set_remotes_filter(receiver->get(), GetParam().family, known), 0);
  const int least = 1;
  ASSERT_EQ(setsockopt(receiver->get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
  const Injector injector(GetParam().family);
  for (uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(injector.send(packet(GetParam().stranger, i, 1000)));
  EXPECT_EQ(count_overflow(receiver->get()), 0U);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(injector.send(packet(GetParam().known, i, 1000)));
  uint32_t got = 0;
  while (receive_raw(receiver->get(), kNothingMs)) ++got;
  EXPECT_LT(got, 100U);
  EXPECT_EQ(count_overflow(receiver->get()), 100 - got);
}

// Were it part of the delivery, it would keep the kernel silent, and cost a copy of each packet's head.
TEST_P(RawSocketTest, ASenderTakesNoPartInWhatIsReceived) {
  for (const RawMode mode : {RawMode::fragmentable, RawMode::dont_fragment}) {
    const IcmpWatch icmp(GetParam().family);
    const auto sender = open_raw_sender(GetParam().family, kGre, mode);
    ASSERT_TRUE(sender) << std::strerror(sender.error());
    ASSERT_TRUE(Injector(GetParam().family).send(packet(GetParam().stranger, 1)));
    EXPECT_NE(icmp.next_error(kSoonMs).type, -1);
    EXPECT_FALSE(receive_raw(sender->get(), 0));
  }
}

TEST_P(RawSocketTest, TheIcmpListenerHearsErrorsAndNothingElse) {
  const auto fd = open_icmp_listener(GetParam().family);
  ASSERT_TRUE(fd) << std::strerror(fd.error());
  const bool v4 = GetParam().family == Family::v4;
  const std::vector<uint8_t> wanted = v4 ? std::vector<uint8_t>{3, 11, 12} : std::vector<uint8_t>{1, 2, 3, 4};
  const Injector injector(GetParam().family);
  const auto sum = [&](std::vector<uint8_t> whole) {
    // One's complement sum over the message, for IPv6 with its pseudo-header (RFC 4443 2.3).
    const size_t start = v4 ? 20 : 8;
    uint32_t total = v4 ? 0 : static_cast<uint32_t>(58 + whole.size() - 40);
    for (size_t i = start; i < whole.size(); i += 2) total += load_be16(&whole[i]);
    while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
    store_be16(&whole[v4 ? 22 : 42], static_cast<uint16_t>(~total));
    return whole;
  };
  for (int type = 0; type < (v4 ? 32 : 256); ++type) {
    std::vector<uint8_t> message(48);
    message[0] = static_cast<uint8_t>(type);
    ASSERT_TRUE(injector.send(
        sum(ip_packet(GetParam().known, GetParam().ours, v4 ? uint8_t{1} : uint8_t{58}, message))));
  }
  std::vector<uint8_t> heard;
  while (const auto got = receive_raw(fd->get(), kNothingMs)) heard.push_back((*got)[v4 ? 20 : 0]);
  EXPECT_EQ(heard, wanted);
}

TEST(RawSenderTest, AHeaderOfOnesOwnIsForIpv4Alone) {
  if (!has_namespace()) GTEST_SKIP() << "no network namespace: this needs CAP_SYS_ADMIN and ip(8)";
  EXPECT_TRUE(open_raw_sender(Family::v4, kGre, RawMode::header_included));
  const auto refused = open_raw_sender(Family::v6, kGre, RawMode::header_included);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), EINVAL);
}

TEST(RawSenderTest, WithoutCapNetRawEachSaysThatItIsNotPermitted) {
  if (!has_namespace()) GTEST_SKIP() << "no network namespace: this needs CAP_SYS_ADMIN and ip(8)";
  const pid_t child = fork();
  if (child == 0) {
    if (setresuid(65'534, 65'534, 65'534) != 0) _exit(77);
    const auto refused = [](const std::expected<UniqueFd, int>& made) {
      return !made && made.error() == EPERM;
    };
    const bool all = refused(open_raw_receiver(Family::v4, kGre)) &&
                     refused(open_silencer(Family::v6, kGre)) &&
                     refused(open_raw_sender(Family::v4, kGre, RawMode::fragmentable)) &&
                     refused(open_icmp_listener(Family::v6));
    _exit(all ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace hats::transport::test
