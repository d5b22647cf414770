// HostSetup in a namespace of its own: the order of up and down, and that nothing is left.
#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tools/quick_world.hpp"
#include "tools/hatsd-user/quick/command.hpp"

namespace hats::app::testing {
namespace {

using HostSetupTest = QuickWorld;

std::string with(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos ? "" : "no '" + part + "' in:\n" + text;
}

TEST_F(HostSetupTest, UpAndDownRunInTheManualsOrder) {
  program("resolvconf",
          "echo \"resolvconf $* [$(cat)]\" | tr '\\n' ' ' >>" + path("log") + "; echo >>" + path("log"));
  const auto note = [&](const std::string& hook) {
    return hook + " = echo " + hook + " %i $(cat /sys/class/net/%i/flags 2>/dev/null || echo gone) " +
           "$(ip -br addr show dev %i 2>/dev/null | grep -c 10.9) $(ip route show table 7 2>/dev/null | wc "
           "-l)  >>" +
           path("log") + "\n";
  };
  const auto conf = file("Address = 10.9.0.1/24, fd09::1/64\nTable = 7\nDNS = 10.9.0.53, corp.example\n" +
                             note("PreUp") + note("PostUp") + note("PreDown") + note("PostDown"),
                         peer("10.50.0.0/16, 10.50.1.0/24, 0.0.0.0/0", "192.0.2.9:51820"));
  const std::string before = state();
  make_device();
  auto host = setup(conf);
  EXPECT_TRUE(HostSetup::needs_keeper(parse(conf)));
  const auto done = host.up(device);
  ASSERT_TRUE(done) << done.error().text(conf);
  EXPECT_EQ(device.calls, std::vector<std::string>{"configure"});
  const std::string addresses = sh("ip -br addr show dev wgq");
  EXPECT_EQ(with(addresses, "10.9.0.1/24 fd09::1/64"), "");
  EXPECT_EQ(with(sh("ip link show dev wgq"), "mtu 1420"), "");
  EXPECT_EQ(sh("ip route show table 7 | awk '{print $1}' | sort | tr '\\n' ' '"),
            "10.50.0.0/16 10.50.1.0/24 default ");
  EXPECT_EQ(sh("ip rule | grep -c ."), "3\n");

  host.before_delete(&device);
  delete_device();
  host.after_delete();
  EXPECT_EQ(
      read(path("log")),
      "PreUp wgq 0x1090 0 0\n"
      "resolvconf -a wgq -m 0 -x [nameserver 10.9.0.53 search corp.example] \n"
      "PostUp wgq 0x1091 1 3\nPreDown wgq 0x1091 1 3\nresolvconf -d wgq -f [] \nPostDown wgq gone 0 0\n");
  EXPECT_EQ(state(), before);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
}

TEST_F(HostSetupTest, WithoutNeedsThereIsNoKeeperAndNoRecord) {
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\nTable = off\n", peer("0.0.0.0/0, ::/0"));
  auto host = setup(conf);
  EXPECT_FALSE(HostSetup::needs_keeper(parse(conf)));
  ASSERT_TRUE(host.up(device));
  EXPECT_FALSE(std::filesystem::exists("/run/hatsd-user"));
}

TEST_F(HostSetupTest, WhatNeedsAKeeperIsKnownBeforehand) {
  const auto needs = [&](const std::string& lines, const std::string& allowed) {
    return HostSetup::needs_keeper(parse(file(lines, peer(allowed))));
  };
  EXPECT_FALSE(needs("", "10.0.0.0/8"));
  EXPECT_TRUE(needs("PostUp = true\n", "")) << "hooks are root's, and may speak to the device meanwhile";
  EXPECT_TRUE(needs("PreUp = true\nTable = off\n", ""));
  EXPECT_TRUE(needs("PreDown = true\n", ""));
  EXPECT_TRUE(needs("PostDown = true\n", ""));
  EXPECT_TRUE(needs("SaveConfig = true\n", ""));
  EXPECT_TRUE(needs("DNS = 10.0.0.1\n", ""));
  EXPECT_TRUE(needs("", "::/0"));
  EXPECT_FALSE(needs("Table = off\n", "::/0"));
  EXPECT_FALSE(needs("Table = 7\n", "::/0"));
}

// ---- Failures: at each step everything is undone ----

struct Fault {
  const char* name;
  std::string lines;
  std::string peers;
  std::string expected;  // LINE: KEY: what
};

TEST_F(HostSetupTest, AFailureAtAnyStepNamesItsLineAndLeavesNothing) {
  const std::string defaults = peer("0.0.0.0/0, ::/0");
  const std::vector<Fault> faults = {
      {"PreUp", "Address = 10.9.0.1/24\nPreUp = exit 3\n", defaults, ":4: PreUp: exit status 3"},
      {"address", "Address = 10.9.0.1/24\nAddress = ff02::1/64\n", defaults, ":4: Address: ff02::1/64: "},
      {"dns", "Address = 10.9.0.1/24\nDNS = 10.0.0.1\n", defaults, ":4: DNS: needs the program resolvconf"},
      {"table", "Table = nosuch\n", defaults, ":3: Table: 'nosuch' is no routing table"},
      {"route", "Address = 10.9.0.1/24\n", peer("10.50.0.0/16"),
       ":6: AllowedIPs: a route to 10.50.0.0/16 is there already"},
      {"PostUp", "Address = 10.9.0.1/24\nPostUp = true\nPostUp = exit 4\n", defaults,
       ":5: PostUp: exit status 4"},
  };
  sh("ip route add 10.50.0.0/16 dev up0");
  for (const auto& fault : faults) {
    SCOPED_TRACE(fault.name);
    if (std::string(fault.name) == "dns" && find_program("resolvconf")) continue;
    const auto conf = file(fault.lines, fault.peers);
    const std::string before = state();
    make_device();
    auto host = setup(conf);
    const auto done = host.up(device);
    ASSERT_FALSE(done);
    EXPECT_EQ(with(done.error().text(conf), conf + fault.expected), "");
    delete_device();
    host.after_delete();
    EXPECT_EQ(state(), before);
  }
}

TEST_F(HostSetupTest, ADeviceThatRefusesItsFileEndsUpWithItsOwnWords) {
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\n");
  device.refuse_configure = true;
  const auto done = setup(conf).up(device);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().text(conf), conf + ":2: ListenPort: taken");
}

TEST_F(HostSetupTest, HooksThatHaveBegunAreFollowedByTheirCounterparts) {
  const auto log = [&](const std::string& hook) {
    return hook + " = echo " + hook + " >>" + path("log") + "\n";
  };
  const auto downs = log("PreDown") + log("PostDown");
  const auto run = [&](const std::string& lines) {
    std::ofstream(path("log")) << "";
    const auto conf = file(lines + downs);
    make_device();
    auto host = setup(conf);
    EXPECT_FALSE(host.up(device));
    delete_device();
    host.after_delete();
    return read(path("log"));
  };
  EXPECT_EQ(run("Address = ff02::1/64\n"), "") << "no hook had begun";
  EXPECT_EQ(run("PreUp = exit 1\n"), "PostDown\n");
  EXPECT_EQ(run(log("PreUp") + "PostUp = exit 1\n"), "PreUp\nPreDown\nPostDown\n");
}

TEST_F(HostSetupTest, AnInterruptEndsARunningHookAndUndoesAll) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  interrupt_fd = ends[0];
  const auto conf =
      file("Address = 10.9.0.1/24\nPostUp = echo x >" + path("begun") + "; sleep 60\n", peer("0.0.0.0/0"));
  const std::string before = state();
  make_device();
  auto host = setup(conf);
  const pid_t child = fork();
  if (child == 0) {
    while (access(path("begun").c_str(), F_OK) != 0) usleep(10'000);
    (void)!write(ends[1], "x", 1);
    _exit(0);
  }
  const auto done = host.up(device);
  ASSERT_FALSE(done);
  EXPECT_EQ(with(done.error().text(conf), "PostUp: interrupted"), "");
  delete_device();
  host.after_delete();
  EXPECT_EQ(state(), before);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(HostSetupTest, AnAddressWithoutIpv6OnTheHostNamesItsLine) {
  sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 "
     ">/proc/sys/net/ipv6/conf/default/disable_ipv6");
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\nAddress = fd09::1/64\n");
  const auto done = setup(conf).up(device);
  ASSERT_FALSE(done);
  EXPECT_EQ(with(done.error().text(conf), ":4: Address: fd09::1/64: this host has no IPv6"), "");
}

TEST_F(HostSetupTest, RoutesWithoutIpv6OnTheHostAreLeftOutWithAWarning) {
  sh("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 "
     ">/proc/sys/net/ipv6/conf/default/disable_ipv6");
  make_device();
  const auto conf = file("Address = 10.9.0.1/24\n", peer("10.50.0.0/16, fd50::/32, ::/0"));
  const auto done = setup(conf).up(device);
  ASSERT_TRUE(done) << done.error().text(conf);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(with(warnings[0], "fd50::/32: this host has no IPv6"), "");
  EXPECT_EQ(sh("ip -6 rule | grep -c fwmark", false), "0\n");
}

// ---- MTU ----

TEST_F(HostSetupTest, TheNarrowestPathLess80IsTheMtu) {
  sh("ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1400; ip link add nb0 type veth peer name nb1;"
     "ip link set nb0 mtu 1300 up; ip addr add 203.0.113.1/24 dev nb0; ip link set nb1 up");
  const auto mtu_with = [&](const std::string& peers, const std::string& lines = "") {
    make_device();
    const auto conf = file("Table = off\n" + lines, peers);
    EXPECT_TRUE(setup(conf).up(device));
    const auto out = sh("cat /sys/class/net/wgq/mtu");
    delete_device();
    return out;
  };
  const auto far = peer("10.1.0.0/16", "192.0.2.9:1", 'A'),
             route = peer("10.2.0.0/16", "198.51.100.9:1", 'B'),
             link = peer("10.3.0.0/16", "203.0.113.9:1", 'C'), none = peer("10.4.0.0/16", "", 'D');
  EXPECT_EQ(mtu_with(far), "1420\n");
  EXPECT_EQ(mtu_with(far + route), "1320\n");
  EXPECT_EQ(mtu_with(link + route + far), "1220\n");
  EXPECT_EQ(mtu_with(none), "1420\n") << "the default route's device";
  EXPECT_EQ(mtu_with(link, "MTU = 1468\n"), "1468\n") << "the file's word";
  sh("ip route del default; ip -6 route del default; ip link set up0 mtu 1280");
  EXPECT_EQ(mtu_with(none), "1420\n") << "1500 where nothing tells";
}

TEST_F(HostSetupTest, AnMtuBeyondThePathIsAppliedAndDrawsOneStandingWarning) {
  make_device();
  const auto conf = file("Table = off\nMTU = 1468\n", peer("10.1.0.0/16", "192.0.2.9:1", 'A') +
                                                          peer("10.2.0.0/16", "[2001:db8::9]:1", 'B'));
  ASSERT_TRUE(setup(conf).up(device));
  EXPECT_EQ(sh("cat /sys/class/net/wgq/mtu"), "1468\n");
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(with(warnings[0], conf + ":4: MTU: "), "");
  EXPECT_EQ(with(warnings[0], "1548"), "") << "over IPv6";
  EXPECT_EQ(with(warnings[0], "1420 avoids fragmentation"), "");
  EXPECT_EQ(device.standing, warnings);
}

// ---- SaveConfig ----

TEST_F(HostSetupTest, SaveConfigWritesWhatTheInterfaceHasNow) {
  const auto conf =
      file("Address = 10.9.0.1/24\nMTU = 1400\nTable = off\nSaveConfig = true\nPostUp = true # kept\n",
           peer("10.50.0.0/16"));
  ASSERT_EQ(chown(conf.c_str(), 12, 34), 0);
  ASSERT_EQ(symlink(conf.c_str(), path("link.conf").c_str()), 0);
  make_device();
  HostSetup host(parse(conf), "wgq", path("link.conf"), options());
  ASSERT_TRUE(host.up(device));
  sh("ip addr add 10.10.0.1/16 dev wgq; ip link set wgq mtu 1399");
  host.before_delete(&device);
  const auto text = read(conf);
  for (const char* part : {"Address = 10.9.0.1/24", "10.10.0.1/16", "MTU = 1399", "Table = off",
                           "SaveConfig = true", "PostUp = true # kept", "AllowedIPs = 10.50.0.0/16"}) {
    EXPECT_EQ(with(text, part), "");
  }
  struct stat status{};
  ASSERT_EQ(lstat(conf.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(status.st_uid, 12U);
  EXPECT_EQ(status.st_gid, 34U);
  EXPECT_TRUE(std::filesystem::is_symlink(path("link.conf")));
}

TEST_F(HostSetupTest, SaveConfigNamesTheZoneOfALinkLocalEndpoint) {
  const std::string index = std::to_string(if_nametoindex("up0"));
  const auto conf = file("Address = 10.9.0.1/24\nTable = off\nSaveConfig = true\n",
                         peer("10.50.0.0/16", "[fe80::1%" + index + "]:51820"));
  make_device();
  auto host = setup(conf);
  ASSERT_TRUE(host.up(device));
  host.before_delete(&device);
  EXPECT_EQ(with(read(conf), "Endpoint = [fe80::1%up0]:51820\n"), "");
}

TEST_F(HostSetupTest, SaveConfigWithoutADeviceKeepsTheFile) {
  const auto conf = file("SaveConfig = true\n");
  const auto text = read(conf);
  make_device();
  auto host = setup(conf);
  ASSERT_TRUE(host.up(device));
  delete_device();
  host.before_delete(nullptr);
  host.after_delete();
  EXPECT_EQ(read(conf), text);
  ASSERT_EQ(warnings.size(), 1U);
}

TEST_F(HostSetupTest, SaveConfigOfAnInterfaceThatMovedAwayKeepsTheFile) {
  const auto conf = file("Address = 10.9.0.1/24\nSaveConfig = true\n");
  const auto text = read(conf);
  make_device();
  auto host = setup(conf);
  ASSERT_TRUE(host.up(device));
  sh("ip netns add hu-quick-elsewhere; ip link set wgq netns hu-quick-elsewhere");
  host.before_delete(&device);
  EXPECT_EQ(read(conf), text);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(with(warnings[0], "no longer in the namespace"), "");
  delete_device();
  host.after_delete();
}

// ---- After a crash ----

TEST_F(HostSetupTest, WhatADeadProcessOwesIsFinishedByTheNext) {
  program("resolvconf", "echo \"$*\" >>" + path("dns"));
  const auto conf = file(
      "Address = 10.9.0.1/24, fd09::1/64\nDNS = 10.0.0.1\nPostDown = echo over %i >>" + path("hook") + "\n",
      peer("0.0.0.0/0, ::/0"));
  const std::string before = state();
  EXPECT_EQ(HostSetup::finish_undo("wgq", options()), false);
  const pid_t child = fork();
  if (child == 0) {
    make_device();
    _exit(setup(conf).up(device) ? 0 : 1);  // and dies, owing everything
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(with(state(), "suppress_prefixlength"), "");
  struct stat mode{};
  ASSERT_EQ(stat("/run/hatsd-user", &mode), 0);
  EXPECT_EQ(mode.st_mode & 07777U, 0700U);

  EXPECT_EQ(HostSetup::finish_undo("wgq", options()), true);
  EXPECT_EQ(state(), before);
  EXPECT_EQ(with(read(path("dns")), "-d wgq -f"), "");
  EXPECT_EQ(read(path("hook")), "over wgq\n");
  EXPECT_EQ(HostSetup::finish_undo("wgq", options()), false);
}

TEST_F(HostSetupTest, WhatALivingProcessOwesIsItsOwn) {
  make_device();
  auto host = setup(file("PostDown = true\n"));
  ASSERT_TRUE(host.up(device));
  const auto refused = HostSetup::finish_undo("wgq", options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(with(refused.error(), "another hatsd-user"), "");
}

TEST_F(HostSetupTest, ARecordOfADeadNamespaceTouchesNothingHereButDns) {
  program("resolvconf", "echo \"$*\" >>" + path("dns"));
  const auto conf = file("DNS = 10.0.0.1\nPostDown = echo over >>" + path("hook") + "\n", peer("0.0.0.0/0"));
  const pid_t child = fork();
  if (child == 0) {
    make_device();
    _exit(setup(conf).up(device) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  sh("sed -i 's/\"netns_cookie\": [0-9]*/\"netns_cookie\": 999999999/' /run/hatsd-user/*.undo");
  EXPECT_EQ(HostSetup::finish_undo("wgq", options()), true);
  EXPECT_EQ(with(sh("ip rule"), "suppress_prefixlength"), "");
  EXPECT_FALSE(std::filesystem::exists(path("hook")));
  EXPECT_EQ(with(read(path("dns")), "-d wgq -f"), "");
}

TEST_F(HostSetupTest, ABrokenRecordIsRefusedAndKept) {
  std::filesystem::create_directory("/run/hatsd-user");
  struct stat status{};
  ASSERT_EQ(stat("/proc/self/ns/net", &status), 0);
  const auto record = "/run/hatsd-user/wgq-" + std::to_string(status.st_ino) + ".undo";
  for (const char* text :
       {"", "{", "[]", "{\"version\": 1}", "{\"version\": 1, \"interface\": 7}", "\xff\xfe"}) {
    std::ofstream(record) << text;
    const auto done = HostSetup::finish_undo("wgq", options());
    ASSERT_FALSE(done) << text;
    EXPECT_EQ(with(done.error(), "not a record"), "");
  }
}

}  // namespace
}  // namespace hats::app::testing
