// The codec under the real wg(8), and the parser beside the real wg-quick: a server on
// /var/run/wireguard/NAME.sock, in a mount and network namespace of its own, that is nothing but UapiReader,
// parse_uapi_set, a real device, and format_uapi_get.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include "core/config/uapi.hpp"
#include "core/config/uapi_reader.hpp"
#include "tests/unit/core/config_device_state.hpp"
#include "tests/unit/core/config_support.hpp"

namespace hats::config {
namespace {

using namespace test;
using Kind = UapiOperation::Kind;

constexpr const char* kSocket = "/run/wireguard/hu-config.sock";
constexpr const char* kFolder = "/run/files";  // in the tmpfs of this test

uint32_t zone_index(std::string_view zone) {
  return if_nametoindex(std::string(zone).c_str());
}
std::string zone_name(uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) != nullptr ? name.data() : "";
}

/// What the daemon's socket does, without the daemon.
class Server {
 public:
  Server() : rng_(1), device_(std::make_unique<wg::Device>(rng_, 1420)) {
    listening_ = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, kSocket, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    EXPECT_EQ(listen(listening_, 8), 0);
    EXPECT_EQ(pipe(stop_.data()), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    close(listening_);
    unlink(kSocket);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::string state() {
    const std::lock_guard lock(mutex_);
    return state_of(*device_);
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    device_ = std::make_unique<wg::Device>(rng_, 1420);
  }
  void fail_with(int error) {
    const std::lock_guard lock(mutex_);
    forced_error_ = error;
  }

 private:
  void serve() {
    for (;;) {
      std::array<pollfd, 2> fds{{{listening_, POLLIN, 0}, {stop_[0], POLLIN, 0}}};
      if (poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[1].revents != 0) return;
      const int connection = ::accept(listening_, nullptr, nullptr);
      if (connection < 0) continue;
      converse(connection);
      close(connection);
    }
  }

  void converse(int connection) {
    UapiReader reader;
    std::array<char, 65'536> bytes;
    for (;;) {
      const ssize_t count = read(connection, bytes.data(), bytes.size());
      if (count <= 0) return;
      reader.feed({bytes.data(), static_cast<size_t>(count)});
      while (const auto operation = reader.next()) {
        if (operation->kind == Kind::close) return;
        int error = 0;
        const std::string answer = carry_out(*operation, error);
        for (size_t at = 0; at < answer.size();) {
          const ssize_t written = send(connection, answer.data() + at, answer.size() - at, MSG_NOSIGNAL);
          if (written <= 0) return;
          at += static_cast<size_t>(written);
        }
        if (error != 0) return;
      }
    }
  }

  std::string carry_out(const UapiOperation& operation, int& error) {
    const std::lock_guard lock(mutex_);
    error = operation.error != 0 ? operation.error : forced_error_;
    std::string answer;
    if (error == 0 && operation.kind == Kind::set) {
      const UapiSet set = parse_uapi_set(operation.body, zone_index);
      device_->apply(at(1), set.update);
      error = set.error;
    } else if (error == 0) {
      answer = format_uapi_get(device_->snapshot(), zone_name);
    }
    return answer + format_uapi_errno(operation.kind, error);
  }

  hats::test::SeededRng rng_;
  std::unique_ptr<wg::Device> device_;
  std::mutex mutex_;
  int forced_error_ = 0;
  int listening_ = -1;
  std::array<int, 2> stop_{};
  std::thread thread_;
};

struct Ran {
  int code = -1;
  std::string output;  // both streams
};

Ran run(const std::string& command) {
  Ran out;
  FILE* pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 65'536> bytes;
  while (const size_t count = fread(bytes.data(), 1, bytes.size(), pipe))
    out.output.append(bytes.data(), count);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

std::string file(const std::string& name, const std::string& text) {
  const std::string path = std::string(kFolder) + '/' + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

/// Why these tests cannot run, or "".
std::string enter_namespace() {
  static const std::string reason = []() -> std::string {
    if (geteuid() != 0) return "needs root";
    if (run("command -v wg wg-quick").code != 0) return "needs wireguard-tools";
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0)
      return std::string("no namespaces: ") + std::strerror(errno);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return "mounts cannot be made private";
    if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0) return "no tmpfs";
    mkdir("/run/wireguard", 0755);
    mkdir(kFolder, 0700);
    setenv("WG_ENDPOINT_RESOLUTION_RETRIES", "0", 1);
    return {};
  }();
  return reason;
}

class WgToolTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = enter_namespace(); !reason.empty()) GTEST_SKIP() << reason;
    server_ = std::make_unique<Server>();
  }

