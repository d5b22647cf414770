// The words of `ip tunnel` beside the real program, in a network namespace of its own: what it refuses before
// it asks the kernel is refused here, and what it takes to the kernel is taken here, but for what is listed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>

#include "tests/unit/core/config_ip_tunnel_support.hpp"

namespace hats::config {
namespace {

using namespace test;

/// "" or why this process has no namespace to itself.
std::string enter_namespace() {
  static const int status = unshare(CLONE_NEWNET) == 0 ? 0 : errno;
  return status == 0 ? std::string() : std::string("unshare: ") + std::strerror(status);
}

/// What `ip tunnel WORDS` says on stderr; nullopt if it is not installed.
std::optional<std::string> say(const std::vector<std::string>& words,
                               const std::vector<std::string>& family) {
  std::vector<std::string> all{"ip"};
  all.insert(all.end(), family.begin(), family.end());
  all.emplace_back("tunnel");
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> arguments;
  for (std::string& word : all) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, "ip", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  std::string out;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; failed == 0 && (n = read(pipe_ends[0], buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<size_t>(n));
  close(pipe_ends[0]);
  if (failed != 0) return std::nullopt;
  int status = 0;
  waitpid(child, &status, 0);
  return out;
}

/// Whether the words came as far as the kernel, which has no tunnel modules or the tunnel already.
bool reached_the_kernel(const std::string& said) {
  return said.empty() || said.find("tunnel \"") != std::string::npos;
}

/// What we refuse although ip(8) does not (formats.md 4.1; the reasons are in the messages).
bool refused_on_purpose(const std::string& error) {
  for (const char* reason : {"served", "is missing", "is of GRE alone", "multicast", "no interface name",
                             "out of range; 0 to 255, or none"}) {
    if (error.find(reason) != std::string::npos) return true;
  }
  return false;
}

class IpToolTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = enter_namespace(); !reason.empty()) GTEST_SKIP() << reason;
    if (!say({"help"}, {})) GTEST_SKIP() << "ip is not installed";
  }

  void compare(const std::vector<std::string>& words, const std::vector<std::string>& family = {}) {
    std::string line;
    std::vector<std::string> ours = family;
    ours.insert(ours.end(), words.begin(), words.end());
    for (const std::string& word : ours) line += word + " ";
    const std::string said = *say(words, family);
    if (said.find("Cannot find device") != std::string::npos)
      return;  // half way through its checks, which we leave to the caller
    const auto command = parse_ip_tunnel(ours, DsfieldNames::parse("0xB8\tEF\n0x28\tAF11\n0x0\tdefault\n"));
    const bool usage = said.find("Usage: ip ") != std::string::npos;
    if (usage) {
      EXPECT_TRUE(command && command->verb == TunnelCommand::Verb::help) << line;
    } else if (reached_the_kernel(said)) {
      EXPECT_TRUE(command || refused_on_purpose(command.error())) << line << "\n" << command.error();
      taken_by_both_ += command ? 1 : 0;
    } else {
      EXPECT_FALSE(command) << line << "\n" << said;
      ++refused_by_both_;
    }
  }

  int taken_by_both_ = 0;
  int refused_by_both_ = 0;
};

TEST_F(IpToolTest, TheGuidesLinesAndTheirLikesAreTakenByBoth) {
  for (const char* line :
       {"add hats0 mode gre local 192.0.2.1 remote 192.0.2.2 ttl 255",
        "add hats0 mode sit local 192.0.2.1 remote 192.0.2.2 ttl 255", "a gre1 remote 192.0.2.2",
        "add name ttl mode gre/ip remote 10.8 local 0x0a.1 dev lo",
        "add gre1 remote 192.0.2.2 key 1.2 ikey 017 okey 0xffffffff iseq csum tos inherit/AF11",
        "add gre1 remote 192.0.2.2 nopmtudisc ttl inherit d b8",
        "add mode ipip remote 192.0.2.2 x! hlim 0377",
        "add t mode ip6gre local 2001:db8::1 remote 2001:db8::2 encaplimit none tc inherit fl 0xfffff dscp "
        "inherit",
        "add t mode gre/ipv6 remote ::ffff:1.2.3.4 hoplimit 0 key 3 oseq allow-localremote "
        "noallow-localremote",
        "del gre1", "d gre1 mode gre", "show", "ls", "lst", "l gre1", "show mode gre", "help", "add help",
        "h"}) {
    const auto words = words_of(line);
    EXPECT_TRUE(parse_ip_tunnel(words, DsfieldNames::parse("0xB8 EF\n0x28 AF11\n"))) << line;
    const std::string said = *say(words, {});
    EXPECT_TRUE(reached_the_kernel(said) || said.find("Usage: ") != std::string::npos) << line << "\n"
                                                                                       << said;
  }
}

