// The parts of the host set-up that need no host: texts, names, files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "tools/hatsd-user/quick/atomic_file.hpp"
#include "tools/hatsd-user/quick/command.hpp"
#include "tools/hatsd-user/quick/dns.hpp"
#include "tools/hatsd-user/quick/file_guard.hpp"
#include "tools/hatsd-user/quick/firewall.hpp"
#include "tools/hatsd-user/quick/hooks.hpp"
#include "tools/hatsd-user/quick/policy_routing.hpp"
#include "tools/hatsd-user/quick/route_cover.hpp"
#include "tools/hatsd-user/quick/rt_tables.hpp"

namespace hats::app {
namespace {

namespace fs = std::filesystem;

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "hats-quick-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string write(const std::string& name, const std::string& text) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name) << text;
    return (dir_ / name).string();
  }
  fs::path dir_;
};

using RtTablesTest = Folder;
using FileGuardTest = Folder;
using AtomicFileTest = Folder;
using DnsTest = Folder;

// ---- Hooks and commands ----

TEST(HooksTest, EveryPercentIBecomesTheName) {
  EXPECT_EQ(expand_hook("ip addr add dev %i; echo %i%%i %j", "wg0"), "ip addr add dev wg0; echo wg0%wg0 %j");
}

TEST(HooksTest, AFailureInTheMiddleOfAHookFailsItAsInWgQuick) {
  const auto quiet = [](const std::string&) {};
  EXPECT_TRUE(run_hook("true; [[ a == a ]]", -1, quiet));
  const auto sequence = run_hook("false; true", -1, quiet);
  ASSERT_FALSE(sequence);
  EXPECT_EQ(sequence.error(), "exit status 1");
  EXPECT_FALSE(run_hook("false | true", -1, quiet));
  EXPECT_EQ(run_hook("exit 7", -1, quiet).error(), "exit status 7");
  EXPECT_EQ(run_hook("kill -9 $$", -1, quiet).error(), "killed by signal 9");
}

TEST(CommandTest, TheProgramSeesNullInputNoDescriptorsOfOursAndTheCLocale) {
  const int ours = open("/dev/null", O_RDONLY);  // not close-on-exec, on purpose
  const auto done =
      run_command({.words = {"sh", "-c", "readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; echo $LC_ALL"},
                   .input = {},
                   .capture = true,
                   .interrupt_fd = -1});
  close(ours);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output, "/dev/null\n4\nC\n");  // 0, 1, 2 and the folder that ls reads
}

TEST(CommandTest, InputArrivesWholeAndTooMuchIsRefused) {
  const auto count = [](size_t bytes) {
    return run_command(
        {.words = {"wc", "-c"}, .input = std::string(bytes, 'x'), .capture = true, .interrupt_fd = -1});
  };
  ASSERT_TRUE(count(65536));
  EXPECT_EQ(count(65536)->output, "65536\n");
  EXPECT_EQ(count(65537).error(), E2BIG);
}

TEST(CommandTest, AMissingProgramIsENOENTAndSbinIsSearchedWithoutPath) {
  EXPECT_EQ(run_command({.words = {"no-such-program-here"}, .input = {}, .capture = true, .interrupt_fd = -1})
                .error(),
            ENOENT);
  const std::string path = getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  const auto found = find_program("ip");
  setenv("PATH", path.c_str(), 1);
  if (!fs::exists("/sbin/ip") && !fs::exists("/usr/sbin/ip")) GTEST_SKIP() << "SKIPPED: no ip in sbin here";
  EXPECT_TRUE(found);
}

TEST(CommandTest, AnInterruptEndsTheWholeProcessGroup) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  const auto start = std::chrono::steady_clock::now();
  const auto done = run_command(
      {.words = {"sh", "-c", "sleep 60 & wait"}, .input = {}, .capture = true, .interrupt_fd = ends[0]});
  close(ends[0]);
  close(ends[1]);
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->interrupted);
  EXPECT_EQ(done->how(), "interrupted");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(CommandTest, AProcessLeftBehindIsNotWaitedFor) {
  const auto start = std::chrono::steady_clock::now();
  const auto done = run_command({.words = {"sh", "-c", "echo said; sleep 20 & exit 0"},
                                 .input = {},
                                 .capture = true,
                                 .interrupt_fd = -1});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output, "said\n");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

// ---- Table names ----