  static std::string wg(const std::string& arguments) {
    const Ran ran = run("wg " + arguments);
    EXPECT_EQ(ran.code, 0) << "wg " << arguments << "\n" << ran.output;
    return ran.output;
  }

  std::unique_ptr<Server> server_;
};

TEST_F(WgToolTest, WhatSetWritesShowReads) {
  const std::string private_key = file("private", kPrivate + "\n"), psk = file("psk", kOther + "\n");
  wg("set hu-config listen-port 51820 fwmark 0xca6c private-key " + private_key + " peer " + kPublic +
     " preshared-key " + psk +
     " endpoint '[fe80::2%lo]:99' persistent-keepalive 25 allowed-ips 10.1.2.3/8,fd00::/8");
  EXPECT_EQ(wg("show hu-config dump"),
            kPrivate + "\tHIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\t51820\t0xca6c\n" + kPublic + "\t" +
                kOther + "\t[fe80::2%lo]:99\t10.0.0.0/8,fd00::/8\t0\t0\t0\t25\n");
  EXPECT_EQ(wg("show interfaces"), "hu-config\n");
  wg("set hu-config fwmark 0 private-key /dev/null peer " + kPublic +
     " preshared-key /dev/null persistent-keepalive off allowed-ips ''");
  EXPECT_EQ(wg("show hu-config dump"),
            "(none)\t(none)\t51820\toff\n" + kPublic + "\t(none)\t[fe80::2%lo]:99\t(none)\t0\t0\t0\toff\n");
  wg("set hu-config peer " + kPublic + " remove");
  EXPECT_EQ(wg("show hu-config dump"), "(none)\t(none)\t51820\toff\n");
}

TEST_F(WgToolTest, OddKeysAreTakenAndPrefixesMove) {
  const std::string zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  const std::string one = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  const std::string full = "//////////////////////////////////////////8=";
  for (const std::string& key : {zero, one, full}) wg("set hu-config peer " + key + " allowed-ips 0.0.0.0/0");
  EXPECT_EQ(wg("show hu-config allowed-ips"),
            zero + "\t(none)\n" + one + "\t(none)\n" + full + "\t0.0.0.0/0\n");
}

TEST_F(WgToolTest, ErrorsReachThePersonWithTheirNames) {
  server_->fail_with(EADDRINUSE);
  const Ran set = run("wg set hu-config listen-port 443");
  EXPECT_NE(set.code, 0);
  EXPECT_NE(set.output.find("Address already in use"), std::string::npos) << set.output;
  server_->fail_with(EPERM);
  const Ran get = run("wg show hu-config dump");
  EXPECT_NE(get.code, 0);
  EXPECT_NE(get.output.find("Operation not permitted"), std::string::npos) << get.output;
}

TEST_F(WgToolTest, SyncconfTakesAwayWhatIsNoLongerInTheFile) {
  wg("setconf hu-config " + file("a.conf", "[Interface]\nPrivateKey = " + kPrivate + "\n" +
                                               peer_with("PresharedKey = " + kOther +
                                                         "\nPersistentKeepalive = 5\nAllowedIPs = ::/0") +
                                               peer_with("", kOther)));
  wg("syncconf hu-config " + file("b.conf", "[Interface]\nPrivateKey = " + kPrivate + "\n" + peer_with("")));
  // Whether it also takes the preshared key and the keepalive away depends on the release: Debian 12's does
  // not.
  EXPECT_EQ(wg("show hu-config allowed-ips"), kPublic + "\t(none)\n");
  wg("addconf hu-config " + file("c.conf", peer_with("AllowedIPs = 10.0.0.0/8", kOther)));
  EXPECT_EQ(wg("show hu-config allowed-ips"), kPublic + "\t(none)\n" + kOther + "\t10.0.0.0/8\n");
}