TEST_F(IpToolTest, WhatIpRefusesIsRefusedHere) {
  for (const char* line : {"adds t",
                           "6",
                           "add t mode gr remote 192.0.2.2",
                           "add hats0 remote 192.0.2.2",
                           "add gre1 remote 192.0.2.2 ttl 256",
                           "add gre1 remote 192.0.2.2 ttl -1",
                           "add gre1 remote 192.0.2.2 ttl 08",
                           "add gre1 remote 192.0.2.2 ttl 0x",
                           "add gre1 remote 192.0.2.2 ttl",
                           "add gre1 remote 192.0.2.256",
                           "add gre1 remote 192.0.2.1.1",
                           "add gre1 remote host.example",
                           "add gre1 remote ::1",
                           "add gre1 remote 192.0.2.2/32",
                           "add gre1 remote 192.0.2.2 gre2",
                           "add gre1 name gre1 remote 192.0.2.2",
                           "add gre1 remote 192.0.2.2 ignore",
                           "add gre1 remote 192.0.2.2 key",
                           "add gre1 remote 192.0.2.2 key 4294967296",
                           "add gre1 remote 192.0.2.2 key x",
                           "add gre1 remote 192.0.2.2 key 1.256",
                           "add gre1 remote 192.0.2.2 tos 100",
                           "add gre1 remote 192.0.2.2 tos AF14",
                           "add gre1 remote 192.0.2.2 tos inherit/",
                           "add gre1 remote 192.0.2.2 ttl 1 nopmtudisc",
                           "add sit1 remote 192.0.2.2 key 1",
                           "add t mode ipip remote 192.0.2.2 okey 1",
                           "add t mode gre mode sit remote 192.0.2.2",
                           "add t2345678901234567 mode gre remote 1.2.3.4",
                           "add gre/1 remote 192.0.2.2",
                           "add gre1 remote 192.0.2.2 pmtudis",
                           "add t mode ip6gre remote 2001:db8::2 ttl inherit",
                           "add t mode ip6gre remote 2001:db8::2 tos 100",
                           "add t mode ip6gre remote 2001:db8::2 flowlabel 100000",
                           "add t mode ip6gre remote 2001:db8::2 dscp copy",
                           "add t mode ip6gre remote 2001:db8::2 key -5",
                           "add t mode ip6gre remote 2001:db8::2 x",
                           "add t mode ip6gre remote 2001:db8::2::",
                           "show gre1 gre2",
                           "show key 5",
                           "del gre1 x"}) {
    EXPECT_FALSE(parse_ip_tunnel(words_of(line))) << line;
    const std::string said = *say(words_of(line), {});
    EXPECT_FALSE(reached_the_kernel(said)) << line << "\n" << said;
  }
}

TEST_F(IpToolTest, AnyWordsAreTakenAndRefusedAlike) {
  const std::vector<std::string> pool{
      "gre1",       "sit2",      "x",      "mode", "gre",       "sit",        "ipip", "gre/ip",    "ipv6/ip",
      "local",      "192.0.2.1", "remote", "10.1", "192.0.2.2", "any",        "ttl",  "64",        "inherit",
      "hlim",       "0x40",      "tos",    "10",   "EF",        "AF11",       "dsf",  "inherit/1", "pmtudisc",
      "nopmtudisc", "key",       "ikey",   "okey", "1.2.3.4",   "4294967295", "seq",  "iseq",      "oseq",
      "csum",       "icsum",     "ocsum",  "name", "dev",       "lo",         "256",  "default",   "-1"};
  const std::vector<std::string> pool6{
      "t",   "mode",     "ip6gre",    "gre/ipv6",   "local",   "2001:db8::1", "remote", "2001:db8::2",
      "::1", "hoplimit", "9",         "encaplimit", "none",    "4",           "tclass", "tc",
      "ff",  "100",      "flowlabel", "fl",         "0x12345", "inherit",     "dscp",   "allow-localremote",
      "key", "7",        "seq",       "ocsum",      "name",    "dev",         "lo"};
  const std::vector<std::string> starts{"gre1 remote 192.0.2.2", "sit2 remote 192.0.2.2",
                                        "x mode ipip remote 192.0.2.2", "remote 192.0.2.2 mode gre"};
  std::minstd_rand random(20'250'101);
  const auto pick = [&](const std::vector<std::string>& from) { return from[random() % from.size()]; };
  for (int round = 0; round < 400; ++round) {
    const bool v6 = round % 3 == 0;
    const auto& from = v6 ? pool6 : pool;
    std::vector<std::string> words{round % 7 == 0 ? "show" : "add"};
    // half a command that is right, so that more than the first fault is reached
    if (random() % 4 != 0) {
      for (const auto& word : words_of(v6 ? "t mode ip6gre remote 2001:db8::2" : pick(starts)))
        words.push_back(word);
    }
    for (size_t n = random() % 5; n > 0; --n) words.push_back(pick(from));
    compare(words);
  }
  // both kinds were among them
  EXPECT_GT(taken_by_both_, 60);
  EXPECT_GT(refused_by_both_, 60);
}

}  // namespace
}  // namespace hats::config
