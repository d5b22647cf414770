// Which of systemd-networkd's files are for an interface (formats.md 2.1, DESIGN.md 7), in folders of our
// own.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tools/hatsd-user/cli/networkd_files.hpp"

namespace hats::app {
namespace {

namespace fs = std::filesystem;

const std::string kKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const std::string kEtc = "/etc/systemd/network/";
const std::string kRun = "/run/systemd/network/";
const std::string kLocal = "/usr/local/lib/systemd/network/";
const std::string kUsr = "/usr/lib/systemd/network/";

std::string gre(const std::string& name, const std::string& remote = "192.0.2.2") {
  return "[NetDev]\nName=" + name + "\nKind=gre\n[Tunnel]\nRemote=" + remote + "\n";
}

class NetworkdFilesTest : public testing::Test {
 protected:
  NetworkdFilesTest() {
    std::string pattern = "/tmp/networkd_files_XXXXXX";
    root_ = mkdtemp(pattern.data());
    roots_ = NetworkdRoots::below(root_);
    write("/proc/cmdline", "quiet\n");
    fs::create_directories(root_ + "/proc/self/ns");
    fs::create_symlink("net:[1]", root_ + "/proc/self/ns/net");
  }
  ~NetworkdFilesTest() override { fs::remove_all(root_); }

  std::string write(const std::string& path, const std::string& text, fs::perms mode = fs::perms{0600}) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
    fs::permissions(root_ + path, mode);
    return root_ + path;
  }
  void process(const std::string& pid, const std::string& command, const std::string& net_namespace) {
    write("/proc/" + pid + "/cmdline", command + std::string(1, '\0') + "--x");
    fs::create_directories(root_ + "/proc/" + pid + "/ns");
    fs::create_symlink(net_namespace, root_ + "/proc/" + pid + "/ns/net");
  }

  config::NetworkdSources load(const std::string& word) {
    warnings_.clear();
    auto sources = load_networkd(word, warnings_, roots_);
    EXPECT_TRUE(sources) << (sources ? "" : sources.error().message);
    return sources ? std::move(*sources) : config::NetworkdSources{};
  }
  std::string refused(const std::string& word) {
    auto sources = load_networkd(word, warnings_, roots_);
    EXPECT_FALSE(sources);
    if (sources) return "";
    EXPECT_EQ(sources.error().exit_code, 2);
    return sources.error().message;
  }
  /// Paths below the root.
  std::vector<std::string> paths(const std::vector<config::SourceText>& texts) const {
    std::vector<std::string> out;
    for (const auto& text : texts) out.push_back(text.path.substr(root_.size()));
    return out;
  }