TEST_F(RtTablesTest, NamesAreLookedUpInOrderAndNumbersAreTaken) {
  write("etc/rt_tables", "255\tlocal\n# 7 seven\n0x11 hex # comment\n42 peer\n");
  write("etc/rt_tables.d/a.conf", "1234 extra\n");
  write("etc/rt_tables.d/b.txt", "9 ignored\n");
  write("usr/rt_tables", "43 peer\n44 other\n");
  const std::vector<std::string> folders{(dir_ / "etc").string(), (dir_ / "usr").string()};
  EXPECT_EQ(routing_table("peer", folders), 42U);
  EXPECT_EQ(routing_table("hex", folders), 17U);
  EXPECT_EQ(routing_table("extra", folders), 1234U);
  EXPECT_EQ(routing_table("other", folders), 44U);
  EXPECT_EQ(routing_table("main", folders), 254U);
  EXPECT_EQ(routing_table("local", {}), 255U);
  EXPECT_EQ(routing_table("default", {}), 253U);
  EXPECT_EQ(routing_table("51820", {}), 51820U);
  EXPECT_EQ(routing_table("0x10", {}), 16U);
  EXPECT_EQ(routing_table("4294967295", {}), 4294967295U);
  for (const char* bad : {"seven", "ignored", "0", "-1", "4294967296", "12x", "", "Off"}) {
    EXPECT_FALSE(routing_table(bad, folders)) << bad;
  }
}

// ---- Firewall texts ----

TEST(FirewallTest, OneTransactionReplacesTheTable) {
  const FirewallRules rules{
      Family::v6, "wg0", {*IpAddress::parse("fd00::1"), *IpAddress::parse("fd00::2")}, 51820};
  EXPECT_EQ(
      nft_script(rules),
      "add table ip6 hatsd-user-wg0\ndelete table ip6 hatsd-user-wg0\nadd table ip6 hatsd-user-wg0\n"
      "add chain ip6 hatsd-user-wg0 preraw { type filter hook prerouting priority -300; }\n"
      "add chain ip6 hatsd-user-wg0 premangle { type filter hook prerouting priority -150; }\n"
      "add chain ip6 hatsd-user-wg0 postmangle { type filter hook postrouting priority -150; }\n"
      "add rule ip6 hatsd-user-wg0 preraw iifname != \"wg0\" ip6 daddr fd00::1 fib saddr type != local drop\n"
      "add rule ip6 hatsd-user-wg0 preraw iifname != \"wg0\" ip6 daddr fd00::2 fib saddr type != local drop\n"
      "add rule ip6 hatsd-user-wg0 postmangle meta l4proto udp meta mark 51820 ct mark set meta mark\n"
      "add rule ip6 hatsd-user-wg0 premangle meta l4proto udp meta mark set ct mark\n");
}

TEST(FirewallTest, NamesThatNftCannotReadAreWrittenOtherwiseAndStayApart) {
  EXPECT_EQ(nft_table_name("a=b+c"), "hatsd-user-a/3db/2bc");
  EXPECT_NE(nft_table_name("a=b"), nft_table_name("a+b"));
  EXPECT_EQ(nft_table_name("wg-0.x_y"), "hatsd-user-wg-0.x_y");
}

TEST(FirewallTest, RemovalTakesOurRulesAloneOutOfASavedSet) {
  const std::string saved =
      "# Generated\n*mangle\n:PREROUTING ACCEPT [0:0]\n"
      "-A PREROUTING -p udp -m comment --comment \"hatsd-user rule for wg0\" -j CONNMARK --restore-mark\n"
      "-A PREROUTING -p udp -m comment --comment \"hatsd-user rule for wg01\" -j CONNMARK --restore-mark\n"
      "-A PREROUTING -p udp -j ACCEPT\nCOMMIT\n";
  EXPECT_EQ(iptables_removal(saved, "wg0"),
            "*mangle\n-D PREROUTING -p udp -m comment --comment \"hatsd-user rule for wg0\" -j CONNMARK "
            "--restore-mark\nCOMMIT\n");
  EXPECT_EQ(iptables_removal(saved, "wg"), "");
}

// ---- Routes ----

TEST(RouteCoverTest, AgreesWithLookingAtEveryPrefix) {
  std::mt19937 random(7);
  const auto prefix = [&] {
    const bool v6 = random() % 2 == 0;
    Prefix out;
    out.address.family = v6 ? Family::v6 : Family::v4;
    // Few different bytes, so that prefixes meet.
    for (size_t i = 0; i < (v6 ? 16U : 4U); ++i) out.address.bytes[i] = random() % 2 == 0 ? 0 : 0x80;
    out.length = random() % (v6 ? 129 : 33);
    return out;
  };
  for (int round = 0; round < 200; ++round) {
    RouteCover cover;
    std::vector<Prefix> naive;
    for (int i = 0; i < 12; ++i) {
      const Prefix added = prefix();
      cover.add(added);
      naive.push_back(added.masked());
      const Prefix asked = prefix();
      const bool expected = std::any_of(naive.begin(), naive.end(), [&](const Prefix& other) {
        return other.address.family == asked.address.family && other.length <= asked.length &&
               other.contains(asked.address);
      });
      ASSERT_EQ(cover.covers(asked), expected) << asked.text();
    }
  }
}

// ---- Rules ----