TEST_F(WgToolTest, SixtyFiveThousandAllowedIpsGoBothWays) {
  constexpr int kCount = 65'000;
  std::string prefixes;
  for (int i = 0; i < kCount; ++i) {
    prefixes += (i == 0 ? "" : ",") + std::string("2001:db8:") + std::to_string(i / 256) + ":" +
                std::to_string(i % 256) + "::/64";
  }
  wg("setconf hu-config " + file("many.conf", "[Interface]\n" + peer_with("AllowedIPs = " + prefixes)));
  const std::string shown = wg("showconf hu-config");
  const InterfaceConfig config = accept(shown);
  ASSERT_EQ(config.peers.size(), 1u);
  EXPECT_EQ(config.peers[0].allowed_ips.size(), size_t{kCount});
}

// ---- The parser beside stock wg-quick and wg ----

struct Verdict {
  bool taken = false;
  std::string state;  // of a device that was given the file
  std::string text;   // what the program said
};

class BesideStockTest : public WgToolTest {
 protected:
  /// wg-quick's own reading, then wg's of what is left; keys that wg-quick keeps to itself show in no device.
  Verdict stock(const std::string& text) {
    const std::string path = file("stock.conf", text), rest = std::string(kFolder) + "/stripped";
    server_->forget();
    const Ran ran = run("wg-quick strip " + path + " > " + rest + " && wg addconf hu-config " + rest);
    return {ran.code == 0, server_->state(), ran.output};
  }
  static Verdict ours(const std::string& text) {
    const auto config = parse_wg_quick(text);
    if (!config) return {false, {}, config.error().text("F")};
    hats::test::SeededRng rng(1);
    hats::wg::Device device(rng, 1420);
    device.apply(at(1), config->device_update());
    return {true, state_of(device), {}};
  }
  void expect_same(const std::string& text) {
    const Verdict theirs = stock(text), own = ours(text);
    EXPECT_EQ(own.taken, theirs.taken) << text << "\nstock: " << theirs.text << "\nours: " << own.text;
    if (own.taken && theirs.taken) {
      EXPECT_EQ(own.state, theirs.state) << text;
    }
  }
};

const std::string kInterfaceLines[] = {"PrivateKey = " + kPrivate,
                                       "PrivateKey=" + kOther + " # mine",
                                       "Private Key = " + kPrivate,
                                       "ListenPort = 65535",
                                       "listen\tport=1",
                                       "FWMARK = oFF",
                                       "FwMark = 0xFF",
                                       "FwMark = 010",
                                       "SaveConfig = TRUE",
                                       "Address = 10.0.0.1/24",
                                       "Address =",
                                       "MTU =",
                                       "Table =",
                                       "PostUp = echo [x] = #",
                                       "postdown=",
                                       "DNS = 1.1.1.1 , a.example",
                                       "# nothing",
                                       "",
                                       "   \t ",
                                       "[interface]",
                                       "[Interface] # again",
                                       "[ Interface ]\n[Interface]"};
const std::string kBadInterfaceLines[] = {"PrivateKey = " + kPrivate.substr(0, 43),
                                          "PrivateKey =",
                                          "ListenPort =",
                                          "FwMark = -1",
                                          "FwMark = 0x",
                                          "FwMark = 4294967296",
                                          "SaveConfig = yes",
                                          "SaveConfig",
                                          "Save Config = true",
                                          "; x",
                                          "AllowedIPs = ::/0",
                                          "[Interfaces]",
                                          "ListenPort 5",
                                          "Colour = red",
                                          "\xEF\xBB\xBF[Interface]",
                                          "[ Interface ]\nAddress = 10.0.0.1"};