  std::string root_;
  NetworkdRoots roots_;
  std::vector<std::string> warnings_;
};

using Paths = std::vector<std::string>;

TEST_F(NetworkdFilesTest, FilesAreTakenByNameAndTheFirstOfAnInterfaceWins) {
  write(kUsr + "10-a.netdev", gre("t0", "192.0.2.10"));
  write(kEtc + "20-b.netdev", gre("t0", "192.0.2.20"));
  write(kEtc + "05-c.netdev", gre("t1"));
  EXPECT_EQ(paths(load("t0").netdev), Paths{kUsr + "10-a.netdev"});
  EXPECT_EQ(warnings_,
            Paths{"t0: " + root_ + kUsr + "10-a.netdev is used, " + root_ + kEtc + "20-b.netdev is not"});
  EXPECT_EQ(find_netdev("t1", roots_), root_ + kEtc + "05-c.netdev");
  EXPECT_EQ(find_netdev("t2", roots_), std::nullopt);
  EXPECT_EQ(networkd_names(roots_), (Paths{"t1", "t0"}));
}

TEST_F(NetworkdFilesTest, OfOneNameTheEarlierFolderCounts) {
  write(kUsr + "a.netdev", gre("t0", "192.0.2.1"));
  write(kLocal + "a.netdev", gre("t0", "192.0.2.2"));
  EXPECT_EQ(paths(load("t0").netdev), Paths{kLocal + "a.netdev"});
  write(kRun + "a.netdev", gre("t0", "192.0.2.3"));
  EXPECT_EQ(paths(load("t0").netdev), Paths{kRun + "a.netdev"});
  write(kEtc + "a.netdev", gre("other"));
  EXPECT_EQ(find_netdev("t0", roots_), std::nullopt);
}

TEST_F(NetworkdFilesTest, AnEmptyFileAndALinkToNullMask) {
  write(kUsr + "a.netdev", gre("t0"));
  write(kUsr + "b.netdev", gre("t1"));
  write(kEtc + "a.netdev", "");
  fs::create_symlink("/dev/null", root_ + kEtc + "b.netdev");
  EXPECT_TRUE(networkd_names(roots_).empty());
  EXPECT_EQ(refused("t0"), "t0: no .netdev file with Name=t0 in " + root_ + "/etc/systemd/network, " + root_ +
                               "/run/systemd/network, " + root_ + "/usr/local/lib/systemd/network, " + root_ +
                               "/usr/lib/systemd/network");
}

TEST_F(NetworkdFilesTest, HiddenFilesFoldersAndOtherSuffixesAreNotRead) {
  write(kEtc + ".a.netdev", gre("t0"));
  write(kEtc + "a.netdev~", gre("t0"));
  write(kEtc + "a.netdev.d/x", "");
  fs::create_directories(root_ + kEtc + "d.netdev");
  EXPECT_TRUE(networkd_names(roots_).empty());
}

TEST_F(NetworkdFilesTest, DropInsLieInAnyFolderAndComeByName) {
  write(kEtc + "a.netdev", gre("t0"));
  write(kUsr + "a.netdev.d/20.conf", "[Tunnel]\nTTL=20\n");
  write(kRun + "a.netdev.d/30.conf", "[Tunnel]\nTTL=30\n");
  write(kUsr + "a.netdev.d/30.conf", "[Tunnel]\nTTL=31\n");
  write(kEtc + "a.netdev.d/10.conf", "[Tunnel]\nTTL=10\n");
  write(kUsr + "a.netdev.d/40.conf", "[Tunnel]\nTTL=40\n");
  fs::create_symlink("/dev/null", root_ + kRun + "a.netdev.d/40.conf");
  write(kEtc + "a.network", "[Match]\nName=t0\n");
  write(kUsr + "a.network.d/x.conf", "[Network]\nAddress=10.0.0.1/24\n");
  const auto sources = load("t0");
  EXPECT_EQ(paths(sources.netdev), (Paths{kEtc + "a.netdev", kEtc + "a.netdev.d/10.conf",
                                          kUsr + "a.netdev.d/20.conf", kRun + "a.netdev.d/30.conf"}));
  EXPECT_EQ(paths(sources.network), (Paths{kEtc + "a.network", kUsr + "a.network.d/x.conf"}));
  const auto config = config::parse_networkd(sources);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->tunnel->tunnel.ttl, 30);
  EXPECT_EQ(config->addresses.size(), 1u);
}

TEST_F(NetworkdFilesTest, ADropInMayGiveTheName) {
  write(kEtc + "a.netdev", gre("t0"));
  write(kRun + "a.netdev.d/n.conf", "[NetDev]\nName=t9\n");
  EXPECT_EQ(find_netdev("t9", roots_), root_ + kEtc + "a.netdev");
  EXPECT_EQ(find_netdev("t0", roots_), std::nullopt);
}

TEST_F(NetworkdFilesTest, TheFirstMatchingNetworkFileIsTakenAlone) {
  write(kEtc + "a.netdev", gre("t0"));
  write(kEtc + "05-other.network", "[Match]\nName=eth*\n");
  write(kEtc + "06-broken.network", "[Match\nName=t0\n");
  write(kUsr + "10-kind.network", "[Match]\nKind=gre\n");
  write(kEtc + "20-name.network", "[Match]\nName=t0\n");
  EXPECT_EQ(paths(load("t0").network), Paths{kUsr + "10-kind.network"});
  write(kEtc + "10-kind.network", "");
  EXPECT_EQ(paths(load("t0").network), Paths{kEtc + "20-name.network"});
  write(kEtc + "20-name.network", "[Match]\nName=t0\nKernelCommandLine=!quiet\n");
  EXPECT_TRUE(load("t0").network.empty());
}

