// Addresses as text, with the C library's inet_pton and inet_ntop as oracles.
#include "core/base/address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "tests/support/seeded_rng.hpp"

namespace hats {
namespace {

std::optional<IpAddress> oracle_parse(const std::string& text) {
  if (text.find('\0') != std::string::npos) return std::nullopt;  // the C library would stop there
  std::array<uint8_t, 16> bytes;
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return IpAddress::v4(bytes.data());
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return IpAddress::v6(bytes.data());
  return std::nullopt;
}

std::string oracle_text(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text;
  const int family = address.family == Family::v4 ? AF_INET : AF_INET6;
  return inet_ntop(family, address.bytes.data(), text.data(), text.size());
}

void expect_like_the_library(const std::string& text) {
  const auto ours = IpAddress::parse(text);
  const auto theirs = oracle_parse(text);
  ASSERT_EQ(ours.has_value(), theirs.has_value()) << '"' << text << '"';
  ASSERT_TRUE(!ours || *ours == *theirs) << '"' << text << '"';
}

TEST(AddressTest, OddTextsAreReadAsTheCLibraryReadsThem) {
  for (const char* text : {"",
                           ".",
                           "1",
                           "1.2.3",
                           "1.2.3.4",
                           "1.2.3.4.",
                           ".1.2.3.4",
                           "1..2.3",
                           "1.2.3.4.5",
                           "256.1.1.1",
                           "1.2.3.256",
                           "01.2.3.4",
                           "1.2.3.04",
                           "0.0.0.0",
                           "00.0.0.0",
                           "255.255.255.255",
                           "1.2.3.-4",
                           "+1.2.3.4",
                           " 1.2.3.4",
                           "1.2.3.4 ",
                           "1.2.3.4/8",
                           "0x1.2.3.4",
                           "1.2.3.0x4",
                           "1234.1.1.1",
                           "1.2.3.1000",
                           ":",
                           "::",
                           ":::",
                           "::::",
                           "::1",
                           "1::",
                           "1::2::3",
                           ":1",
                           "1:",
                           "1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7:8:9",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:",
                           ":2:3:4:5:6:7:8",
                           "::2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7::",
                           "1:2:3:4::5:6:7:8",
                           "1::2:3:4:5:6:7:8",
                           "::1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7:8::",
                           "12345::",
                           "g::",
                           "::ffff:1.2.3.4",
                           "::1.2.3.4",
                           "1:2:3:4:5:6:1.2.3.4",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "1:2:3:4:5:1.2.3.4",
                           "1.2.3.4::",
                           "::1.2.3.4:5",
                           "1::1.2.3.4",
                           "::1.2.3",
                           "::1.2.3.256",
                           "::01.2.3.4",
                           "::1.2.3.4.5",
                           "64:ff9b::1.2.3.4",
                           "FE80::ABCD",
                           "fe80::1%eth0",
                           "fe80::1%1",
                           "[::1]",
                           "::1/64",
                           "0:0:0:0:0:0:0:0",
                           "00000::",
                           "0000::",
                           "::-1",
                           "::+1",
                           "::0x1",
                           "1:2:3:4:5:6:7:8 ",
                           " ::",
                           "1::2:",
                           "::1:",
                           "a:b:c:d:e:f:1:2",
                           "1:2:3:4:5:6::1.2.3.4",
                           "1:2:3:4:5::1.2.3.4",
                           "::1:2:3:4:5:6:1.2.3.4",
                           "::1:2:3:4:5:1.2.3.4"}) {
    expect_like_the_library(text);
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
  EXPECT_FALSE(IpAddress::parse(std::string_view("::1\0", 4)));
}

TEST(AddressTest, RandomTextsAreReadAsTheCLibraryReadsThem) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  const std::array<std::string, 18> parts = {":",       "::",  ".",     "0",   "1",   "ffff",
                                             "00",      "abc", "12345", "255", "256", "g",
                                             "1.2.3.4", "0:0", "::1",   "%",   " ",   "fe80"};
  for (int i = 0; i < 300'000; ++i) {
    std::string text;
    for (uint64_t n = rng.below(12) + 1; n != 0; --n)
      text += parts[rng.below(rng.one_in(2) ? 5 : parts.size())];
    expect_like_the_library(text);
    if (HasFatalFailure()) return;
  }
}

IpAddress random_address(test::SeededRng& rng) {
  std::array<uint8_t, 16> bytes;
  rng.fill(bytes);
  if (rng.one_in(2)) return IpAddress::v4(bytes.data());
  for (size_t group = 0; group < 8; ++group) {  // runs of zeros, short groups, mapped addresses
    if (!rng.one_in(3)) bytes[2 * group] = bytes[2 * group + 1] = rng.one_in(10) ? 0xff : 0;
    if (rng.one_in(4)) bytes[2 * group] = 0;
  }
  return IpAddress::v6(bytes.data());
}

TEST(AddressTest, AddressesAreWrittenAsTheCLibraryWritesThemAndReadBack) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  for (int i = 0; i < 200'000; ++i) {
    const IpAddress address = random_address(rng);
    const std::string text = address.text();
    ASSERT_EQ(text, oracle_text(address));
    ASSERT_EQ(IpAddress::parse(text), address) << text;
    std::string cut = text;  // one character changed or gone
    const size_t at = rng.below(cut.size());
    if (rng.one_in(2)) {
      cut.erase(at, 1);
    } else {
      cut[at] = "0123456789abcdef:.xX/% "[rng.below(23)];
    }
    expect_like_the_library(cut);
    if (HasFatalFailure()) return;
  }
}

TEST(AddressTest, ZerosAreShortenedAsRfc5952Says) {
  const auto rewritten = [](std::string_view text) { return IpAddress::parse(text).value().text(); };
  EXPECT_EQ(rewritten("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(rewritten("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1") << "one group alone is not shortened";
  EXPECT_EQ(rewritten("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1") << "the longest run";
  EXPECT_EQ(rewritten("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1") << "the first of equal runs";
  EXPECT_EQ(rewritten("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
  EXPECT_EQ(IpAddress{}.text(), "");
}

TEST(PrefixTest, LengthsAreDecimalAndWithinTheFamily) {
  for (const char* text : {"1.2.3.4/0", "1.2.3.4/32", "::/0", "::1/128", "fe80::1/64"}) {
    const auto prefix = Prefix::parse(text);
    ASSERT_TRUE(prefix) << text;
    EXPECT_EQ(prefix->text(), text);
  }
  EXPECT_EQ(Prefix::parse("1.2.3.4").value().length, 32);
  EXPECT_EQ(Prefix::parse("::").value().length, 128);
  for (const char* text : {"", "/", "/24", "1.2.3.4/", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/+1",
                           "1.2.3.4/ 8", "1.2.3.4/8 ", "1.2.3.4/8/8", "1.2.3.4/255.0.0.0", "1.2.3.4/0x8",
                           "1.2.3/8", "1.2.3.4/4294967304", "::/256"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(PrefixTest, MaskingAndContainingAgreeWithBitByBitComparison) {
  const uint64_t seed = test::run_seed();
  HATS_TRACE_SEED(seed);
  test::SeededRng rng(seed);
  const auto bit = [](const IpAddress& a, unsigned i) { return a.bytes[i / 8] >> (7 - i % 8) & 1; };
  for (int i = 0; i < 50'000; ++i) {
    const IpAddress address = random_address(rng);
    const Prefix prefix{address, static_cast<uint8_t>(rng.below(address.bit_count() + 1U))};
    const IpAddress masked = prefix.masked().address;
    for (unsigned b = 0; b < address.bit_count(); ++b) {
      ASSERT_EQ(bit(masked, b), b < prefix.length ? bit(address, b) : 0);
    }
    IpAddress other = address;
    const auto flipped = static_cast<unsigned>(rng.below(address.bit_count()));
    other.bytes[flipped / 8] ^= static_cast<uint8_t>(0x80 >> flipped % 8);
    ASSERT_EQ(prefix.contains(other), flipped >= prefix.length);
    ASSERT_TRUE(prefix.contains(address));
  }
  EXPECT_FALSE(Prefix::parse("0.0.0.0/0")->contains(IpAddress::parse("::").value()));
  EXPECT_FALSE(Prefix::parse("::/0")->contains(IpAddress::parse("0.0.0.0").value()));
}

TEST(EndpointTest, TextHasBracketsForIpv6AndTheZoneAsANumber) {
  EXPECT_EQ((Endpoint{IpAddress::parse("1.2.3.4").value(), 5, 0}.text()), "1.2.3.4:5");
  EXPECT_EQ((Endpoint{IpAddress::parse("::1").value(), 51820, 0}.text()), "[::1]:51820");
  EXPECT_EQ((Endpoint{IpAddress::parse("fe80::1").value(), 5, 7}.text()), "[fe80::1%7]:5");
  EXPECT_EQ(Endpoint{}.text(), "");
}

}  // namespace
}  // namespace hats