const std::string kPeerLines[] = {"AllowedIPs = 10.0.0.0/8, fd00::/8",
                                  "Allowed IPs = 10.9.8.7 / 16 ,10.1.1.1",
                                  "allowedips=::/0",
                                  "AllowedIPs = 0.0.0.0/0",
                                  "Endpoint = 192.0.2.1:51820",
                                  "Endpoint = [2001:db8::1]:5",
                                  "Endpoint = 2001:db8::1:51820",
                                  "Endpoint = [fe80::1%1]:9",
                                  "Endpoint = [192.0.2.7]:7",
                                  "PersistentKeepalive = OFF",
                                  "PersistentKeepalive = 0065",
                                  "PresharedKey = " + kOther,
                                  "PublicKey = " + kOther,
                                  "AllowedIPs = ::ffff:10.0.0.0/104",
                                  "  Endpoint=192.0.2.2 : 2"};
const std::string kBadPeerLines[] = {"AllowedIPs =",
                                     "AllowedIPs = 10.0.0.0/8,",
                                     "AllowedIPs = 10.0.0.0/33",
                                     "AllowedIPs = ::/129",
                                     "AllowedIPs = 10.0.0.0/",
                                     "AllowedIPs = 10.0.0.0/255.0.0.0",
                                     "AllowedIPs = 10.0.0",
                                     "AllowedIPs = 010.0.0.0/8",
                                     "Endpoint = 192.0.2.1",
                                     "Endpoint = [2001:db8::1]",
                                     "Endpoint = [2001:db8::1:5",
                                     "Endpoint = 192.0.2.1:none-such",
                                     "Endpoint =",
                                     "MTU = 1400",
                                     "PersistentKeepalive = 65536",
                                     "PersistentKeepalive = -1",
                                     "PersistentKeepalive =",
                                     "PublicKey = x",
                                     "[Peer]",
                                     "Address = 10.0.0.1/24",
                                     "PostUp = true"};

TEST_F(BesideStockTest, EachLineIsTakenOrRefusedAsStockDoes) {
  expect_same(kGuide);
  expect_same("");
  for (const std::string& line : kInterfaceLines) expect_same("[Interface]\n" + line + "\n");
  for (const std::string& line : kBadInterfaceLines) {
    EXPECT_FALSE(ours("[Interface]\n" + line + "\n").taken) << line;
    expect_same("[Interface]\n" + line + "\n");
  }
  for (const std::string& line : kPeerLines) expect_same(peer_with(line));
  for (const std::string& line : kBadPeerLines) {
    if (line.ends_with("none-such")) continue;  // a service is looked up later
    EXPECT_FALSE(ours(peer_with(line)).taken) << line;
    expect_same(peer_with(line));
  }
}

TEST_F(BesideStockTest, WholeFilesMeanTheSame) {
  const uint64_t seed = hats::test::run_seed();
  HATS_TRACE_SEED(seed);
  hats::test::SeededRng rng(seed);
  const auto pick = [&](const auto& lines) {
    return lines[rng.below(std::size(lines))] + (rng.one_in(5) ? "\r\n" : "\n");
  };
  for (int round = 0; round < 60 && !HasFailure(); ++round) {
    std::string text = "[Interface]\n";
    for (uint64_t n = rng.below(6); n > 0; --n) text += pick(kInterfaceLines);
    for (uint64_t peers = rng.below(4); peers > 0; --peers) {
      text += "[PEER]\nPublicKey = " + (rng.one_in(2) ? kPublic : kOther) + "\n";
      for (uint64_t n = rng.below(6); n > 0; --n) text += pick(kPeerLines);
    }
    if (rng.one_in(6)) text += pick(kBadPeerLines);
    if (rng.one_in(6)) text.pop_back();
    if (text.find("none-such") == std::string::npos) expect_same(text);
  }
}

}  // namespace
}  // namespace hats::config