TEST_F(NetworkdFilesTest, APathIsThatFileWithWhatLiesBesideIt) {
  const std::string path = write("/home/x.netdev", gre("t0"));
  write("/home/x.netdev.d/1.conf", "[Tunnel]\nTTL=9\n");
  write("/home/y.network", "[Match]\nName=t0\n[Network]\nAddress=10.0.0.1/24\n");
  write(kEtc + "x.netdev.d/2.conf", "[Tunnel]\nTTL=8\n");
  write(kEtc + "a.network", "[Match]\nName=t0\n");
  const auto sources = load(path);
  EXPECT_EQ(paths(sources.netdev), (Paths{"/home/x.netdev", "/home/x.netdev.d/1.conf"}));
  EXPECT_EQ(paths(sources.network), Paths{"/home/y.network"});
  EXPECT_EQ(refused(root_ + "/home/none.netdev"), root_ + "/home/none.netdev:1: No such file or directory");
}

TEST_F(NetworkdFilesTest, ABrokenFileIsNamedWhereNothingIsFound) {
  write(kEtc + "a.netdev", "[NetDev\nName=t0\n");
  EXPECT_TRUE(refused("t0").find("a.netdev:1: broken section header '[NetDev'") != std::string::npos)
      << refused("t0");
  EXPECT_EQ(refused("not a name").substr(0, 12), "'not a name'");
}

TEST_F(NetworkdFilesTest, AFileForAnotherHostIsPassedOver) {
  write(kEtc + "10-a.netdev", "[Match]\nHost=no-such-host-name\n" + gre("t0"));
  EXPECT_EQ(find_netdev("t0", roots_), std::nullopt);
  write(kEtc + "20-b.netdev", "[Match]\nKernelCommandLine=quiet\n" + gre("t0"));
  EXPECT_EQ(paths(load("t0").netdev), Paths{kEtc + "20-b.netdev"});
  write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  write(kEtc + "10-a.netdev", "[Match]\nHost=0123456789abcdef0123456789abcdef\n" + gre("t0"));
  EXPECT_EQ(paths(load("t0").netdev), Paths{kEtc + "10-a.netdev"});
}

TEST_F(NetworkdFilesTest, KeyFilesAreReadAndThoseThatOthersCanReadAreWarnedOf) {
  fs::permissions(root_, fs::perms{0755});
  const std::string key = write("/keys/private", kKey + "\n", fs::perms{0644});
  write(kEtc + "a.netdev",
        "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKeyFile=" + key +
            "\n[WireGuardPeer]\nPublicKey=" + kKey + "\nPresharedKeyFile=/no/such/file\n",
        fs::perms{0644});
  auto sources = load("wg0");
  ASSERT_EQ(sources.key_files.size(), 2u);
  EXPECT_EQ(sources.key_files[0].text, kKey + "\n");
  EXPECT_EQ(sources.key_files[0].fault, "");
  EXPECT_EQ(sources.key_files[1].fault, "No such file or directory");
  // The .netdev is readable by everyone too, but holds no secret.
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0].substr(0, key.size()), key);
  write(kEtc + "a.netdev", "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKey=" + kKey + "\n",
        fs::perms{0644});
  load("wg0");
  EXPECT_EQ(warnings_.size(), 1u);
  sources.wipe();
  EXPECT_EQ(sources.key_files[0].text.find(kKey), std::string::npos);
}