TEST(PolicyRoutingTest, OurPriorityIsTheOneThatTheKernelWouldChoose) {
  const auto rule = [](uint32_t priority) {
    tun::Rule out;
    out.priority = priority;
    return out;
  };
  EXPECT_EQ(next_rule_priority({rule(0), rule(32766), rule(32767)}), 32765U);
  EXPECT_EQ(next_rule_priority({rule(0), rule(32765), rule(32766), rule(32767)}), 32764U);
  EXPECT_EQ(next_rule_priority({rule(0)}), std::nullopt);
  EXPECT_EQ(next_rule_priority({rule(0), rule(1)}), std::nullopt);
}

// ---- DNS ----

TEST_F(DnsTest, TheRecordHasServersAndOneSearchLine) {
  EXPECT_EQ(resolvconf_record({"10.0.0.1", "fd00::1"}, {"a.example", "b.example"}),
            "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\n");
}

TEST_F(DnsTest, DebiansOrderFileGivesThePrefix) {
  const auto order = write("interface-order", "# comment\nlo.inet6\nlo.@(dhclient|x)\n  tun*  \ntap*\n");
  EXPECT_EQ(resolvconf_name("wg0", order), "tun.wg0");
  EXPECT_EQ(resolvconf_name("wg0", (dir_ / "absent").string()), "wg0");
  EXPECT_EQ(resolvconf_name("wg0", write("other", "lo\n*\n@(x)*\n")), "wg0");
}

// ---- Files ----

TEST_F(AtomicFileTest, AFileIsReplacedWithMode0600AndNothingElseIsLeft) {
  const auto path = write("a.conf", "old");
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(replace_file(path, "new"));
  EXPECT_EQ(read_whole_file(path), "new");
  struct stat status{};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1);
}

TEST_F(AtomicFileTest, WhatIsNoFileOrTooLargeIsNotRead) {
  const auto fault = [](const std::string& path) {
    const auto text = read_named_file(path, 100);
    return text ? "read: " + *text : text.error();
  };
  EXPECT_EQ(fault(write("a.conf", std::string(100, 'x'))), "read: " + std::string(100, 'x'));
  EXPECT_EQ(fault(write("b.conf", std::string(101, 'x'))), "is larger than 100 bytes");
  const std::string fifo = dir_ / "c.conf", endless = dir_ / "d.conf", masked = dir_ / "e.conf";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", endless);
  fs::create_symlink("/dev/null", masked);
  EXPECT_EQ(fault(fifo), "is not a file");
  EXPECT_EQ(fault(endless), "is not a file");
  EXPECT_EQ(fault(dir_), "is not a file");
  EXPECT_EQ(fault(masked), "read: ");
  EXPECT_EQ(fault(dir_ / "absent"), "No such file or directory");
}

TEST_F(AtomicFileTest, AFileOfAnySizeIsReadWhole) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4'096}, size_t{4'097}, size_t{1'000'000}}) {
    std::string text;
    while (text.size() < size) text += std::to_string(text.size()) + ' ';
    text.resize(size);
    EXPECT_TRUE(read_whole_file(write("a.conf", text)) == text) << size;
  }
}

TEST_F(AtomicFileTest, AFailureLeavesTheOldFileAndNoTemporaryOne) {
  fs::create_directory(dir_ / "a.conf");
  write("a.conf/inside", "x");  // a folder with something in it cannot be replaced
  EXPECT_FALSE(replace_file((dir_ / "a.conf").string(), "new"));
  EXPECT_FALSE(replace_file((dir_ / "absent/b.conf").string(), "new"));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()), 1);
}

TEST_F(FileGuardTest, SecretsThatOthersCanReadDrawAWarning) {
  const auto path = write("etc/wg0.conf", "x");
  fs::permissions(dir_ / "etc", fs::perms(0755));
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_TRUE(file_guard(path).empty());
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  ASSERT_EQ(file_guard(path).size(), 1U);
  EXPECT_NE(file_guard(path)[0].find("0644"), std::string::npos);
  EXPECT_NE(file_guard(path)[0].find("make it 0600"), std::string::npos);
  fs::permissions(dir_ / "etc", fs::perms(0700));
  EXPECT_TRUE(file_guard(path).empty()) << "nobody can get there";
  EXPECT_TRUE(file_guard(path + ".absent").empty());
}

TEST_F(FileGuardTest, AFolderThatEveryoneCanWriteToDrawsAWarningAndLinksAreFollowed) {
  const auto path = write("etc/wg0.conf", "x");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  fs::permissions(dir_ / "etc", fs::perms(0777));
  fs::create_symlink(path, dir_ / "link.conf");
  ASSERT_EQ(file_guard((dir_ / "link.conf").string()).size(), 1U);
  EXPECT_NE(file_guard(path)[0].find("etc 0700"), std::string::npos);
  fs::permissions(dir_ / "etc", fs::perms(01777));
  EXPECT_TRUE(file_guard(path).empty()) << "sticky: only the owner can replace it";
}

}  // namespace
}  // namespace hats::app