TEST_F(NetworkdFilesTest, AKeyMayComeFromASocketAndNotFromAFolderOrALargeFile) {
  const std::string path = root_ + "/key.socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  std::thread server([listener] {
    const int client = accept(listener, nullptr, nullptr);
    EXPECT_EQ(send(client, kKey.data(), kKey.size(), 0), static_cast<ssize_t>(kKey.size()));
    close(client);
  });
  const std::string large = write("/large", std::string(5'000, 'A'));
  write(kEtc + "a.netdev", "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nPrivateKeyFile=" + path +
                               "\n[WireGuardPeer]\nPublicKeyFile=" + large + "\nPresharedKeyFile=" + root_ +
                               "\n");
  const auto sources = load("wg0");
  server.join();
  close(listener);
  ASSERT_EQ(sources.key_files.size(), 3u);
  EXPECT_EQ(sources.key_files[0].text, kKey);
  EXPECT_EQ(sources.key_files[1].fault, "is too large to be a key");
  EXPECT_EQ(sources.key_files[2].fault, "is neither a file nor a socket");
}

TEST_F(NetworkdFilesTest, ANetworkdTakesTheLinkIfItKnowsTheNetworkFileButNotTheNetdev) {
  const std::string netdev = kEtc + "a.netdev", network = kEtc + "a.network";
  write(netdev, gre("t0"));
  write(network, "[Match]\nName=t0\n[Network]\nAddress=10.0.0.1/24\n", fs::perms{0644});
  const auto takes = [&](unsigned netdev_mode, unsigned network_mode = 0644) {
    fs::permissions(root_ + netdev, fs::perms{netdev_mode});
    fs::permissions(root_ + network, fs::perms{network_mode});
    return load("t0").networkd_takes_link;
  };
  const auto status = [&](const std::string& text) { write("/proc/10/status", "Name:\tx\n" + text); };
  const std::string owner = std::to_string(geteuid()), group = std::to_string(getegid());
  const std::string stranger = std::to_string(geteuid() + 1);
  const std::string user = "Uid:\t" + owner + "\t" + stranger + "\t0\t0\nGid:\t1\t4294967294\t1\t1\n";

  process("7", "/lib/systemd/systemd-network-generator", "net:[1]");
  process("8", "/lib/systemd/systemd-networkd", "net:[2]");
  process("x9", "/lib/systemd/systemd-networkd", "net:[1]");
  EXPECT_FALSE(takes(0600)) << "none runs in this network namespace";
  process("10", "/lib/systemd/systemd-networkd", "net:[1]");
  status(user + "Groups:\t5 6\nCapEff:\t0000000000003400\n");
  EXPECT_TRUE(takes(0600));
  const auto config = config::parse_networkd(load("t0"));
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->addresses_elsewhere);
  EXPECT_FALSE(takes(0600, 0640)) << "it may not read the .network";
  EXPECT_FALSE(takes(0644)) << "it has a .netdev of that name: of another kind than a TUN's";
  EXPECT_TRUE(takes(0640));
  status(user + "Groups:\t5 " + group + " \nCapEff:\t0000000000003400\n");
  EXPECT_FALSE(takes(0640)) << "it reads it as a member of the group";
  status(user + "Groups:\t\nCapEff:\t0000000000000004\n");
  EXPECT_FALSE(takes(0600)) << "it reads everything";
  status("Uid:\t1\t" + owner + "\t1\t1\n");
  EXPECT_FALSE(takes(0600)) << "it reads what is its own";
}

TEST_F(NetworkdFilesTest, FilesOutsideItsFoldersAreUnknownToNetworkd) {
  process("10", "/lib/systemd/systemd-networkd", "net:[1]");
  write("/proc/10/status", "Uid:\t0\t0\t0\t0\nCapEff:\tffffffffffffffff\n");
  const std::string netdev = write("/home/a.netdev", gre("t0"));
  write("/home/a.network", "[Match]\nName=t0\n[Network]\nAddress=10.0.0.1/24\n");
  EXPECT_FALSE(load(netdev).networkd_takes_link);
}

TEST_F(NetworkdFilesTest, NamesAreThoseThatWeCouldMake) {
  write(kEtc + "a.netdev", gre("t0"));
  write(kEtc + "b.netdev", "[NetDev]\nName=v0\nKind=vlan\n");
  write(kEtc + "c.netdev", "[NetDev]\nName={name}\nKind=gre\n");
  write(kEtc + "d.netdev", "[NetDev]\nName=wg0\nKind=wireguard\n");
  EXPECT_EQ(networkd_names(roots_), (Paths{"t0", "wg0"}));
}

}  // namespace
}  // namespace hats::app
